//! T5 (Raffel et al. 2020), Flan-T5, mT5 and UMT5: an encoder reads a text, a decoder writes another one and attends to both. Positions are
//! learned biases for buckets of distances, scores are not scaled, and a head's width is free of the stream's. Encoders are published by
//! themselves too, for embeddings.
//!
//! The first version has ReLU and multiplies its logits by `1/√d_model`; version 1.1 and all that came after it have a gate, an output
//! matrix of their own, and no such factor. Layers share the first one's biases, but for UMT5, where each has its own.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::metadata::Layout;
use crate::names::{self, Dialect, Key, Name, key, name};
use crate::reader::{Reader, limits, shown, wrong};
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, Bias, CrossAttention, Encoder, FeedForward, Layer, Mask, NormKind, Spec};

pub(super) const FAMILY: Family = Family { name: "t5", gguf: &["t5", ALONE], hugging_face: &["t5", "mt5", "umt5"], describe };

/// GGUF's architecture of an encoder by itself.
const ALONE: &str = "t5encoder";

/// `T5Config`. Distances have no end: the first models saw 512 tokens.
const DEFAULTS: Defaults = Defaults {
    n_layers: 6,
    d_model: 512,
    d_ff: Some(2048),
    n_vocab: 32128,
    context: 512,
    n_heads: 8,
    n_kv_heads: None,
    d_head: Some(64),
    norm: NormKind::Rms,
    eps: 1e-6,
    tied: true,
    activation: Activation::Relu,
    theta: 10_000.0,
};

/// `MT5Config` and `UMT5Config`.
const MULTILINGUAL: Defaults = Defaults { n_layers: 8, d_ff: Some(1024), n_vocab: 250_112, n_heads: 6, ..DEFAULTS };

const DECODER: Dialect = Dialect {
    roots: &[("", "lm_head")],
    spellings: &[
        ("block_count", "decoder_block_count"),
        ("num_hidden_layers", "num_decoder_layers"),
        ("num_hidden_layers", "num_layers"),
        ("hidden_size", "d_model"),
        ("intermediate_size", "d_ff"),
        ("num_attention_heads", "num_heads"),
        ("head_dim", "d_kv"),
        ("rms_norm_eps", "layer_norm_epsilon"),
        ("max_position_embeddings", "n_positions"),
        ("embed_tokens", "shared"),
        ("embed_tokens", "decoder.embed_tokens"),
        ("embed_tokens", "encoder.embed_tokens"),
        ("norm", "decoder.final_layer_norm"),
        ("layers.{}.input_layernorm", "decoder.block.{}.layer.0.layer_norm"),
        ("layers.{}.self_attn.q_proj", "decoder.block.{}.layer.0.SelfAttention.q"),
        ("layers.{}.self_attn.k_proj", "decoder.block.{}.layer.0.SelfAttention.k"),
        ("layers.{}.self_attn.v_proj", "decoder.block.{}.layer.0.SelfAttention.v"),
        ("layers.{}.self_attn.o_proj", "decoder.block.{}.layer.0.SelfAttention.o"),
        ("layers.{}.post_attention_layernorm", "decoder.block.{}.layer.2.layer_norm"),
        ("layers.{}.mlp.gate_proj", "decoder.block.{}.layer.2.DenseReluDense.wi_0"),
        ("layers.{}.mlp.up_proj", "decoder.block.{}.layer.2.DenseReluDense.wi_1"),
        ("layers.{}.mlp.up_proj", "decoder.block.{}.layer.2.DenseReluDense.wi"),
        ("layers.{}.mlp.down_proj", "decoder.block.{}.layer.2.DenseReluDense.wo"),
        ("output_norm", "dec.output_norm"),
        ("blk.{}.attn_norm", "dec.blk.{}.attn_norm"),
        ("blk.{}.attn_q", "dec.blk.{}.attn_q"),
        ("blk.{}.attn_k", "dec.blk.{}.attn_k"),
        ("blk.{}.attn_v", "dec.blk.{}.attn_v"),
        ("blk.{}.attn_output", "dec.blk.{}.attn_o"),
        ("blk.{}.ffn_norm", "dec.blk.{}.ffn_norm"),
        ("blk.{}.ffn_gate", "dec.blk.{}.ffn_gate"),
        ("blk.{}.ffn_up", "dec.blk.{}.ffn_up"),
        ("blk.{}.ffn_down", "dec.blk.{}.ffn_down"),
        ("blk.{}.attn_rel_b", "dec.blk.{}.attn_rel_b"),
        (BIASES.hugging_face, "decoder.block.{}.layer.0.SelfAttention.relative_attention_bias"),
    ],
};

