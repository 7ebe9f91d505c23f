//! Granite 3 (IBM 2024): Llama with four multipliers: on embeddings, on scores, on what joins the residual stream, and under logits.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::metadata::Layout;
use crate::names::{Key, key};
use crate::reader::Reader;
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, NormKind, Pairing, Spec};

pub(super) const FAMILY: Family = Family { name: "granite", gguf: &["granite"], hugging_face: &["granite"], describe };

/// `GraniteConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 32,
    d_model: 4096,
    d_ff: Some(11008),
    n_vocab: 32000,
    context: 2048,
    n_heads: 32,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Rms,
    eps: 1e-6,
    tied: false,
    activation: Activation::Silu,
    theta: 10_000.0,
};

const EMBEDDING_SCALE: Key = key("embedding_scale", "embedding_multiplier");
const SCORE_SCALE: Key = key("attention.scale", "attention_multiplier");
const RESIDUAL_SCALE: Key = key("residual_scale", "residual_multiplier");
/// Logits are divided by it.
const LOGIT_DIVISOR: Key = key("logit_scale", "logits_scaling");
/// False where the model has no rotary positions at all.
const TURNS: Key = key("rope.scaling.finetuned", "");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let decoder = Decoder::read(file, &DEFAULTS)?;
    let rope = Some(decoder.rope(RopeStyle::new(Pairing::Adjacent))?);
    let rope = if file.flag(TURNS)?.unwrap_or(true) { rope } else { None };
    let multiplier = |key| Ok(file.positive_or_off(key)?.map(|scale| scale as f32));
    let score_scale = match (multiplier(SCORE_SCALE)?, file.layout) {
        (None, Layout::HuggingFace) => Some(1.0),
        (stated, _) => stated,
    };
    let spec = decoder.spec("granite", |layer| {
        let attention = decoder.attention(layer, rope.as_ref(), None)?;
        let scale = score_scale.unwrap_or(attention.scale);
        decoder.pre_norm_layer(layer, Attention { scale, ..attention }, decoder.dense(layer)?)
    })?;
    Ok(Spec {
        embedding_scale: multiplier(EMBEDDING_SCALE)?.unwrap_or(1.0),
        residual_scale: multiplier(RESIDUAL_SCALE)?.unwrap_or(1.0),
        logit_scale: 1.0 / multiplier(LOGIT_DIVISOR)?.unwrap_or(1.0),
        ..spec
    })
}
