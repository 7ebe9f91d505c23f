//! Qwen 2 and 2.5 (Yang et al. 2024): Llama with biases on q, k and v, and a window in the upper layers where it is switched on. GGUF
//! has models without the biases under this architecture too.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::metadata::Layout;
use crate::names::{self, Key, Name, key};
use crate::reader::{Reader, limits};
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, NormKind, Pairing, Spec};
use crate::window::{Sliding, Windows};

pub(super) const FAMILY: Family = Family { name: "qwen2", gguf: &["qwen2"], hugging_face: &["qwen2"], describe };

/// `Qwen2Config`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 32,
    d_model: 4096,
    d_ff: Some(22016),
    n_vocab: 151_936,
    context: 32768,
    n_heads: 32,
    n_kv_heads: Some(32),
    d_head: None,
    norm: NormKind::Rms,
    eps: 1e-6,
    tied: false,
    activation: Activation::Silu,
    theta: 10_000.0,
};

/// The lowest so many layers see everything.
const FULL_LAYERS: Key = key("", "max_window_layers");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let decoder = Decoder::read(file, &DEFAULTS)?;
    let rope = decoder.rope(RopeStyle::new(Pairing::Halves))?;
    let windows = upper_windows(&decoder)?;
    decoder.spec("qwen2", |layer| {
        let attention = decoder.attention(layer, Some(&rope), windows[layer])?;
        for (projection, name) in [(&attention.q, names::Q), (&attention.k, names::K), (&attention.v, names::V)] {
            if projection.bias.is_none() && file.layout == Layout::HuggingFace {
                return Err(missing_bias(file, name, layer));
            }
        }
        decoder.pre_norm_layer(layer, attention, decoder.dense(layer)?)
    })
}

/// The window of Qwen's layers (2 and 3): above `max_window_layers`, if `use_sliding_window` says so.
pub(super) fn upper_windows(decoder: &Decoder) -> Result<Vec<Option<usize>>, ModelError> {
    let file = decoder.file;
    let full = match file.spell(FULL_LAYERS) {
        Some(key) => file.whole_at(&key, 0..=limits::CONTEXT)?.unwrap_or(28),
        None => decoder.sizes.n_layers,
    };
    decoder.windows(Windows { default: Some(4096), switched: true, layers: Sliding::Listed(&|layer| layer >= full) })
}

fn missing_bias(file: &Reader, name: Name, layer: usize) -> ModelError {
    ModelError::MissingTensor { name: format!("{}.bias", file.tensor(name, layer)) }
}
