//! StableLM (Bellagente et al. 2024): Llama with layer norms and a quarter of each head turned. StableLM 2 12B lets both blocks read
//! the same normed stream and has a norm of its own for each query and key head.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::metadata::Layout;
use crate::names::{self, Dialect, Key, key};
use crate::reader::Reader;
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, NormKind, Pairing, Spec};

pub(super) const FAMILY: Family = Family { name: "stablelm", gguf: &["stablelm"], hugging_face: &["stablelm"], describe };

/// `StableLmConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 32,
    d_model: 2560,
    d_ff: Some(6912),
    n_vocab: 50304,
    context: 4096,
    n_heads: 32,
    n_kv_heads: Some(32),
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-5,
    tied: false,
    activation: Activation::Silu,
    theta: 10_000.0,
};

const DIALECT: Dialect = Dialect {
    roots: &[("model.", "lm_head")],
    spellings: &[
        ("layers.{}.self_attn.q_norm", "layers.{}.self_attn.q_layernorm"),
        ("layers.{}.self_attn.k_norm", "layers.{}.self_attn.k_layernorm"),
    ],
};

const PARALLEL: Key = key("", "use_parallel_residual");
const QK_NORM: Key = key("", "qk_layernorm");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    let decoder = Decoder::read(file, &DEFAULTS)?;
    let rope = decoder.rope(RopeStyle { share: Some(0.25), ..RopeStyle::new(Pairing::Halves) })?;
    // GGUF's `use_parallel_residual` is true in every file; llama.cpp goes by the norms that are there.
    let (parallel, normed) = match file.layout {
        Layout::HuggingFace => (file.flag(PARALLEL)?.unwrap_or(false), file.flag(QK_NORM)?.unwrap_or(false)),
        Layout::Gguf => (!file.has_weight(names::FEED_NORM, 0), file.has_weight(names::Q_NORM, 0)),
    };
    decoder.spec("stablelm", |layer| {
        let qk_norm = normed.then(|| decoder.qk_norm_of_each_head(layer)).transpose()?;
        let attention = Attention { qk_norm, ..decoder.attention(layer, Some(&rope), None)? };
        if parallel {
            decoder.parallel_layer(layer, (names::ATTENTION_NORM, None), attention, decoder.dense(layer)?)
        } else {
            decoder.pre_norm_layer(layer, attention, decoder.dense(layer)?)
        }
    })
}
