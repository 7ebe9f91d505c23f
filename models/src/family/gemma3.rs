//! Gemma 3 (Kamath et al. 2025): Gemma 2 with norms on query and key heads in place of the score cap, five windowed layers to each
//! that sees everything, and a rotation for each kind: the windowed layers keep base 10 000 and are never stretched. The configuration
//! class still has Gemma 2's `attn_logit_softcapping`, but nothing computes with it.

use super::{Family, gemma2};
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names;
use crate::reader::Reader;
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, NormKind, Pairing, Spec};
use crate::window::{Sliding, Windows};

pub(super) const FAMILY: Family = Family { name: "gemma3", gguf: &["gemma3"], hugging_face: &["gemma3_text", "gemma3"], describe };

/// `Gemma3TextConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 26,
    d_model: 2304,
    d_ff: Some(9216),
    n_vocab: 262_208,
    context: 131_072,
    n_heads: 8,
    n_kv_heads: Some(4),
    d_head: Some(256),
    norm: NormKind::Rms,
    eps: 1e-6,
    tied: true,
    activation: Activation::GeluTanh,
    theta: 1_000_000.0,
};

/// `Gemma3TextConfig.sliding_window`; a GGUF file that states none has none.
const WINDOW: usize = 4096;
/// Base of the rotation in windowed layers.
const SLIDING_THETA: f64 = 10_000.0;
/// Layers of the 27B model.
const LAYERS_27B: usize = 62;

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let decoder = Decoder::read(file, &DEFAULTS)?.with_unit_offset_norms();
    let style = RopeStyle::new(Pairing::Halves);
    let (full, sliding) = (decoder.rope(style)?, decoder.sliding_rope(style, SLIDING_THETA)?);
    let layers = Sliding::Listed(&|layer| (layer + 1) % 6 != 0);
    let windows = decoder.windows(Windows { default: file.in_config(WINDOW), switched: false, layers })?;
    let scale = gemma2::score_scale(&decoder, LAYERS_27B)?;
    let spec = decoder.spec("gemma3", |layer| {
        let rope = if windows[layer].is_some() { &sliding } else { &full };
        let attention =
            Attention { qk_norm: Some(decoder.qk_norm(layer, true)?), scale, ..decoder.attention(layer, Some(rope), windows[layer])? };
        decoder.sandwich_layer(layer, attention, decoder.dense(layer)?)
    })?;
    let logit_softcap = file.number(names::FINAL_SOFTCAP)?.filter(|&cap| cap > 0.0).map(|cap| cap as f32);
    Ok(Spec { embedding_scale: (spec.d_model as f32).sqrt(), logit_softcap, ..spec })
}
