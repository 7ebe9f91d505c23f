//! Jina's BERT (Günther et al. 2023, jina-embeddings-v2): BERT with ALiBi both ways in place of positions, and a gate in the feed-forward
//! block. Its `config.json` calls itself `bert` and says `alibi` for the positions. transformers has no class for it; the layer is that of
//! the paper and of the models' own code.

use super::{Family, bert};
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{self, Dialect, Name, name};
use crate::reader::Reader;
use crate::sizes::Defaults;
use crate::spec::{Attention, Bias, Spec};

pub(super) const FAMILY: Family = Family { name: "jinabert", gguf: &["jina-bert-v2"], hugging_face: &[], describe };

/// `JinaBertConfig`.
const DEFAULTS: Defaults = Defaults { context: 2048, ..bert::DEFAULTS };

const DIALECT: Dialect = Dialect {
    roots: &[("", ""), ("bert.", "")],
    spellings: &[
        ("embed_tokens", "embeddings.word_embeddings"),
        ("layers.{}.self_attn.q_proj", "encoder.layer.{}.attention.self.query"),
        ("layers.{}.self_attn.k_proj", "encoder.layer.{}.attention.self.key"),
        ("layers.{}.self_attn.v_proj", "encoder.layer.{}.attention.self.value"),
        ("layers.{}.self_attn.o_proj", "encoder.layer.{}.attention.output.dense"),
        ("layers.{}.post_attention_layernorm", "encoder.layer.{}.attention.output.LayerNorm"),
        ("layers.{}.mlp.down_proj", "encoder.layer.{}.mlp.wo"),
        ("layers.{}.post_mlp_layernorm", "encoder.layer.{}.mlp.layernorm"),
    ],
};

/// The gate above what it gates.
const GATED: Name = name("blk.{}.ffn_up", "encoder.layer.{}.mlp.gated_layers");
/// What the models for code have besides.
const REFUSED: [Name; 2] =
    [name("blk.0.attn_norm_2", "encoder.layer.0.layer_norm_1"), name("blk.0.attn_q_norm", "encoder.layer.0.attention.self.layer_norm_q")];

pub(super) fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    for name in REFUSED {
        let key = format!("{}.weight", file.tensor(name, 0));
        if file.shape(&key).is_some() {
            let why = "the norms that Jina's models for code have besides are not supported";
            return Err(ModelError::Unsupported { key, found: "a tensor of the file".into(), why });
        }
    }
    let decoder = Decoder::read(file, &DEFAULTS)?.encoding().without_final_norm();
    let bias = Some(Bias::alibi(decoder.sizes.n_heads, 8.0));
    let spec = decoder.spec("jinabert", |layer| {
        let attention = Attention { bias: bias.clone(), ..decoder.attention(layer, None, None)? };
        // Older files of llama.cpp hold the two apart.
        let apart = file.has_weight(names::GATE, layer);
        let feed = if apart { decoder.dense(layer)? } else { decoder.dense_fused(GATED, layer)? };
        decoder.post_norm_layer(layer, attention, feed)
    })?;
    Ok(Spec { token_type: decoder.token_type()?, embedding_norm: Some(decoder.norm(names::EMBEDDING_NORM, 0)?), ..spec })
}
