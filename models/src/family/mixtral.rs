//! Mixtral (Jiang et al. 2024): Mistral whose feed-forward block is eight, of which a router picks two for each row.
//!
//! GGUF calls it `llama` with experts. Its Hugging Face tensors have names of their own, `w1`, `w3` and `w2` for gate, up and down.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{EXPERTS, ExpertNames, Key, key, name};
use crate::reader::{Reader, limits};
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, NormKind, Pairing, Spec};
use crate::window::{Sliding, Windows};

pub(super) const FAMILY: Family = Family { name: "mixtral", gguf: &[], hugging_face: &["mixtral"], describe };

/// `MixtralConfig`.
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
    eps: 1e-5,
    tied: false,
    activation: Activation::Silu,
    theta: 1_000_000.0,
};

pub(super) const N_EXPERTS: Key = key("expert_count", "num_local_experts");

/// As the published files spell them.
const BLOCK_SPARSE: ExpertNames = ExpertNames {
    router: name("", "layers.{}.block_sparse_moe.gate"),
    fused: name("", "layers.{}.block_sparse_moe.experts.gate_up_proj"),
    stacked: [
        name("", "layers.{}.block_sparse_moe.experts.gate_proj"),
        name("", "layers.{}.block_sparse_moe.experts.up_proj"),
        name("", "layers.{}.block_sparse_moe.experts.down_proj"),
    ],
    each: [
        name("", "layers.{}.block_sparse_moe.experts.{e}.w1.weight"),
        name("", "layers.{}.block_sparse_moe.experts.{e}.w3.weight"),
        name("", "layers.{}.block_sparse_moe.experts.{e}.w2.weight"),
    ],
};

pub(super) fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let decoder = Decoder::read(file, &DEFAULTS)?;
    let rope = decoder.rope(RopeStyle::new(Pairing::Adjacent))?;
    let windows = decoder.windows(Windows { default: None, switched: false, layers: Sliding::Every })?;
    let n_experts = file.count(N_EXPERTS, limits::EXPERTS)?.unwrap_or(8);
    let experts = decoder.experts_used(n_experts, 2)?;
    decoder.spec("mixtral", |layer| {
        let attention = decoder.attention(layer, Some(&rope), windows[layer])?;
        let feed = decoder.experts(layer, &[BLOCK_SPARSE, EXPERTS], experts, decoder.sizes.d_ff, true)?;
        decoder.pre_norm_layer(layer, attention, feed)
    })
}
