//! GPT-J (Wang & Komatsuzaki 2021): both blocks read the same normed stream, the first dimensions of each head are turned in adjacent
//! pairs as in the paper, and the output matrix has a bias. GGUF names the family, but nothing writes or reads it.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{self, Dialect, Key, key};
use crate::reader::{Reader, limits};
use crate::rope;
use crate::sizes::Defaults;
use crate::spec::{Activation, NormKind, Pairing, Rope, RopeScaling, Spec};

pub(super) const FAMILY: Family = Family { name: "gptj", gguf: &[], hugging_face: &["gptj"], describe };

/// `GPTJConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 28,
    d_model: 4096,
    d_ff: None,
    n_vocab: 50400,
    context: 2048,
    n_heads: 16,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-5,
    tied: false,
    activation: Activation::GeluTanh,
    theta: 10_000.0,
};

const DIALECT: Dialect = Dialect {
    roots: &[("transformer.", "lm_head")],
    spellings: &[
        ("hidden_size", "n_embd"),
        ("num_hidden_layers", "n_layer"),
        ("num_attention_heads", "n_head"),
        ("intermediate_size", "n_inner"),
        ("max_position_embeddings", "n_positions"),
        ("layer_norm_eps", "layer_norm_epsilon"),
        ("hidden_act", "activation_function"),
        ("embed_tokens", "wte"),
        ("norm", "ln_f"),
        ("layers.{}.input_layernorm", "h.{}.ln_1"),
        ("layers.{}.self_attn.q_proj", "h.{}.attn.q_proj"),
        ("layers.{}.self_attn.k_proj", "h.{}.attn.k_proj"),
        ("layers.{}.self_attn.v_proj", "h.{}.attn.v_proj"),
        ("layers.{}.self_attn.o_proj", "h.{}.attn.out_proj"),
        ("layers.{}.mlp.up_proj", "h.{}.mlp.fc_in"),
        ("layers.{}.mlp.down_proj", "h.{}.mlp.fc_out"),
    ],
};

/// Dimensions of a head that turn.
const TURNED: Key = key("", "rotary_dim");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    let decoder = Decoder::read(file, &DEFAULTS)?;
    let d_head = decoder.sizes.d_head;
    let turned = match file.count(TURNED, limits::D_HEAD)? {
        Some(dims) => dims,
        None if file.is_null(TURNED) => d_head,
        None => 64,
    };
    let dims = rope::dimensions(&file.spell(TURNED).unwrap_or_default(), turned as f64, d_head)?;
    let rope = Rope { pairing: Pairing::Adjacent, dims, base: DEFAULTS.theta, scaling: RopeScaling::None, factors: None, grouping: None };
    decoder.spec("gptj", |layer| {
        let (attention, feed) = (decoder.attention(layer, Some(&rope), None)?, decoder.dense_without_gate(layer)?);
        decoder.parallel_layer(layer, (names::ATTENTION_NORM, None), attention, feed)
    })
}
