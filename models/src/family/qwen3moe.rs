//! Qwen 3 with experts (Yang et al. 2025): many narrow experts, of which a router picks eight for each row.
//!
//! `config.json` may leave some layers dense, and says whether the chosen weights are divided by their sum; GGUF files are of models
//! where every layer has experts and the weights are divided.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{EXPERTS, Key, key};
use crate::reader::{Reader, limits, shown, wrong};
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, NormKind, Pairing, Spec};
use crate::window::{Sliding, Windows};

pub(super) const FAMILY: Family = Family { name: "qwen3moe", gguf: &["qwen3moe"], hugging_face: &["qwen3_moe"], describe };

/// `Qwen3MoeConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 24,
    d_model: 2048,
    d_ff: Some(6144),
    n_vocab: 151_936,
    context: 32768,
    n_heads: 32,
    n_kv_heads: Some(4),
    d_head: None,
    norm: NormKind::Rms,
    eps: 1e-6,
    tied: false,
    activation: Activation::Silu,
    theta: 10_000.0,
};

const N_EXPERTS: [Key; 2] = [key("expert_count", "num_experts"), key("", "num_local_experts")];
const D_FF_EXPERT: Key = key("expert_feed_forward_length", "moe_intermediate_size");
const NORMALISE: Key = key("", "norm_topk_prob");
/// Every n-th layer has experts.
const EVERY: Key = key("", "decoder_sparse_step");
/// Layers that have none all the same.
const DENSE: Key = key("", "mlp_only_layers");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let decoder = Decoder::read(file, &DEFAULTS)?;
    let rope = decoder.rope(RopeStyle::new(Pairing::Halves))?;
    let windows = decoder.windows(Windows { default: Some(4096), switched: true, layers: Sliding::Every })?;
    let mut n_experts = None;
    for key in N_EXPERTS {
        n_experts = n_experts.or(file.count(key, limits::EXPERTS)?);
    }
    let Some(n_experts) = n_experts.or(file.in_config(128)) else {
        return Err(file.missing(N_EXPERTS[0]));
    };
    let experts = decoder.experts_used(n_experts, 8)?;
    let d_ff = match file.count(D_FF_EXPERT, limits::WIDTH)?.or(file.in_config(768)) {
        Some(d_ff) => d_ff,
        // As llama.cpp does for files from before the key.
        None => (decoder.sizes.d_ff / experts.1).max(1),
    };
    let normalise = file.flag(NORMALISE)?.unwrap_or(file.in_config(false).is_none());
    let sparse = sparse_layers(file, decoder.sizes.n_layers)?;
    decoder.spec("qwen3moe", |layer| {
        let attention =
            Attention { qk_norm: Some(decoder.qk_norm(layer, true)?), ..decoder.attention(layer, Some(&rope), windows[layer])? };
        let feed = if sparse[layer] { decoder.experts(layer, &[EXPERTS], experts, d_ff, normalise)? } else { decoder.dense(layer)? };
        decoder.pre_norm_layer(layer, attention, feed)
    })
}

/// Which layers have experts.
fn sparse_layers(file: &Reader, n_layers: usize) -> Result<Vec<bool>, ModelError> {
    let every = file.count(EVERY, limits::LAYERS)?.unwrap_or(1);
    let mut sparse: Vec<bool> = (1..=n_layers).map(|layer| layer % every == 0).collect();
    if let Some((key, layers)) = file.list(DENSE) {
        for item in layers {
            match item {
                // Layers beyond the last are ignored, as in transformers.
                crate::Value::Int(layer) if layer >= 0 => {
                    if let Some(sparse) = usize::try_from(layer).ok().and_then(|layer| sparse.get_mut(layer)) {
                        *sparse = false;
                    }
                }
                other => return Err(wrong(&key, "numbers of layers, from 0".into(), shown(&other))),
            }
        }
    }
    Ok(sparse)
}
