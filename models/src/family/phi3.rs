//! Phi-3, 3.5 and 4 (Abdin et al. 2024): Llama with q, k, v in one tensor and gate, up in another, a share of each head turned
//! (Phi-4 mini), and LongRoPE in the 128k models.
//!
//! Files that state a window have it in every layer, as transformers computes it; llama.cpp leaves it out.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{Name, name};
use crate::reader::Reader;
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, NormKind, Pairing, Spec};
use crate::window::{Sliding, Windows};

pub(super) const FAMILY: Family = Family { name: "phi3", gguf: &["phi3"], hugging_face: &["phi3"], describe };

/// `Phi3Config`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 32,
    d_model: 3072,
    d_ff: Some(8192),
    n_vocab: 32064,
    context: 4096,
    n_heads: 32,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Rms,
    eps: 1e-5,
    tied: false,
    activation: Activation::Silu,
    theta: 10_000.0,
};

/// Where an older file says `yarn` it means LongRoPE.
const ROPE: RopeStyle =
    RopeStyle { share: Some(1.0), original: Some(4096), renamed: &[("yarn", "longrope")], ..RopeStyle::new(Pairing::Halves) };

/// Gate above up.
const GATE_UP: Name = name("blk.{}.ffn_up", "layers.{}.mlp.gate_up_proj");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let decoder = Decoder::read(file, &DEFAULTS)?;
    let rope = decoder.rope(ROPE)?;
    let windows = decoder.windows(Windows { default: None, switched: false, layers: Sliding::Every })?;
    decoder.spec("phi3", |layer| {
        let attention = decoder.attention(layer, Some(&rope), windows[layer])?;
        decoder.pre_norm_layer(layer, attention, decoder.dense_fused(GATE_UP, layer)?)
    })
}
