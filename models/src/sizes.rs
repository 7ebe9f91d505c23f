//! The sizes that every decoder has, read from either layout, with a family's defaults where `config.json` leaves them out.

use crate::error::ModelError;
use crate::names::{self, Key};
use crate::reader::{Reader, limits, shown, wrong};
use crate::spec::{Activation, NormKind};

/// What a family's Hugging Face configuration class assumes of keys that are missing. GGUF files state everything.
pub(crate) struct Defaults {
    pub n_layers: usize,
    pub d_model: usize,
    /// `None`: four times the width.
    pub d_ff: Option<usize>,
    pub n_vocab: usize,
    pub context: usize,
    pub n_heads: usize,
    /// `None`: as many as query heads.
    pub n_kv_heads: Option<usize>,
    /// `None`: `d_model / n_heads`.
    pub d_head: Option<usize>,
    pub norm: NormKind,
    pub eps: f64,
    pub tied: bool,
    pub activation: Activation,
    /// Base of the rotary frequencies.
    pub theta: f64,
}

/// A decoder's sizes. All are above zero and within [`limits`]; `n_kv_heads` divides `n_heads`.
#[derive(Debug, Clone)]
pub(crate) struct Sizes {
    pub n_layers: usize,
    pub d_model: usize,
    pub d_ff: usize,
    pub n_vocab: usize,
    pub context: usize,
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub d_head: usize,
    pub norm: NormKind,
    pub eps: f32,
    /// The output matrix is the embedding.
    pub tied: bool,
    /// The attention projections have biases for certain; where this is false, a bias is used if the file has it.
    pub attention_bias: bool,
    /// As `attention_bias`, for the feed-forward projections.
    pub mlp_bias: bool,
    pub activation: Activation,
    pub theta: f64,
}

impl Sizes {
    /// Reads and checks them.
    pub fn read(file: &Reader, defaults: &Defaults) -> Result<Self, ModelError> {
        let count = |key, default, most| match file.count(key, most)?.or(file.in_config(default)) {
            Some(count) => Ok(count),
            None => Err(file.missing(key)),
        };
        let d_model = count(names::D_MODEL, defaults.d_model, limits::WIDTH)?;
        let n_heads = count(names::N_HEADS, defaults.n_heads, limits::HEADS)?;
        let n_kv_heads = match file.count(names::N_KV_HEADS, limits::HEADS)? {
            Some(n) => n,
            None if file.is_null(names::N_KV_HEADS) => n_heads,
            None => defaults.n_kv_heads.and_then(|n| file.in_config(n)).unwrap_or(n_heads),
        };
        if !n_heads.is_multiple_of(n_kv_heads) {
            let key = file.spell(names::N_KV_HEADS).unwrap_or_default();
            return Err(wrong(&key, format!("a divisor of the {n_heads} query heads"), n_kv_heads.to_string()));
        }
        let key = if defaults.norm == NormKind::Rms { names::RMS_EPS } else { names::LAYER_EPS };
        let eps = match file.positive(key)?.or(file.in_config(defaults.eps)) {
            Some(eps) => eps as f32,
            None => return Err(file.missing(key)),
        };
        let n_vocab = match file.in_config(defaults.n_vocab) {
            Some(default) => count(names::N_VOCAB, default, limits::VOCAB)?,
            None => embedding_rows(file)?,
        };
        let tied = match file.in_config(defaults.tied) {
            Some(default) => file.flag(names::TIED)?.unwrap_or(default),
            None => file.shape(&format!("{}.weight", file.output())).is_none(),
        };
        Ok(Sizes {
            n_layers: count(names::N_LAYERS, defaults.n_layers, limits::LAYERS)?,
            d_model,
            d_ff: count(names::D_FF, defaults.d_ff.unwrap_or(4 * d_model), limits::WIDTH)?,
            n_vocab,
            context: count(names::CONTEXT, defaults.context, limits::CONTEXT)?,
            n_heads,
            n_kv_heads,
            d_head: d_head(file, defaults, d_model, n_heads)?,
            norm: defaults.norm,
            eps,
            tied,
            attention_bias: file.flag(names::ATTENTION_BIAS)?.unwrap_or(false),
            mlp_bias: file.flag(names::MLP_BIAS)?.unwrap_or(false),
            activation: activation(file, defaults.activation)?,
            theta: defaults.theta,
        })
    }
}

/// GGUF's vocabulary is as long as the embedding: some converters cut rows that have no token, and `vocab_size` is optional.
fn embedding_rows(file: &Reader) -> Result<usize, ModelError> {
    let name = format!("{}.weight", file.tensor(names::EMBEDDING, 0));
    match file.shape(&name) {
        None => Err(ModelError::MissingTensor { name }),
        Some(shape) => match shape[..] {
            [rows, _] if (1..=limits::VOCAB).contains(&rows) => Ok(rows),
            _ => Err(wrong(&name, format!("2 dimensions with 1 to {} rows", limits::VOCAB), format!("{shape:?}"))),
        },
    }
}

fn d_head(file: &Reader, defaults: &Defaults, d_model: usize, n_heads: usize) -> Result<usize, ModelError> {
    let stated = file.count(names::D_HEAD, limits::D_HEAD)?.or(defaults.d_head.and_then(|d| file.in_config(d)));
    let d_head = match stated {
        Some(d_head) => d_head,
        None if d_model.is_multiple_of(n_heads) && d_model / n_heads <= limits::D_HEAD => d_model / n_heads,
        None => {
            let key = file.spell(names::N_HEADS).unwrap_or_default();
            let expected = format!("a divisor of the width {d_model} that leaves at most {} for a head", limits::D_HEAD);
            return Err(wrong(&key, expected, n_heads.to_string()));
        }
    };
    match file.count(names::D_VALUE, limits::D_HEAD)? {
        Some(d_value) if d_value != d_head => {
            let found = format!("{d_value} while keys are {d_head} wide");
            Err(file.unsupported(names::D_VALUE, found, "values must be as wide as keys"))
        }
        _ => Ok(d_head),
    }
}

/// The activations by the names of `config.json`.
const ACTIVATIONS: [(&str, Activation); 9] = [
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu", Activation::Gelu),
    ("gelu_python", Activation::Gelu),
    ("relu", Activation::Relu),
    ("tanh", Activation::Tanh),
];

/// GGUF has a key for it in few architectures (ModernBERT's). Gemma's `hidden_activation` goes before a `hidden_act` that older files
/// kept beside it.
fn activation(file: &Reader, default: Activation) -> Result<Activation, ModelError> {
    for key in [names::GEMMA_ACTIVATION, names::ACTIVATION] {
        if let Some(activation) = activation_at(file, key)? {
            return Ok(activation);
        }
    }
    Ok(default)
}

/// The activation that `key` names, if the file has it.
pub(crate) fn activation_at(file: &Reader, key: Key) -> Result<Option<Activation>, ModelError> {
    let Some(name) = file.text(key)? else { return Ok(None) };
    match ACTIVATIONS.iter().find(|(known, _)| *known == name) {
        Some((_, activation)) => Ok(Some(*activation)),
        None => {
            let known: Vec<_> = ACTIVATIONS.iter().map(|(known, _)| *known).collect();
            let key = file.spell(key).unwrap_or_default();
            Err(wrong(&key, format!("one of {}", known.join(", ")), shown(&crate::Value::Text(name))))
        }
    }
}
