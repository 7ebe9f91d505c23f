//! MPT (MosaicML 2023): ALiBi in place of positions (Press et al. 2022), layer norms and matrices without biases, and queries, keys and
//! values that may be held within bounds. Models that switch ALiBi off have learned positions. In GGUF there are models that norm all
//! queries and all keys (SEA-LION).

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::metadata::Layout;
use crate::names::{self, Dialect, Key, key};
use crate::reader::Reader;
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, Bias, NormKind, Spec};

pub(super) const FAMILY: Family = Family { name: "mpt", gguf: &["mpt"], hugging_face: &["mpt"], describe };

/// `MptConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 24,
    d_model: 2048,
    d_ff: None,
    n_vocab: 50368,
    context: 2048,
    n_heads: 16,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-5,
    tied: true,
    activation: Activation::Gelu,
    theta: 10_000.0,
};

const DIALECT: Dialect = Dialect {
    roots: &[("transformer.", "lm_head")],
    spellings: &[
        ("hidden_size", "d_model"),
        ("num_hidden_layers", "n_layers"),
        ("num_attention_heads", "n_heads"),
        ("num_key_value_heads", "attn_config.kv_n_heads"),
        ("max_position_embeddings", "max_seq_len"),
        ("layer_norm_eps", "layer_norm_epsilon"),
        ("embed_tokens", "wte"),
        ("embed_positions", "wpe"),
        ("norm", "norm_f"),
        ("layers.{}.input_layernorm", "blocks.{}.norm_1"),
        ("layers.{}.self_attn.qkv_proj", "blocks.{}.attn.Wqkv"),
        ("layers.{}.self_attn.o_proj", "blocks.{}.attn.out_proj"),
        ("layers.{}.post_attention_layernorm", "blocks.{}.norm_2"),
        ("layers.{}.mlp.up_proj", "blocks.{}.ffn.up_proj"),
        ("layers.{}.mlp.down_proj", "blocks.{}.ffn.down_proj"),
    ],
};

const CLIP: Key = key("attention.clamp_kqv", "attn_config.clip_qkv");
const SCALE: Key = key("", "attn_config.softmax_scale");
const ALIBI: Key = key("", "attn_config.alibi");
/// The last head's slope is two to the minus this; GGUF writes 0 for no ALiBi.
const STEEPEST: Key = key("attention.max_alibi_bias", "attn_config.alibi_bias_max");
/// What transformers' class does not compute either.
const REFUSED: [(Key, &str); 2] = [
    (key("", "attn_config.qk_ln"), "norms on queries and keys are not supported in this family"),
    (key("", "attn_config.prefix_lm"), "prefixes that see later tokens are not supported"),
];

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    for (key, why) in REFUSED {
        if file.flag(key)?.unwrap_or(false) {
            return Err(file.unsupported(key, true, why));
        }
    }
    let decoder = Decoder::read(file, &DEFAULTS)?;
    let clip = file.positive_or_off(CLIP)?.map(|clip| clip as f32);
    let scale = file.positive(SCALE)?.map(|scale| scale as f32);
    let steepest = match file.number(STEEPEST)?.or(file.in_config(8.0)) {
        Some(steepest) if steepest != 0.0 && file.flag(ALIBI)?.unwrap_or(true) => file.positive(STEEPEST)?.or(Some(steepest)),
        _ => None,
    };
    let bias = steepest.map(|steepest| Bias::alibi(decoder.sizes.n_heads, steepest));
    // llama.cpp goes by the tensors that are there.
    let (normed, placed) = match file.layout {
        Layout::HuggingFace => (false, bias.is_none()),
        Layout::Gguf => (file.has_weight(names::Q_NORM, 0), file.has_weight(names::POSITIONS, 0)),
    };
    let spec = decoder.spec("mpt", |layer| {
        let attention = decoder.attention(layer, None, None)?;
        let scale = scale.unwrap_or(attention.scale);
        let qk_norm = normed.then(|| decoder.qk_norm(layer, false)).transpose()?;
        let attention = Attention { scale, clip, qk_norm, bias: bias.clone(), ..attention };
        decoder.pre_norm_layer(layer, attention, decoder.dense_without_gate(layer)?)
    })?;
    let positions = placed.then(|| decoder.positions(0)).transpose()?;
    Ok(Spec { positions, ..spec })
}
