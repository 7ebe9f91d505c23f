//! ModernBERT (Warner et al. 2024): norms before the blocks and on the embeddings (so that the first layer's attention has none of its
//! own), rotations, gated feed-forward blocks, and windows both ways in two layers of three, which turn with a base of their own.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{self, Dialect, Key, Name, key, name};
use crate::reader::{Reader, excerpt};
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, Layer, NormKind, Pairing, Residual, Spec};
use crate::window::{Sliding, Windows};

pub(super) const FAMILY: Family = Family { name: "modernbert", gguf: &["modern-bert"], hugging_face: &["modernbert"], describe };

/// `ModernBertConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 22,
    d_model: 768,
    d_ff: Some(1152),
    n_vocab: 50_368,
    context: 8192,
    n_heads: 12,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-5,
    tied: true,
    activation: Activation::Gelu,
    theta: 160_000.0,
};

/// The base of layers with a window.
const LOCAL_THETA: f64 = 10_000.0;
/// Tokens of a window, half of them on either side; a GGUF file that states none has none.
const WINDOW: usize = 128;

const DIALECT: Dialect = Dialect {
    roots: &[("", ""), ("model.", "")],
    spellings: &[
        ("layer_norm_eps", "norm_eps"),
        ("sliding_window", "local_attention"),
        ("sliding_window_pattern", "global_attn_every_n_layers"),
        ("rope_theta", "global_rope_theta"),
        ("rope_local_base_freq", "local_rope_theta"),
        ("embed_tokens", "embeddings.tok_embeddings"),
        ("embeddings.LayerNorm", "embeddings.norm"),
        ("norm", "final_norm"),
        ("layers.{}.input_layernorm", "layers.{}.attn_norm"),
        ("layers.{}.self_attn.qkv_proj", "layers.{}.attn.Wqkv"),
        ("layers.{}.self_attn.o_proj", "layers.{}.attn.Wo"),
        ("layers.{}.post_attention_layernorm", "layers.{}.mlp_norm"),
        ("layers.{}.mlp.down_proj", "layers.{}.mlp.Wo"),
    ],
};

/// The gate above what it gates.
const GATED: Name = name("blk.{}.ffn_up", "layers.{}.mlp.Wi");

/// Before transformers 5 nothing was computed with it; since then it stretches the layers with a window too.
const OLD_SCALING: [Key; 2] = [key("", "rope_scaling.rope_type"), key("", "rope_scaling.type")];

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    for key in OLD_SCALING {
        if let Some(kind) = file.text(key)?.filter(|kind| kind != "default") {
            let why = "a stretched rotation of this family is read from `rope_parameters` only";
            return Err(file.unsupported(key, format!("`{}`", excerpt(&kind)), why));
        }
    }
    let decoder = Decoder::read(file, &DEFAULTS)?.encoding();
    let windows = decoder.windows(Windows { default: file.in_config(WINDOW), switched: false, layers: Sliding::ButFirstOfEvery(3) })?;
    let style = RopeStyle::new(Pairing::Halves);
    let (rope, local) = (decoder.rope(style)?, decoder.sliding_rope(style, LOCAL_THETA)?);
    let spec = decoder.spec("modernbert", |layer| {
        let window = windows[layer];
        let turn = if window.is_some() { &local } else { &rope };
        // The embeddings' norm stands in for that of the first layer, which some files have all the same.
        let normed = layer > 0 || file.has_weight(names::ATTENTION_NORM, layer);
        Ok(Layer {
            residual: Residual::Sequential,
            attention_norm: normed.then(|| decoder.norm(names::ATTENTION_NORM, layer)).transpose()?,
            attention: decoder.attention(layer, Some(turn), window)?,
            attention_post_norm: None,
            cross: None,
            feed_norm: Some(decoder.norm(names::FEED_NORM, layer)?),
            feed: decoder.dense_fused(GATED, layer)?,
            feed_post_norm: None,
        })
    })?;
    Ok(Spec { embedding_norm: Some(decoder.norm(names::EMBEDDING_NORM, 0)?), ..spec })
}
