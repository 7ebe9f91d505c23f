//! BERT (Devlin et al. 2019) and RoBERTa, XLM-RoBERTa and CamemBERT, which differ in where their positions begin: learned positions and
//! a token type are added to each token's embedding and normed, then come the layers of the first Transformer, each block normed with
//! the stream.

use super::{Family, jinabert};
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{self, Dialect, Key, Name, key, name};
use crate::reader::{Reader, excerpt, limits, wrong};
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, ClippedVectors, Content, NormKind, PositionEmbedding, Spec};

pub(super) const FAMILY: Family =
    Family { name: "bert", gguf: &["bert"], hugging_face: &["bert", "roberta", "xlm-roberta", "camembert"], describe };

/// `BertConfig`.
pub(super) const DEFAULTS: Defaults = Defaults {
    n_layers: 12,
    d_model: 768,
    d_ff: Some(3072),
    n_vocab: 30_522,
    context: 512,
    n_heads: 12,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-12,
    tied: true,
    activation: Activation::Gelu,
    theta: 10_000.0,
};

/// Models with a head have the encoder under a name of its own.
const DIALECT: Dialect = Dialect {
    roots: &[("", ""), ("bert.", ""), ("roberta.", "")],
    spellings: &[
        ("embed_tokens", "embeddings.word_embeddings"),
        ("embed_positions", "embeddings.position_embeddings"),
        ("layers.{}.self_attn.q_proj", "encoder.layer.{}.attention.self.query"),
        ("layers.{}.self_attn.k_proj", "encoder.layer.{}.attention.self.key"),
        ("layers.{}.self_attn.v_proj", "encoder.layer.{}.attention.self.value"),
        ("layers.{}.self_attn.o_proj", "encoder.layer.{}.attention.output.dense"),
        ("layers.{}.post_attention_layernorm", "encoder.layer.{}.attention.output.LayerNorm"),
        ("layers.{}.mlp.up_proj", "encoder.layer.{}.intermediate.dense"),
        ("layers.{}.mlp.down_proj", "encoder.layer.{}.output.dense"),
        ("layers.{}.post_mlp_layernorm", "encoder.layer.{}.output.LayerNorm"),
    ],
};

const DECODES: Key = key("", "is_decoder");
/// Older files say which positions they have; Jina's name themselves `bert`.
const POSITIONS: Key = key("", "position_embedding_type");
const PAD: Key = key("", "pad_token_id");
const DISTANCES: Name = name("", "encoder.layer.{}.attention.self.distance_embedding");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    // Whether queries meet vectors of distances, and whether keys do too.
    let relative = match file.text(POSITIONS)?.as_deref() {
        None | Some("absolute") => None,
        Some("relative_key") => Some(false),
        Some("relative_key_query") => Some(true),
        Some("alibi") => return jinabert::describe(file),
        Some(other) => {
            let key = file.spell(POSITIONS).unwrap_or_default();
            let expected = "`absolute`, `relative_key`, `relative_key_query` or `alibi`";
            return Err(wrong(&key, expected.into(), format!("`{}`", excerpt(other))));
        }
    };
    if file.flag(DECODES)?.unwrap_or(false) {
        return Err(file.unsupported(DECODES, true, "this family is read as an encoder only"));
    }
    let mut decoder = Decoder::read(file, &DEFAULTS)?.encoding().without_final_norm();
    if let Some(keys) = relative {
        return shaw(&decoder, keys);
    }
    let first = first_position(file)?;
    let context = decoder.sizes.context;
    if context <= first {
        let key = file.spell(names::CONTEXT).unwrap_or_default();
        return Err(wrong(&key, format!("more than the {first} rows before the first position"), context.to_string()));
    }
    decoder.sizes.context -= first;
    let spec = decoder
        .spec("bert", |layer| decoder.post_norm_layer(layer, decoder.attention(layer, None, None)?, decoder.dense_without_gate(layer)?))?;
    let mut positions = decoder.positions(first)?;
    if let PositionEmbedding::Learned { padding, .. } = &mut positions {
        *padding = first.checked_sub(1).map(|id| id as u32);
    }
    let (positions, token_type) = (Some(positions), decoder.token_type()?);
    Ok(Spec { positions, token_type, embedding_norm: Some(decoder.norm(names::EMBEDDING_NORM, 0)?), ..spec })
}

/// Positions in each layer's scores and none in the embeddings (Huang et al. 2020).
fn shaw(decoder: &Decoder, keys: bool) -> Result<Spec, ModelError> {
    let (reach, d_head) = (decoder.sizes.context - 1, decoder.sizes.d_head);
    let spec = decoder.spec("bert", |layer| {
        let table = decoder.table(DISTANCES, layer, [2 * reach + 1, d_head])?;
        let content = Some(Content::Clipped(ClippedVectors { table, reach, keys }));
        let attention = Attention { content, ..decoder.attention(layer, None, None)? };
        decoder.post_norm_layer(layer, attention, decoder.dense_without_gate(layer)?)
    })?;
    Ok(Spec { token_type: decoder.token_type()?, embedding_norm: Some(decoder.norm(names::EMBEDDING_NORM, 0)?), ..spec })
}

/// RoBERTa counts positions from the row after that of its padding token. GGUF's converter has cut the rows before it.
fn first_position(file: &Reader) -> Result<usize, ModelError> {
    match file.spell(PAD) {
        Some(key) if file.architecture != "bert" => Ok(1 + file.whole_at(&key, 0..=limits::VOCAB)?.unwrap_or(1)),
        _ => Ok(0),
    }
}
