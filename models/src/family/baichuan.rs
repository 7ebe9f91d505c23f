//! Baichuan (Baichuan Inc. 2023): Llama with queries, keys and values in one tensor. The models of 40 layers (13B) have ALiBi (Press et al.
//! 2022) in place of the rotation; no key says so, and llama.cpp tells them by their layers too.
//!
//! Of Baichuan 2, whose output matrix has its rows scaled to length 1 by the model's code, files with the scaled matrix are read: those
//! of GGUF. A folder as it is published would have to be scaled first.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::metadata::Layout;
use crate::names::{self, Dialect, Key, key};
use crate::reader::Reader;
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, Bias, NormKind, Pairing, Spec};

pub(super) const FAMILY: Family = Family { name: "baichuan", gguf: &["baichuan"], hugging_face: &["baichuan"], describe };

/// `BaichuanConfig` of the 7B models.
const DEFAULTS: Defaults = Defaults {
    n_layers: 32,
    d_model: 4096,
    d_ff: Some(11008),
    n_vocab: 64000,
    context: 4096,
    n_heads: 32,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Rms,
    eps: 1e-6,
    tied: false,
    activation: Activation::Silu,
    theta: 10_000.0,
};

const PACKED: (&str, &str) = ("layers.{}.self_attn.qkv_proj", "layers.{}.self_attn.W_pack");
const DIALECT: Dialect = Dialect { roots: &[("model.", "lm_head")], spellings: &[PACKED] };
/// The 13B models' configuration has another word for the trained length.
const DIALECT_13B: Dialect =
    Dialect { roots: &[("model.", "lm_head")], spellings: &[PACKED, ("max_position_embeddings", "model_max_length")] };

/// Layers of the models with ALiBi.
const LAYERS_13B: usize = 40;
/// Tokens of Baichuan 2's vocabulary.
const VOCABULARY_2: usize = 125_696;

const LENGTH_13B: Key = key("", "model_max_length");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let dialect = if file.value(LENGTH_13B.hugging_face).is_some() { &DIALECT_13B } else { &DIALECT };
    let file = &file.speaking(dialect);
    let decoder = Decoder::read(file, &DEFAULTS)?;
    let sizes = &decoder.sizes;
    if file.layout == Layout::HuggingFace && sizes.n_vocab == VOCABULARY_2 {
        let why = "Baichuan 2 scales the rows of lm_head to length 1 when it runs; a GGUF file with the scaled matrix can be read";
        return Err(file.unsupported(names::N_VOCAB, VOCABULARY_2, why));
    }
    let bias = (sizes.n_layers == LAYERS_13B).then(|| Bias::alibi(sizes.n_heads, 8.0));
    let rope = if bias.is_some() { None } else { Some(decoder.rope(RopeStyle::new(Pairing::Adjacent))?) };
    decoder.spec("baichuan", |layer| {
        let attention = Attention { bias: bias.clone(), ..decoder.attention(layer, rope.as_ref(), None)? };
        decoder.pre_norm_layer(layer, attention, decoder.dense(layer)?)
    })
}
