//! Mistral (Jiang et al. 2023): Llama with fewer key/value heads and, in version 0.1, a window of 4096 tokens in every layer.
//!
//! Its GGUF files bear the name `llama`, or `mistral3` where they come from a vision-language model's text part. Ministral 3, which
//! has that name as well, scales its queries by their position, and is refused.

use super::{Family, llama};
use crate::error::ModelError;
use crate::names::{Key, key};
use crate::reader::Reader;
use crate::sizes::Defaults;
use crate::spec::{Activation, NormKind, Spec};

pub(super) const FAMILY: Family = Family { name: "mistral", gguf: &["mistral3"], hugging_face: &["mistral"], describe };

/// `MistralConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 32,
    d_model: 4096,
    d_ff: Some(14336),
    n_vocab: 32000,
    context: 131_072,
    n_heads: 32,
    n_kv_heads: Some(8),
    d_head: None,
    norm: NormKind::Rms,
    eps: 1e-6,
    tied: false,
    activation: Activation::Silu,
    theta: 10_000.0,
};

/// `MistralConfig.sliding_window`.
const WINDOW: usize = 4096;

const TEMPERATURE: Key = key("attention.temperature_scale", "");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    if let Some(scale) = file.number(TEMPERATURE)?.filter(|&scale| scale != 0.0) {
        return Err(file.unsupported(TEMPERATURE, format!("{scale:?}"), "queries that are scaled by their position are not supported"));
    }
    llama::describe_dense("mistral", file, &DEFAULTS, file.in_config(WINDOW))
}