const ENCODER: Dialect = Dialect {
    roots: &[("", "lm_head")],
    spellings: &[
        ("num_hidden_layers", "num_layers"),
        ("hidden_size", "d_model"),
        ("intermediate_size", "d_ff"),
        ("num_attention_heads", "num_heads"),
        ("head_dim", "d_kv"),
        ("rms_norm_eps", "layer_norm_epsilon"),
        ("max_position_embeddings", "n_positions"),
        ("embed_tokens", "shared"),
        ("embed_tokens", "encoder.embed_tokens"),
        ("embed_tokens", "decoder.embed_tokens"),
        ("norm", "encoder.final_layer_norm"),
        ("layers.{}.input_layernorm", "encoder.block.{}.layer.0.layer_norm"),
        ("layers.{}.self_attn.q_proj", "encoder.block.{}.layer.0.SelfAttention.q"),
        ("layers.{}.self_attn.k_proj", "encoder.block.{}.layer.0.SelfAttention.k"),
        ("layers.{}.self_attn.v_proj", "encoder.block.{}.layer.0.SelfAttention.v"),
        ("layers.{}.self_attn.o_proj", "encoder.block.{}.layer.0.SelfAttention.o"),
        ("layers.{}.post_attention_layernorm", "encoder.block.{}.layer.1.layer_norm"),
        ("layers.{}.mlp.gate_proj", "encoder.block.{}.layer.1.DenseReluDense.wi_0"),
        ("layers.{}.mlp.up_proj", "encoder.block.{}.layer.1.DenseReluDense.wi_1"),
        ("layers.{}.mlp.up_proj", "encoder.block.{}.layer.1.DenseReluDense.wi"),
        ("layers.{}.mlp.down_proj", "encoder.block.{}.layer.1.DenseReluDense.wo"),
        ("output_norm", "enc.output_norm"),
        ("blk.{}.attn_norm", "enc.blk.{}.attn_norm"),
        ("blk.{}.attn_q", "enc.blk.{}.attn_q"),
        ("blk.{}.attn_k", "enc.blk.{}.attn_k"),
        ("blk.{}.attn_v", "enc.blk.{}.attn_v"),
        ("blk.{}.attn_output", "enc.blk.{}.attn_o"),
        ("blk.{}.ffn_norm", "enc.blk.{}.ffn_norm"),
        ("blk.{}.ffn_gate", "enc.blk.{}.ffn_gate"),
        ("blk.{}.ffn_up", "enc.blk.{}.ffn_up"),
        ("blk.{}.ffn_down", "enc.blk.{}.ffn_down"),
        ("blk.{}.attn_rel_b", "enc.blk.{}.attn_rel_b"),
        (BIASES.hugging_face, "encoder.block.{}.layer.0.SelfAttention.relative_attention_bias"),
    ],
};

