//! Llama 1 to 3 (Touvron et al. 2023, Grattafiori et al. 2024), and what is built like it: TinyLlama, SmolLM 1 and 2, Yi, …
//!
//! RMS norms before each block, rotary positions, grouped-query attention, a SiLU-gated feed-forward block. Llama 3.1's stretched
//! frequencies come as a scaling in `config.json` and as a tensor of divisors in GGUF. GGUF's converter reorders the rows of q and
//! k so that dimensions which turn together are neighbours. In GGUF Mistral and Mixtral bear this architecture's name too.

use super::{Family, mixtral};
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::metadata::Layout;
use crate::reader::Reader;
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, NormKind, Pairing, Spec};
use crate::window::{Sliding, Windows};

pub(super) const FAMILY: Family = Family { name: "llama", gguf: &["llama"], hugging_face: &["llama"], describe };

/// `LlamaConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 32,
    d_model: 4096,
    d_ff: Some(11008),
    n_vocab: 32000,
    context: 2048,
    n_heads: 32,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Rms,
    eps: 1e-6,
    tied: false,
    activation: Activation::Silu,
    theta: 10_000.0,
};

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    if file.layout == Layout::Gguf && file.count_or_off(mixtral::N_EXPERTS)?.is_some() {
        return mixtral::describe(file);
    }
    // `config.json` has a window only for Mistral; a GGUF file that states one is a Mistral of this name.
    describe_dense("llama", file, &DEFAULTS, None)
}

/// What Llama and Mistral share: all but the name, the defaults and the window.
pub(super) fn describe_dense(family: &'static str, file: &Reader, defaults: &Defaults, window: Option<usize>) -> Result<Spec, ModelError> {
    let decoder = Decoder::read(file, defaults)?;
    let rope = decoder.rope(RopeStyle::new(Pairing::Adjacent))?;
    let windows = decoder.windows(Windows { default: window, switched: false, layers: Sliding::Every })?;
    decoder.spec(family, |layer| {
        let attention = decoder.attention(layer, Some(&rope), windows[layer])?;
        decoder.pre_norm_layer(layer, attention, decoder.dense(layer)?)
    })
}
