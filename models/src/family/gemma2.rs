//! Gemma 2 (Riviere et al. 2024): Gemma with norms on both sides of each block, soft caps on scores and logits, and a window in
//! every other layer. Scores are scaled by a number of the configuration, which differs from the head's width in the 27B model.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::metadata::Layout;
use crate::names::{self, Key, key};
use crate::reader::Reader;
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, NormKind, Pairing, Spec};
use crate::window::{Sliding, Windows};

pub(super) const FAMILY: Family = Family { name: "gemma2", gguf: &["gemma2"], hugging_face: &["gemma2"], describe };

/// `Gemma2Config`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 26,
    d_model: 2304,
    d_ff: Some(9216),
    n_vocab: 256_000,
    context: 8192,
    n_heads: 8,
    n_kv_heads: Some(4),
    d_head: Some(256),
    norm: NormKind::Rms,
    eps: 1e-6,
    tied: true,
    activation: Activation::GeluTanh,
    theta: 10_000.0,
};

/// `Gemma2Config.sliding_window`, and llama.cpp's default for files that state none.
const WINDOW: usize = 4096;
/// `Gemma2Config.query_pre_attn_scalar`.
const SCALAR: f64 = 256.0;
/// Layers of the 27B model.
const LAYERS_27B: usize = 46;

const QUERY_SCALAR: Key = key("", "query_pre_attn_scalar");
const SCORE_SOFTCAP: Key = key("attn_logit_softcapping", "attn_logit_softcapping");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let decoder = Decoder::read(file, &DEFAULTS)?.with_unit_offset_norms();
    let rope = decoder.rope(RopeStyle::new(Pairing::Halves))?;
    let windows = decoder.windows(Windows { default: Some(WINDOW), switched: false, layers: Sliding::Listed(&|layer| layer % 2 == 0) })?;
    let scale = score_scale(&decoder, LAYERS_27B)?;
    let softcap = cap(file, SCORE_SOFTCAP, 50.0)?;
    let spec = decoder.spec("gemma2", |layer| {
        let attention = Attention { scale, softcap, ..decoder.attention(layer, Some(&rope), windows[layer])? };
        decoder.sandwich_layer(layer, attention, decoder.dense(layer)?)
    })?;
    Ok(Spec { embedding_scale: (spec.d_model as f32).sqrt(), logit_softcap: cap(file, names::FINAL_SOFTCAP, 30.0)?, ..spec })
}

/// `1/√query_pre_attn_scalar`. GGUF has no key for it: there the 27B model (of either version) is known by its layers, as in
/// llama.cpp, and divides by the width of the residual stream per head.
pub(super) fn score_scale(decoder: &Decoder, layers_27b: usize) -> Result<f32, ModelError> {
    let sizes = &decoder.sizes;
    let scalar = match decoder.file.layout {
        Layout::HuggingFace => decoder.file.positive(QUERY_SCALAR)?.unwrap_or(SCALAR),
        Layout::Gguf if sizes.n_layers == layers_27b => sizes.d_model as f64 / sizes.n_heads as f64,
        Layout::Gguf => sizes.d_head as f64,
    };
    Ok((1.0 / scalar.sqrt()) as f32)
}

/// A soft cap with the value that both layouts assume where it is missing; `null`, or GGUF's 0, is no cap.
fn cap(file: &Reader, key: Key, default: f64) -> Result<Option<f32>, ModelError> {
    let stated = match file.number(key)? {
        Some(0.0) => None,
        Some(_) => file.positive(key)?,
        None if file.is_null(key) => None,
        None => Some(default),
    };
    Ok(stated.map(|cap| cap as f32))
}