/// Each dialect says whose.
const BIASES: Name = name("blk.{}.attn_rel_b", "layers.{}.self_attn.relative_attention_bias");
const CROSS_NORM: Name = name("dec.blk.{}.cross_attn_norm", "decoder.block.{}.layer.1.layer_norm");
const CROSS_Q: Name = name("dec.blk.{}.cross_attn_q", "decoder.block.{}.layer.1.EncDecAttention.q");
const CROSS_K: Name = name("dec.blk.{}.cross_attn_k", "decoder.block.{}.layer.1.EncDecAttention.k");
const CROSS_V: Name = name("dec.blk.{}.cross_attn_v", "decoder.block.{}.layer.1.EncDecAttention.v");
const CROSS_O: Name = name("dec.blk.{}.cross_attn_o", "decoder.block.{}.layer.1.EncDecAttention.o");

const N_BUCKETS: Key = key("attention.relative_buckets_count", "relative_attention_num_buckets");
const MAX_DISTANCE: Key = key("", "relative_attention_max_distance");
const FEED: Key = key("", "feed_forward_proj");
/// transformers since 5.0 keeps the factor of the logits apart from the ties; before, models that tied had it.
const SCALES_LOGITS: Key = key("", "scale_decoder_outputs");
const START: Key = key("decoder_start_token_id", "decoder_start_token_id");
const PADDING: Key = key("", "pad_token_id");

/// Buckets and distances at most: a table of all distances is kept for each head.
const MOST_DISTANCES: usize = 1 << 16;

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let multilingual = ["mt5", "umt5"].contains(&file.architecture.as_str());
    let defaults = if multilingual { MULTILINGUAL } else { DEFAULTS };
    let (ours, theirs) = (&file.speaking(&DECODER), &file.speaking(&ENCODER));
    let no_decoder = file.layout == Layout::HuggingFace && !ours.has_weight(names::FINAL_NORM, 0);
    if file.architecture == ALONE || no_decoder {
        return encoder_alone(theirs, &defaults, multilingual);
    }
    let (mut decoder, mut encoder) = (Decoder::read(ours, &defaults)?, Decoder::read(theirs, &defaults)?);
    let (gated, activation) = feed(ours, multilingual)?;
    (decoder.sizes.activation, encoder.sizes.activation) = (activation, activation);
    // Published files tie, and state it, with and without a matrix that says otherwise.
    decoder.sizes.tied = ours.shape(&format!("{}.weight", ours.output())).is_none();
    let scaled = match (ours.layout, ours.flag(SCALES_LOGITS)?, ours.flag(names::TIED)?) {
        // There is no key for it, and files of the first version may hold the embedding twice.
        (Layout::Gguf, ..) => !gated,
        (Layout::HuggingFace, Some(scaled), _) => scaled,
        (Layout::HuggingFace, None, tied) => tied.unwrap_or(true) && ours.architecture != "mt5",
    };
    let spec = decoder.spec("t5", |layer| {
        let cross = CrossAttention { norm: Some(decoder.norm(CROSS_NORM, layer)?), attention: cross_attention(&decoder, layer)? };
        Ok(Layer { cross: Some(cross), ..self_layer(&decoder, layer, Mask::Causal, gated)? })
    })?;
    let encoder = Encoder {
        layers: (0..encoder.sizes.n_layers)
            .map(|layer| self_layer(&encoder, layer, Mask::Bidirectional, gated))
            .collect::<Result<_, _>>()?,
        final_norm: Some(encoder.norm(names::FINAL_NORM, 0)?),
        decoder_start: start(ours, spec.n_vocab)?,
    };
    let logit_scale = if scaled { 1.0 / (spec.d_model as f32).sqrt() } else { 1.0 };
    Ok(Spec { logit_scale, encoder: Some(encoder), ..spec })
}

/// The encoder's states are the model's output.
fn encoder_alone(file: &Reader, defaults: &Defaults, multilingual: bool) -> Result<Spec, ModelError> {
    let mut encoder = Decoder::read(file, defaults)?.encoding();
    let (gated, activation) = feed(file, multilingual)?;
    encoder.sizes.activation = activation;
    encoder.spec("t5", |layer| self_layer(&encoder, layer, Mask::Bidirectional, gated))
}

