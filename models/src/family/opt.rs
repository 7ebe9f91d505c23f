//! OPT (Zhang et al. 2022): learned positions of which the first two rows stand for none, ReLU, layer norms before the blocks.
//!
//! The model of 350M differs: its norms stand after each addition, as in the first Transformer, so that there is none at the end; and
//! its token embeddings are narrower than the stream, with a matrix on either side. GGUF does not know the family.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{Dialect, Key, Name, key, name};
use crate::reader::{Reader, limits};
use crate::sizes::Defaults;
use crate::spec::{Activation, Layer, NormKind, Residual, Spec};

pub(super) const FAMILY: Family = Family { name: "opt", gguf: &[], hugging_face: &["opt"], describe };

/// `OPTConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 12,
    d_model: 768,
    d_ff: Some(3072),
    n_vocab: 50272,
    context: 2048,
    n_heads: 12,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-5,
    tied: true,
    activation: Activation::Relu,
    theta: 10_000.0,
};

const DIALECT: Dialect = Dialect {
    roots: &[("model.decoder.", "lm_head"), ("decoder.", "lm_head")],
    spellings: &[
        ("intermediate_size", "ffn_dim"),
        ("hidden_act", "activation_function"),
        ("attention_bias", "enable_bias"),
        ("mlp_bias", "enable_bias"),
        ("norm", "final_layer_norm"),
        ("layers.{}.input_layernorm", "layers.{}.self_attn_layer_norm"),
        ("layers.{}.self_attn.o_proj", "layers.{}.self_attn.out_proj"),
        ("layers.{}.post_attention_layernorm", "layers.{}.final_layer_norm"),
        ("layers.{}.mlp.up_proj", "layers.{}.fc1"),
        ("layers.{}.mlp.down_proj", "layers.{}.fc2"),
    ],
};

/// Rows of the table of positions before that of the first token.
const FIRST_POSITION: usize = 2;

const NORM_BEFORE: Key = key("", "do_layer_norm_before");
const FINAL_NORM_REMOVED: Key = key("", "_remove_final_layer_norm");
/// False: norms have neither weights nor biases (Galactica 30B and 120B).
const NORMS_LEARN: Key = key("", "layer_norm_elementwise_affine");
const D_EMBEDDING: Key = key("", "word_embed_proj_dim");
const PROJECT_IN: Name = name("", "project_in");
const PROJECT_OUT: Name = name("", "project_out");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    let mut decoder = Decoder::read(file, &DEFAULTS)?;
    let d_model = decoder.sizes.d_model;
    let d_embedding = file.count(D_EMBEDDING, limits::WIDTH)?.unwrap_or(d_model);
    decoder = decoder.with_embedding_of(d_embedding);
    if !file.flag(NORMS_LEARN)?.unwrap_or(true) {
        decoder = decoder.with_plain_norms();
    }
    let norm_before = file.flag(NORM_BEFORE)?.unwrap_or(true);
    if !norm_before || file.flag(FINAL_NORM_REMOVED)?.unwrap_or(false) {
        decoder = decoder.without_final_norm();
    }
    let spec = decoder.spec("opt", |layer| {
        let pre_norm = decoder.pre_norm_layer(layer, decoder.attention(layer, None, None)?, decoder.dense_without_gate(layer)?)?;
        let Layer { attention_norm, feed_norm, .. } = pre_norm;
        Ok(if norm_before {
            Layer { attention_norm, feed_norm, ..pre_norm }
        } else {
            let (attention_post_norm, feed_post_norm) = (attention_norm, feed_norm);
            Layer { residual: Residual::Normed, attention_norm: None, attention_post_norm, feed_norm: None, feed_post_norm, ..pre_norm }
        })
    })?;
    let narrow = d_embedding != d_model;
    let project = |name, shape| narrow.then(|| decoder.projection(name, 0, shape, false)).transpose();
    Ok(Spec {
        embedding_projection: project(PROJECT_IN, [d_model, d_embedding])?,
        output_projection: project(PROJECT_OUT, [d_embedding, d_model])?,
        positions: Some(decoder.positions(FIRST_POSITION)?),
        ..spec
    })
}
