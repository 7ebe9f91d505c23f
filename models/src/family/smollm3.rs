//! SmolLM 3 (Bakouch et al. 2025): Llama in which every fourth layer has no rotary positions (NoPE, Yang et al. 2025).
//!
//! `config.json` lists the layers or states the interval; GGUF knows only the interval of four. Where a window is switched on, it
//! is in the layers without positions.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{Key, key};
use crate::reader::{Reader, limits, wrong};
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, NormKind, Pairing, Spec};
use crate::window::{Sliding, Windows};

pub(super) const FAMILY: Family = Family { name: "smollm3", gguf: &["smollm3"], hugging_face: &["smollm3"], describe };

/// `SmolLM3Config`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 36,
    d_model: 2048,
    d_ff: Some(11008),
    n_vocab: 128_256,
    context: 32768,
    n_heads: 16,
    n_kv_heads: Some(4),
    d_head: None,
    norm: NormKind::Rms,
    eps: 1e-6,
    tied: true,
    activation: Activation::Silu,
    theta: 2_000_000.0,
};

/// 1 for a layer that turns, 0 for one that does not.
const TURNS: Key = key("", "no_rope_layers");
/// Every n-th layer does not turn.
const INTERVAL: Key = key("", "no_rope_layer_interval");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let decoder = Decoder::read(file, &DEFAULTS)?;
    let rope = decoder.rope(RopeStyle::new(Pairing::Adjacent))?;
    let turns = turning_layers(file, decoder.sizes.n_layers)?;
    let windows = decoder.windows(Windows { default: None, switched: true, layers: Sliding::Listed(&|layer| !turns[layer]) })?;
    decoder.spec("smollm3", |layer| {
        let attention = decoder.attention(layer, Some(&rope).filter(|_| turns[layer]), windows[layer])?;
        decoder.pre_norm_layer(layer, attention, decoder.dense(layer)?)
    })
}

/// Transformers takes a list that is longer than the model, so only a shorter one is wrong.
fn turning_layers(file: &Reader, n_layers: usize) -> Result<Vec<bool>, ModelError> {
    match file.flags(TURNS)? {
        Some((key, turns)) if turns.len() < n_layers => {
            Err(wrong(&key, format!("{n_layers} items, one for each layer"), format!("{} items", turns.len())))
        }
        Some((_, turns)) => Ok(turns),
        None => {
            let interval = file.count(INTERVAL, limits::LAYERS)?.unwrap_or(4);
            Ok((1..=n_layers).map(|layer| layer % interval != 0).collect())
        }
    }
}
