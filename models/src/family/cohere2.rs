//! Command R7B and Command A (Cohere 2024, 2025): Command R with a window in three of four layers; those are turned, and the layers
//! that see everything have no positions (NoPE, Yang et al. 2025).

use super::{Family, cohere};
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names;
use crate::reader::Reader;
use crate::sizes::Defaults;
use crate::spec::{Activation, NormKind, Spec};
use crate::window::{Sliding, Windows};

pub(super) const FAMILY: Family = Family { name: "cohere2", gguf: &["cohere2"], hugging_face: &["cohere2"], describe };

/// `Cohere2Config`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 40,
    d_model: 8192,
    d_ff: Some(22528),
    n_vocab: 256_000,
    context: 8192,
    n_heads: 64,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-5,
    tied: true,
    activation: Activation::Silu,
    theta: 10_000.0,
};

/// `Cohere2Config.sliding_window`.
const WINDOW: usize = 4096;

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let decoder = Decoder::read(file, &DEFAULTS)?;
    let rope = decoder.rope(cohere::ROPE)?;
    let layers = Sliding::Listed(&|layer| (layer + 1) % 4 != 0);
    let windows = decoder.windows(Windows { default: file.in_config(WINDOW), switched: false, layers })?;
    let spec = decoder.spec("cohere2", |layer| {
        let attention = decoder.attention(layer, windows[layer].and(Some(&rope)), windows[layer])?;
        decoder.parallel_layer(layer, (names::ATTENTION_NORM, None), attention, decoder.dense(layer)?)
    })?;
    let logit_scale = cohere::logit_scale(file)?.ok_or_else(|| file.missing(cohere::LOGIT_SCALE))?;
    Ok(Spec { logit_scale, ..spec })
}
