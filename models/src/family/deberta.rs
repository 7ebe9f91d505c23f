//! DeBERTa v2 and v3 (He et al. 2021a, 2021b): BERT's layers whose scores have two terms more, a query with a vector of the distance and a
//! key with one (disentangled attention). Both are made of one table of distances, in v3 by the projections of queries and keys themselves;
//! distances share a vector in buckets that grow with their logarithm.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::metadata::Value;
use crate::names::{self, Dialect, Key, Name, key, name};
use crate::reader::{Reader, limits, shown, wrong};
use crate::sizes::{Defaults, activation_at};
use crate::spec::{Activation, Attention, Content, Convolution, Disentangled, NormKind, Projection, Spec};

pub(super) const FAMILY: Family = Family { name: "deberta", gguf: &[], hugging_face: &["deberta-v2"], describe };

/// `DebertaV2Config`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 24,
    d_model: 1536,
    d_ff: Some(6144),
    n_vocab: 128_100,
    context: 512,
    n_heads: 24,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-7,
    tied: true,
    activation: Activation::Gelu,
    theta: 10_000.0,
};

const DIALECT: Dialect = Dialect {
    roots: &[("", ""), ("deberta.", "")],
    spellings: &[
        ("head_dim", "attention_head_size"),
        ("embed_tokens", "embeddings.word_embeddings"),
        ("embed_positions", "embeddings.position_embeddings"),
        ("layers.{}.self_attn.q_proj", "encoder.layer.{}.attention.self.query_proj"),
        ("layers.{}.self_attn.k_proj", "encoder.layer.{}.attention.self.key_proj"),
        ("layers.{}.self_attn.v_proj", "encoder.layer.{}.attention.self.value_proj"),
        ("layers.{}.self_attn.o_proj", "encoder.layer.{}.attention.output.dense"),
        ("layers.{}.post_attention_layernorm", "encoder.layer.{}.attention.output.LayerNorm"),
        ("layers.{}.mlp.up_proj", "encoder.layer.{}.intermediate.dense"),
        ("layers.{}.mlp.down_proj", "encoder.layer.{}.output.dense"),
        ("layers.{}.post_mlp_layernorm", "encoder.layer.{}.output.LayerNorm"),
    ],
};

const RELATIVE: Key = key("", "relative_attention");
const TERMS: Key = key("", "pos_att_type");
const BUCKETS: Key = key("", "position_buckets");
const REACH: Key = key("", "max_relative_positions");
const SHARED: Key = key("", "share_att_key");
const NORMED: Key = key("", "norm_rel_ebd");
const ABSOLUTE: Key = key("", "position_biased_input");
/// 0, or no such key: there is no convolution.
const KERNEL: Key = key("", "conv_kernel_size");
const GROUPS: Key = key("", "conv_groups");
const CONVOLUTION_ACTIVATION: Key = key("", "conv_act");
const D_EMBEDDING: Key = key("", "embedding_size");

/// Tokens that a convolution may see at a time; published models have 3.
const WIDEST_KERNEL: usize = 63;

