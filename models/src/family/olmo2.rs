//! OLMo 2 (Walsh et al. 2025) and OLMo 3: no norm before a block, but one on what it gives, and one on all queries and all keys.
//!
//! OLMo 3, which GGUF calls `olmo2` as well, adds a window in three of four layers; those are not stretched.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names;
use crate::reader::Reader;
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, Layer, NormKind, Pairing, Residual, Spec};
use crate::window::{Sliding, Windows};

pub(super) const FAMILY: Family = Family { name: "olmo2", gguf: &["olmo2"], hugging_face: &["olmo2", "olmo3"], describe };

/// `Olmo2Config`, and `Olmo3Config` but for the base.
const DEFAULTS: Defaults = Defaults {
    n_layers: 32,
    d_model: 4096,
    d_ff: Some(11008),
    n_vocab: 50304,
    context: 2048,
    n_heads: 32,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Rms,
    eps: 1e-5,
    tied: false,
    activation: Activation::Silu,
    theta: 10_000.0,
};

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    // `Olmo3Config.sliding_window` and `.default_theta`.
    let (window, theta) = if file.architecture == "olmo3" { (Some(4096), 500_000.0) } else { (None, DEFAULTS.theta) };
    let decoder = Decoder::read(file, &Defaults { theta, ..DEFAULTS })?;
    let style = RopeStyle::new(Pairing::Halves);
    let full = decoder.rope(style)?;
    let sliding = decoder.sliding_rope(style, full.base)?;
    let layers = Sliding::Listed(&|layer| (layer + 1) % 4 != 0);
    let windows = decoder.windows(Windows { default: window, switched: false, layers })?;
    decoder.spec("olmo2", |layer| {
        let rope = if windows[layer].is_some() { &sliding } else { &full };
        Ok(Layer {
            residual: Residual::Sequential,
            attention_norm: None,
            attention: Attention { qk_norm: Some(decoder.qk_norm(layer, false)?), ..decoder.attention(layer, Some(rope), windows[layer])? },
            attention_post_norm: Some(decoder.norm(names::ATTENTION_POST_NORM, layer)?),
            cross: None,
            feed_norm: None,
            feed: decoder.dense(layer)?,
            feed_post_norm: Some(decoder.norm(names::FEED_POST_NORM, layer)?),
        })
    })
}
