//! Command R and Aya (Cohere 2024): both blocks read the same normed stream, layer norms without biases, adjacent pairs turned, logits
//! scaled. Command R+ norms each query and key head with weights of its own.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::metadata::Layout;
use crate::names::{self, Key, key};
use crate::reader::Reader;
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, NormKind, Pairing, Spec};

pub(super) const FAMILY: Family = Family { name: "cohere", gguf: &["command-r"], hugging_face: &["cohere"], describe };

/// `CohereConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 40,
    d_model: 8192,
    d_ff: Some(22528),
    n_vocab: 256_000,
    context: 8192,
    n_heads: 64,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-5,
    tied: true,
    activation: Activation::Silu,
    theta: 500_000.0,
};

/// Both layouts' rows of q and k lie as the paper has them.
pub(super) const ROPE: RopeStyle = RopeStyle { hugging_face_pairing: Pairing::Adjacent, ..RopeStyle::new(Pairing::Adjacent) };

const QK_NORM: Key = key("", "use_qk_norm");
/// Logits are multiplied by it.
pub(super) const LOGIT_SCALE: Key = key("logit_scale", "logit_scale");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let decoder = Decoder::read(file, &DEFAULTS)?;
    let rope = decoder.rope(ROPE)?;
    let normed = match file.layout {
        Layout::HuggingFace => file.flag(QK_NORM)?.unwrap_or(false),
        Layout::Gguf => file.has_weight(names::Q_NORM, 0),
    };
    let spec = decoder.spec("cohere", |layer| {
        let qk_norm = normed.then(|| decoder.qk_norm_of_each_head(layer)).transpose()?;
        let attention = Attention { qk_norm, ..decoder.attention(layer, Some(&rope), None)? };
        decoder.parallel_layer(layer, (names::ATTENTION_NORM, None), attention, decoder.dense(layer)?)
    })?;
    // llama.cpp takes files of this architecture that state none.
    Ok(Spec { logit_scale: logit_scale(file)?.unwrap_or(1.0), ..spec })
}

/// The factor of the logits: 1/16 where `config.json` states none.
pub(super) fn logit_scale(file: &Reader) -> Result<Option<f32>, ModelError> {
    Ok(file.positive_or_off(LOGIT_SCALE)?.or(file.in_config(0.0625)).map(|scale| scale as f32))
}
