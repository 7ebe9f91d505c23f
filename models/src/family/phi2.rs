//! Phi 1, 1.5 and 2 (Li et al. 2023, Javaheripi et al. 2023): both blocks read the same normed stream, a share of each head is turned,
//! and every matrix has a bias, the output's too.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{self, Dialect, Key, key};
use crate::reader::Reader;
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, NormKind, Pairing, Spec};

pub(super) const FAMILY: Family = Family { name: "phi2", gguf: &["phi2"], hugging_face: &["phi"], describe };

/// `PhiConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 24,
    d_model: 2048,
    d_ff: Some(8192),
    n_vocab: 51200,
    context: 2048,
    n_heads: 32,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-5,
    tied: false,
    activation: Activation::GeluTanh,
    theta: 10_000.0,
};

const DIALECT: Dialect = Dialect {
    roots: &[("model.", "lm_head")],
    spellings: &[
        ("norm", "final_layernorm"),
        ("layers.{}.self_attn.o_proj", "layers.{}.self_attn.dense"),
        ("layers.{}.self_attn.q_norm", "layers.{}.self_attn.q_layernorm"),
        ("layers.{}.self_attn.k_norm", "layers.{}.self_attn.k_layernorm"),
        ("layers.{}.mlp.up_proj", "layers.{}.mlp.fc1"),
        ("layers.{}.mlp.down_proj", "layers.{}.mlp.fc2"),
    ],
};

/// A norm on each query and key head.
const QK_NORM: Key = key("", "qk_layernorm");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    let decoder = Decoder::read(file, &DEFAULTS)?;
    let rope = decoder.rope(RopeStyle { share: Some(0.5), ..RopeStyle::new(Pairing::Halves) })?;
    let normed = file.flag(QK_NORM)?.unwrap_or(false);
    decoder.spec("phi2", |layer| {
        let qk_norm = normed.then(|| decoder.qk_norm(layer, true)).transpose()?;
        let attention = Attention { qk_norm, ..decoder.attention(layer, Some(&rope), None)? };
        decoder.parallel_layer(layer, (names::ATTENTION_NORM, None), attention, decoder.dense_without_gate(layer)?)
    })
}
