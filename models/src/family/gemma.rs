//! Gemma (Mesnard et al. 2024): embeddings scaled by √d_model, norms that multiply by `1 + weight`, a GELU gate, tied embeddings.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::reader::Reader;
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, NormKind, Pairing, Spec};

pub(super) const FAMILY: Family = Family { name: "gemma", gguf: &["gemma"], hugging_face: &["gemma"], describe };

/// `GemmaConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 28,
    d_model: 3072,
    d_ff: Some(24576),
    n_vocab: 256_000,
    context: 8192,
    n_heads: 16,
    n_kv_heads: Some(16),
    d_head: Some(256),
    norm: NormKind::Rms,
    eps: 1e-6,
    tied: true,
    activation: Activation::GeluTanh,
    theta: 10_000.0,
};

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let mut decoder = Decoder::read(file, &DEFAULTS)?.with_unit_offset_norms();
    // The first releases say `gelu` and mean the approximation that they were trained with.
    if decoder.sizes.activation == Activation::Gelu {
        decoder.sizes.activation = Activation::GeluTanh;
    }
    let rope = decoder.rope(RopeStyle::new(Pairing::Halves))?;
    let spec = decoder.spec("gemma", |layer| {
        let attention = decoder.attention(layer, Some(&rope), None)?;
        decoder.pre_norm_layer(layer, attention, decoder.dense(layer)?)
    })?;
    Ok(Spec { embedding_scale: (spec.d_model as f32).sqrt(), ..spec })
}
