//! StarCoder 2 (Lozhkov et al. 2024): grouped queries and rotary positions, with GPT-2's layer norms, biases and ungated feed-forward
//! block, and a window in every layer where the file states one.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::Dialect;
use crate::reader::Reader;
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, NormKind, Pairing, Spec};
use crate::window::{Sliding, Windows};

pub(super) const FAMILY: Family = Family { name: "starcoder2", gguf: &["starcoder2"], hugging_face: &["starcoder2"], describe };

/// `Starcoder2Config`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 30,
    d_model: 3072,
    d_ff: Some(12288),
    n_vocab: 49152,
    context: 4096,
    n_heads: 24,
    n_kv_heads: Some(2),
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-5,
    tied: true,
    activation: Activation::GeluTanh,
    theta: 10_000.0,
};

const DIALECT: Dialect = Dialect {
    roots: &[("model.", "lm_head")],
    spellings: &[
        ("layer_norm_eps", "norm_epsilon"),
        ("attention_bias", "use_bias"),
        ("mlp_bias", "use_bias"),
        ("layers.{}.mlp.up_proj", "layers.{}.mlp.c_fc"),
        ("layers.{}.mlp.down_proj", "layers.{}.mlp.c_proj"),
    ],
};

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    let decoder = Decoder::read(file, &DEFAULTS)?;
    let rope = decoder.rope(RopeStyle::new(Pairing::Halves))?;
    let windows = decoder.windows(Windows { default: None, switched: false, layers: Sliding::Every })?;
    decoder.spec("starcoder2", |layer| {
        let attention = decoder.attention(layer, Some(&rope), windows[layer])?;
        decoder.pre_norm_layer(layer, attention, decoder.dense_without_gate(layer)?)
    })
}
