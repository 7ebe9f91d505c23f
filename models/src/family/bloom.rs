//! Bloom (BigScience 2022): ALiBi in place of positions (Press et al. 2022), a norm on the token embeddings, biases everywhere, and
//! q, k and v fused head by head in Hugging Face files.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{Dialect, Key, Name, key, name};
use crate::reader::Reader;
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, Bias, NormKind, Spec};

pub(super) const FAMILY: Family = Family { name: "bloom", gguf: &["bloom"], hugging_face: &["bloom"], describe };

/// `BloomConfig`, which has no length: the models saw 2048 tokens.
const DEFAULTS: Defaults = Defaults {
    n_layers: 2,
    d_model: 64,
    d_ff: None,
    n_vocab: 250_880,
    context: 2048,
    n_heads: 8,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-5,
    tied: true,
    activation: Activation::GeluTanh,
    theta: 10_000.0,
};

/// The published files have older spellings of the sizes.
const DIALECT: Dialect = Dialect {
    roots: &[("transformer.", "lm_head")],
    spellings: &[
        ("hidden_size", "n_embed"),
        ("num_hidden_layers", "n_layer"),
        ("num_attention_heads", "n_head"),
        ("max_position_embeddings", "seq_length"),
        ("layer_norm_eps", "layer_norm_epsilon"),
        ("embed_tokens", "word_embeddings"),
        ("norm", "ln_f"),
        ("layers.{}.input_layernorm", "h.{}.input_layernorm"),
        ("layers.{}.self_attn.qkv_proj", "h.{}.self_attention.query_key_value"),
        ("layers.{}.self_attn.o_proj", "h.{}.self_attention.dense"),
        ("layers.{}.post_attention_layernorm", "h.{}.post_attention_layernorm"),
        ("layers.{}.mlp.up_proj", "h.{}.mlp.dense_h_to_4h"),
        ("layers.{}.mlp.down_proj", "h.{}.mlp.dense_4h_to_h"),
    ],
};

const EMBEDDING_NORM: Name = name("token_embd_norm", "word_embeddings_layernorm");
/// What a block gives is added to what it read, and not to the stream.
const RESIDUAL_OF_NORMED: Key = key("", "apply_residual_connection_post_layernorm");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    if file.flag(RESIDUAL_OF_NORMED)?.unwrap_or(false) {
        let why = "blocks are added to the residual stream only, as in all published models";
        return Err(file.unsupported(RESIDUAL_OF_NORMED, true, why));
    }
    let decoder = Decoder::read(file, &DEFAULTS)?.with_interleaved_heads();
    let bias = Some(Bias::alibi(decoder.sizes.n_heads, 8.0));
    let spec = decoder.spec("bloom", |layer| {
        let attention = Attention { bias: bias.clone(), ..decoder.attention(layer, None, None)? };
        decoder.pre_norm_layer(layer, attention, decoder.dense_without_gate(layer)?)
    })?;
    Ok(Spec { embedding_norm: Some(decoder.norm(EMBEDDING_NORM, 0)?), ..spec })
}
