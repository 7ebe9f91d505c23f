//! GPT-2 (Radford et al. 2019): learned positions, layer norms, biases everywhere, and a feed-forward block without a gate.
//!
//! Its Hugging Face files come from a `Conv1D` layer, which holds matrices as `[inputs, outputs]`: those are turned when the model is
//! opened. GGUF's converter has turned them already.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{Dialect, Key, key};
use crate::reader::Reader;
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, NormKind, Spec};

pub(super) const FAMILY: Family = Family { name: "gpt2", gguf: &["gpt2"], hugging_face: &["gpt2"], describe };

/// `GPT2Config`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 12,
    d_model: 768,
    d_ff: None,
    n_vocab: 50257,
    context: 1024,
    n_heads: 12,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-5,
    tied: true,
    activation: Activation::GeluTanh,
    theta: 10_000.0,
};

const DIALECT: Dialect = Dialect {
    roots: &[("transformer.", "lm_head")],
    spellings: &[
        ("hidden_size", "n_embd"),
        ("num_hidden_layers", "n_layer"),
        ("num_attention_heads", "n_head"),
        ("intermediate_size", "n_inner"),
        ("max_position_embeddings", "n_positions"),
        ("layer_norm_eps", "layer_norm_epsilon"),
        ("hidden_act", "activation_function"),
        ("embed_tokens", "wte"),
        ("embed_positions", "wpe"),
        ("norm", "ln_f"),
        ("layers.{}.input_layernorm", "h.{}.ln_1"),
        ("layers.{}.self_attn.qkv_proj", "h.{}.attn.c_attn"),
        ("layers.{}.self_attn.o_proj", "h.{}.attn.c_proj"),
        ("layers.{}.post_attention_layernorm", "h.{}.ln_2"),
        ("layers.{}.mlp.up_proj", "h.{}.mlp.c_fc"),
        ("layers.{}.mlp.down_proj", "h.{}.mlp.c_proj"),
    ],
};

/// Whether scores are divided by `√d_head` at all.
const SCALED: Key = key("", "scale_attn_weights");
/// Whether they are divided by the layer's number too, the first layer being 1.
const SCALED_BY_LAYER: Key = key("", "scale_attn_by_inverse_layer_idx");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    let decoder = Decoder::read(file, &DEFAULTS)?.with_transposed_matrices();
    let scaled = file.flag(SCALED)?.unwrap_or(true);
    let by_layer = file.flag(SCALED_BY_LAYER)?.unwrap_or(false);
    let spec = decoder.spec("gpt2", |layer| {
        let attention = decoder.attention(layer, None, None)?;
        let scale = if scaled { attention.scale } else { 1.0 } / if by_layer { (layer + 1) as f32 } else { 1.0 };
        decoder.pre_norm_layer(layer, Attention { scale, ..attention }, decoder.dense_without_gate(layer)?)
    })?;
    Ok(Spec { positions: Some(decoder.positions(0)?), ..spec })
}
