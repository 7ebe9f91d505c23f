//! Nomic's BERT (Nussbaum et al. 2024): BERT with rotations in place of positions, a gate in the feed-forward block, and no biases but the
//! norms'. Tensors are named as in the published files, which transformers' own class writes too.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{self, Dialect, Key, key};
use crate::reader::Reader;
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, NormKind, Pairing, Spec};

pub(super) const FAMILY: Family = Family { name: "nomicbert", gguf: &["nomic-bert"], hugging_face: &["nomic_bert"], describe };

/// `NomicBertConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 12,
    d_model: 768,
    d_ff: Some(3072),
    n_vocab: 30_528,
    context: 2048,
    n_heads: 12,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-12,
    tied: true,
    activation: Activation::Silu,
    theta: 1000.0,
};

/// The keys are those of the published files, which predate transformers' class.
const DIALECT: Dialect = Dialect {
    roots: &[("", ""), ("nomic_bert.", ""), ("bert.", "")],
    spellings: &[
        ("hidden_size", "n_embd"),
        ("num_hidden_layers", "n_layer"),
        ("num_attention_heads", "n_head"),
        ("intermediate_size", "n_inner"),
        ("max_position_embeddings", "n_positions"),
        ("layer_norm_eps", "layer_norm_epsilon"),
        ("rope_theta", "rotary_emb_base"),
        ("partial_rotary_factor", "rotary_emb_fraction"),
        ("embed_tokens", "embeddings.word_embeddings"),
        ("embeddings.LayerNorm", "emb_ln"),
        ("layers.{}.self_attn.qkv_proj", "encoder.layers.{}.attn.Wqkv"),
        ("layers.{}.self_attn.o_proj", "encoder.layers.{}.attn.out_proj"),
        ("layers.{}.post_attention_layernorm", "encoder.layers.{}.norm1"),
        ("layers.{}.mlp.up_proj", "encoder.layers.{}.mlp.fc11"),
        ("layers.{}.mlp.gate_proj", "encoder.layers.{}.mlp.fc12"),
        ("layers.{}.mlp.down_proj", "encoder.layers.{}.mlp.fc2"),
        ("layers.{}.post_mlp_layernorm", "encoder.layers.{}.norm2"),
    ],
};

const INTERLEAVED: Key = key("", "rotary_emb_interleaved");
/// What the published class can be told and no published model of this architecture is.
const REFUSED: [(Key, &str); 2] = [
    (key("", "prenorm"), "norms before the blocks are not supported in this family"),
    (key("", "use_rms_norm"), "RMS norms are not supported in this family"),
];
const SCALING: Key = key("", "rotary_scaling_factor");
const EXPERTS: Key = key("", "moe_every_n_layers");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    for (key, why) in REFUSED {
        if file.flag(key)?.unwrap_or(false) {
            return Err(file.unsupported(key, true, why));
        }
    }
    if let Some(factor) = file.number(SCALING)?.filter(|factor| *factor != 0.0) {
        return Err(file.unsupported(SCALING, format!("{factor:?}"), "a stretched rotation is not supported in this family"));
    }
    if let Some(every) = file.length(EXPERTS)? {
        return Err(file.unsupported(EXPERTS, every, "experts are not supported in this family"));
    }
    let decoder = Decoder::read(file, &DEFAULTS)?.encoding().without_final_norm();
    let adjacent = file.flag(INTERLEAVED)?.unwrap_or(false);
    let hugging_face_pairing = if adjacent { Pairing::Adjacent } else { Pairing::Halves };
    let rope = decoder.rope(RopeStyle { hugging_face_pairing, ..RopeStyle::new(Pairing::Halves) })?;
    let spec = decoder
        .spec("nomicbert", |layer| decoder.post_norm_layer(layer, decoder.attention(layer, Some(&rope), None)?, decoder.dense(layer)?))?;
    Ok(Spec { token_type: decoder.token_type()?, embedding_norm: Some(decoder.norm(names::EMBEDDING_NORM, 0)?), ..spec })
}
