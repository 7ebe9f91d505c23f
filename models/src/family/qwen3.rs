//! Qwen 3 (Yang et al. 2025): Qwen 2 with a norm on each query and key head instead of biases, and heads of 128 whatever the width.

use super::{Family, qwen2};
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::reader::Reader;
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, NormKind, Pairing, Spec};

pub(super) const FAMILY: Family = Family { name: "qwen3", gguf: &["qwen3"], hugging_face: &["qwen3"], describe };

/// `Qwen3Config`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 32,
    d_model: 4096,
    d_ff: Some(22016),
    n_vocab: 151_936,
    context: 32768,
    n_heads: 32,
    n_kv_heads: Some(32),
    d_head: Some(128),
    norm: NormKind::Rms,
    eps: 1e-6,
    tied: false,
    activation: Activation::Silu,
    theta: 10_000.0,
};

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let decoder = Decoder::read(file, &DEFAULTS)?;
    let rope = decoder.rope(RopeStyle::new(Pairing::Halves))?;
    let windows = qwen2::upper_windows(&decoder)?;
    decoder.spec("qwen3", |layer| {
        let attention =
            Attention { qk_norm: Some(decoder.qk_norm(layer, true)?), ..decoder.attention(layer, Some(&rope), windows[layer])? };
        decoder.pre_norm_layer(layer, attention, decoder.dense(layer)?)
    })
}
