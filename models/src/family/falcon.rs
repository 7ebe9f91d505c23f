//! Falcon (Almazrouei et al. 2023): both blocks read the same stream, and few key/value heads serve all queries: one in the 7B model
//! (Shazeer 2019), some in the 40B and 180B models, which give each block a norm of its own.
//!
//! The first models (Falcon-RW) have a key/value head for each query head, ALiBi in place of a rotation, and blocks that follow one
//! another. Their bias is added before the scores are divided by `√d_head`, so that it is divided too. In GGUF the family is always
//! parallel and turned.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{self, Dialect, Key, Name, key, name};
use crate::reader::{Reader, limits};
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, Bias, NormKind, Pairing, Spec};

pub(super) const FAMILY: Family = Family { name: "falcon", gguf: &["falcon"], hugging_face: &["falcon"], describe };

/// `FalconConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 32,
    d_model: 4544,
    d_ff: None,
    n_vocab: 65024,
    context: 2048,
    n_heads: 71,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-5,
    tied: true,
    activation: Activation::Gelu,
    theta: 10_000.0,
};

const DIALECT: Dialect = Dialect {
    roots: &[("transformer.", "lm_head")],
    spellings: &[
        ("num_key_value_heads", "num_kv_heads"),
        ("intermediate_size", "ffn_hidden_size"),
        ("layer_norm_eps", "layer_norm_epsilon"),
        ("hidden_act", "activation"),
        ("attention_bias", "bias"),
        ("mlp_bias", "bias"),
        ("embed_tokens", "word_embeddings"),
        ("norm", "ln_f"),
        ("layers.{}.input_layernorm", "h.{}.input_layernorm"),
        ("layers.{}.self_attn.qkv_proj", "h.{}.self_attention.query_key_value"),
        ("layers.{}.self_attn.o_proj", "h.{}.self_attention.dense"),
        ("layers.{}.post_attention_layernorm", "h.{}.post_attention_layernorm"),
        ("layers.{}.mlp.up_proj", "h.{}.mlp.dense_h_to_4h"),
        ("layers.{}.mlp.down_proj", "h.{}.mlp.dense_4h_to_h"),
    ],
};

/// The architecture of the 40B model.
const GROUPED: Key = key("", "new_decoder_architecture");
const MULTI_QUERY: Key = key("", "multi_query");
const PARALLEL: Key = key("", "parallel_attn");
const ALIBI: Key = key("", "alibi");
const N_NORMS: Key = key("", "num_ln_in_parallel_attn");

/// Where each block has a norm: attention's, which GGUF counts as the second, and the feed-forward block's.
const OWN_ATTENTION_NORM: Name = name("blk.{}.attn_norm_2", "h.{}.ln_attn");
const OWN_FEED_NORM: Name = name("blk.{}.attn_norm", "h.{}.ln_mlp");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    let mut decoder = Decoder::read(file, &DEFAULTS)?.with_interleaved_heads();
    let grouped = file.flag(GROUPED)?.unwrap_or(false);
    // Files that the class has saved state as many key/value heads as query heads beside `multi_query`.
    if file.in_config(file.flag(MULTI_QUERY)?.unwrap_or(true) && !grouped) == Some(true) {
        decoder.sizes.n_kv_heads = 1;
    }
    let two_norms = match file.in_config(grouped) {
        Some(grouped) => grouped && file.count(N_NORMS, limits::LAYERS)?.unwrap_or(2) == 2,
        None => file.has_weight(OWN_ATTENTION_NORM, 0),
    };
    let parallel = grouped || file.flag(PARALLEL)?.unwrap_or(true);
    let alibi = file.flag(ALIBI)?.unwrap_or(false);
    let rope = if alibi { None } else { Some(decoder.rope(RopeStyle::new(Pairing::Halves))?) };
    decoder.spec("falcon", |layer| {
        let attention = decoder.attention(layer, rope.as_ref(), None)?;
        let bias = alibi.then(|| Bias::alibi(attention.n_heads, 8.0).scaled(attention.scale));
        let (attention, feed) = (Attention { bias, ..attention }, decoder.dense_without_gate(layer)?);
        if parallel {
            let norms = if two_norms { (OWN_ATTENTION_NORM, Some(OWN_FEED_NORM)) } else { (names::ATTENTION_NORM, None) };
            decoder.parallel_layer(layer, norms, attention, feed)
        } else {
            decoder.pre_norm_layer(layer, attention, feed)
        }
    })
}