const CONVOLUTION: Name = name("", "encoder.conv.conv.weight");
const CONVOLUTION_BIAS: Name = name("", "encoder.conv.conv.bias");
const CONVOLUTION_NORM: Name = name("", "encoder.conv.LayerNorm");
const DISTANCES: Name = name("", "encoder.rel_embeddings");
const DISTANCE_NORM: Name = name("", "encoder.LayerNorm");
const DISTANCE_KEYS: Name = name("", "encoder.layer.{}.attention.self.pos_key_proj");
const DISTANCE_QUERIES: Name = name("", "encoder.layer.{}.attention.self.pos_query_proj");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    let decoder = Decoder::read(file, &DEFAULTS)?.encoding().without_final_norm();
    let d_model = decoder.sizes.d_model;
    if let Some(narrow) = file.count(D_EMBEDDING, limits::WIDTH)?.filter(|&width| width != d_model) {
        let why = "embeddings of another width than the layers' are not supported in this family";
        return Err(file.unsupported(D_EMBEDDING, narrow, why));
    }
    let (by_query, by_key) = terms(file)?;
    let relative = file.flag(RELATIVE)?.unwrap_or(false);
    let reach = file.count_or_off(REACH)?.unwrap_or(decoder.sizes.context);
    let buckets = file.count_or_off(BUCKETS)?;
    if let Some(n) = buckets.filter(|&n| n < 4 || reach <= n / 2 + 1) {
        let key = file.spell(BUCKETS).unwrap_or_default();
        return Err(wrong(&key, format!("4 or more, and less than twice the reach of {reach}"), n.to_string()));
    }
    let span = buckets.unwrap_or(reach);
    let normed = file.text(NORMED)?.is_some_and(|norms| norms.to_lowercase().split('|').any(|norm| norm.trim() == "layer_norm"));
    let shared = file.flag(SHARED)?.unwrap_or(false);
    let spec = decoder.spec("deberta", |layer| {
        let attention = decoder.attention(layer, None, None)?;
        let width = attention.n_heads * attention.d_head;
        let content = if relative {
            let own = |name, of: &Projection| {
                if shared { Ok(of.clone()) } else { decoder.projection(name, layer, [width, d_model], false) }
            };
            Some(Content::Disentangled(Box::new(Disentangled {
                table: decoder.table(DISTANCES, 0, [2 * span, d_model])?,
                norm: normed.then(|| decoder.norm(DISTANCE_NORM, layer)).transpose()?,
                span,
                buckets: buckets.is_some(),
                reach,
                keys: by_query.then(|| own(DISTANCE_KEYS, &attention.k)).transpose()?,
                queries: by_key.then(|| own(DISTANCE_QUERIES, &attention.q)).transpose()?,
            })))
        } else {
            None
        };
        let parts = 1 + usize::from(by_query) + usize::from(by_key);
        let scale = 1.0 / ((attention.d_head * parts) as f32).sqrt();
        decoder.post_norm_layer(layer, Attention { content, scale, ..attention }, decoder.dense_without_gate(layer)?)
    })?;
    let absolute = file.flag(ABSOLUTE)?.unwrap_or(true);
    let positions = if absolute { Some(decoder.positions(0)?) } else { None };
    Ok(Spec {
        positions,
        token_type: decoder.token_type()?,
        embedding_norm: Some(decoder.norm(names::EMBEDDING_NORM, 0)?),
        convolution: convolution(file, &decoder)?,
        ..spec
    })
}

/// The one beside the first layer (v2's xlarge and xxlarge).
fn convolution(file: &Reader, decoder: &Decoder) -> Result<Option<Convolution>, ModelError> {
    let Some(kernel) = file.count_or_off(KERNEL)? else { return Ok(None) };
    // An even kernel would give one token less than there were.
    if kernel > WIDEST_KERNEL || kernel.is_multiple_of(2) {
        let key = file.spell(KERNEL).unwrap_or_default();
        return Err(wrong(&key, format!("an odd number up to {WIDEST_KERNEL}"), kernel.to_string()));
    }
    if let Some(groups) = file.count(GROUPS, limits::WIDTH)?.filter(|&groups| groups != 1) {
        return Err(file.unsupported(GROUPS, groups, "a convolution in groups of channels is not supported"));
    }
    let d_model = decoder.sizes.d_model;
    let weight = decoder.tensor(CONVOLUTION, 0, &[d_model, d_model, kernel])?;
    let bias = decoder.tensor(CONVOLUTION_BIAS, 0, &[d_model])?;
    Ok(Some(Convolution {
        projection: Projection { weight, bias: Some(bias) },
        kernel,
        activation: activation_at(file, CONVOLUTION_ACTIVATION)?.unwrap_or(Activation::Tanh),
        norm: decoder.norm(CONVOLUTION_NORM, 0)?,
    }))
}

/// Whether queries meet distances (`c2p`), and whether keys do (`p2c`): a list, or in older files one text with bars.
fn terms(file: &Reader) -> Result<(bool, bool), ModelError> {
    let key = file.spell(TERMS).unwrap_or_default();
    let words: Vec<String> = match file.value(&key) {
        None => Vec::new(),
        Some(Value::Text(words)) => words.to_lowercase().split('|').map(|word| word.trim().to_owned()).collect(),
        Some(Value::List(items)) => {
            items.iter().map(|item| if let Value::Text(word) = item { word.clone() } else { shown(item) }).collect()
        }
        Some(other) => return Err(wrong(&key, "a list of `c2p` and `p2c`".into(), shown(&other))),
    };
    match words.iter().find(|word| !["c2p", "p2c"].contains(&word.as_str())) {
        Some(other) => Err(wrong(&key, "a list of `c2p` and `p2c`".into(), shown(&Value::Text(other.clone())))),
        None => Ok((words.iter().any(|word| word == "c2p"), words.iter().any(|word| word == "p2c"))),
    }
}
