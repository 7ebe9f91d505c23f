//! XGLM (Lin et al. 2022): the first Transformer's sinusoidal positions, which are not learned and have no end, scaled embeddings, layer
//! norms before the blocks, biases everywhere. GGUF does not know the family.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{self, Dialect, Key, key};
use crate::reader::{Reader, wrong};
use crate::sizes::Defaults;
use crate::spec::{Activation, NormKind, PositionEmbedding, Spec};

pub(super) const FAMILY: Family = Family { name: "xglm", gguf: &[], hugging_face: &["xglm"], describe };

/// `XGLMConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 24,
    d_model: 1024,
    d_ff: Some(4096),
    n_vocab: 256_008,
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
    roots: &[("model.", "lm_head")],
    spellings: &[
        ("hidden_size", "d_model"),
        ("num_hidden_layers", "num_layers"),
        ("num_attention_heads", "attention_heads"),
        ("intermediate_size", "ffn_dim"),
        ("hidden_act", "activation_function"),
        ("norm", "layer_norm"),
        ("layers.{}.input_layernorm", "layers.{}.self_attn_layer_norm"),
        ("layers.{}.self_attn.o_proj", "layers.{}.self_attn.out_proj"),
        ("layers.{}.post_attention_layernorm", "layers.{}.final_layer_norm"),
        ("layers.{}.mlp.up_proj", "layers.{}.fc1"),
        ("layers.{}.mlp.down_proj", "layers.{}.fc2"),
    ],
};

/// Whether token embeddings are multiplied by √d_model.
const SCALED: Key = key("", "scale_embedding");
/// What the first token's position counts as.
const FIRST_POSITION: usize = 2;

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    let decoder = Decoder::read(file, &DEFAULTS)?;
    let d_model = decoder.sizes.d_model;
    if d_model < 4 || !d_model.is_multiple_of(2) {
        let key = file.spell(names::D_MODEL).unwrap_or_default();
        return Err(wrong(&key, "an even width of at least 4, as each sinusoid has a sine and a cosine".into(), d_model.to_string()));
    }
    let spec = decoder
        .spec("xglm", |layer| decoder.pre_norm_layer(layer, decoder.attention(layer, None, None)?, decoder.dense_without_gate(layer)?))?;
    let embedding_scale = if file.flag(SCALED)?.unwrap_or(true) { (d_model as f32).sqrt() } else { 1.0 };
    Ok(Spec { embedding_scale, positions: Some(PositionEmbedding::Sinusoidal { first: FIRST_POSITION }), ..spec })
}