/// A layer without its cross-attention.
fn self_layer(side: &Decoder, layer: usize, mask: Mask, gated: bool) -> Result<Layer, ModelError> {
    let bias = Some(buckets(side, layer, mask == Mask::Bidirectional)?);
    let attention = Attention { scale: 1.0, mask, bias, ..side.attention(layer, None, None)? };
    let feed: FeedForward = if gated { side.dense(layer)? } else { side.dense_without_gate(layer)? };
    side.pre_norm_layer(layer, attention, feed)
}

fn cross_attention(decoder: &Decoder, layer: usize) -> Result<Attention, ModelError> {
    let (d_model, inner) = (decoder.sizes.d_model, decoder.sizes.n_heads * decoder.sizes.d_head);
    Ok(Attention {
        q: decoder.projection(CROSS_Q, layer, [inner, d_model], false)?,
        k: decoder.projection(CROSS_K, layer, [inner, d_model], false)?,
        v: decoder.projection(CROSS_V, layer, [inner, d_model], false)?,
        o: decoder.projection(CROSS_O, layer, [d_model, inner], false)?,
        scale: 1.0,
        ..decoder.attention(layer, None, None)?
    })
}

/// The layer's own biases, or those of the first one.
fn buckets(side: &Decoder, layer: usize, bidirectional: bool) -> Result<Bias, ModelError> {
    let file = side.file;
    let n_buckets = file.count(N_BUCKETS, MOST_DISTANCES)?.or(file.in_config(32));
    let n_buckets = n_buckets.ok_or_else(|| file.missing(N_BUCKETS))?;
    let max_distance = file.count(MAX_DISTANCE, MOST_DISTANCES)?.unwrap_or(128);
    if n_buckets < 4 || max_distance <= n_buckets / 2 {
        let key = file.spell(N_BUCKETS).unwrap_or_default();
        let expected = format!("at least 4 buckets, of which half are fewer than the largest distance {max_distance}");
        return Err(wrong(&key, expected, n_buckets.to_string()));
    }
    let has_its_own = file.has_weight(BIASES, layer);
    let table = side.table(BIASES, if has_its_own { layer } else { 0 }, [n_buckets, side.sizes.n_heads])?;
    Ok(Bias::Buckets { table, n_buckets, max_distance, bidirectional })
}

/// Whether there is a gate, and the activation. GGUF's files are known by the gate alone.
fn feed(file: &Reader, multilingual: bool) -> Result<(bool, Activation), ModelError> {
    let Some(word) = file.text(FEED)?.or(file.in_config(if multilingual { "gated-gelu" } else { "relu" }.into())) else {
        let gated = file.has_weight(names::GATE, 0);
        return Ok((gated, if gated { Activation::GeluTanh } else { Activation::Relu }));
    };
    match word.as_str() {
        "relu" => Ok((false, Activation::Relu)),
        "gelu" => Ok((false, Activation::Gelu)),
        "gelu_new" => Ok((false, Activation::GeluTanh)),
        "silu" => Ok((false, Activation::Silu)),
        "gated-gelu" | "gated-gelu_new" => Ok((true, Activation::GeluTanh)),
        "gated-silu" => Ok((true, Activation::Silu)),
        "gated-relu" => Ok((true, Activation::Relu)),
        _ => {
            let expected = "relu, gelu, gelu_new or silu, with or without gated- before it".to_owned();
            Err(wrong(&file.spell(FEED).unwrap_or_default(), expected, shown(&crate::Value::Text(word))))
        }
    }
}

/// The decoder's first token: T5's padding, where the file does not say.
fn start(file: &Reader, n_vocab: usize) -> Result<u32, ModelError> {
    let most = n_vocab.min(limits::VOCAB) - 1;
    for key in [START, PADDING] {
        let Some(key) = file.spell(key) else { continue };
        if let Some(start) = file.whole_at(&key, 0..=most)? {
            return Ok(start as u32);
        }
    }
    Ok(0)
}
