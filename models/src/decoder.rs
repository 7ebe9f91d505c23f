//! The pieces of which families put their layers together: norms, attention, feed-forward blocks and experts, each with the names
//! of its tensors and with their shapes checked against the file. A family calls them in the order in which its layer computes.

use crate::error::ModelError;
use crate::metadata::Layout;
use crate::names::{self, EXPERTS, ExpertNames, Name};
use crate::reader::{Reader, limits, wrong};
use crate::rope::{self, RopeStyle, Scope};
use crate::sizes::{Defaults, Sizes};
use crate::spec::*;
use crate::window::Windows;

/// A decoder that is being described: the file, its sizes, and what is the same in all its layers.
pub(crate) struct Decoder<'a> {
    pub file: &'a Reader<'a>,
    pub sizes: Sizes,
    /// Added to every norm's weight (see [`Norm::weight_offset`]).
    norm_offset: f32,
    /// Norms have neither weights nor biases.
    plain_norms: bool,
    /// Width of the token embedding.
    d_embedding: usize,
    /// The layers' matrices are stored as `[inputs, outputs]`.
    transposed: bool,
    /// Each key/value head's queries, key and value lie together in a fused tensor.
    interleaved: bool,
    /// There is a norm after the last layer.
    ends_in_norm: bool,
    /// Tokens see later ones, and nothing comes after the hidden states.
    encoder: bool,
}

impl<'a> Decoder<'a> {
    /// Reads the sizes.
    pub fn read(file: &'a Reader<'a>, defaults: &Defaults) -> Result<Self, ModelError> {
        let sizes = Sizes::read(file, defaults)?;
        let d_embedding = sizes.d_model;
        let (plain_norms, transposed, interleaved, encoder) = (false, false, false, false);
        Ok(Decoder { file, sizes, norm_offset: 0.0, plain_norms, d_embedding, transposed, interleaved, ends_in_norm: true, encoder })
    }

    /// Gemma's norms multiply by `1 + weight`. GGUF's converter has added the one already.
    pub fn with_unit_offset_norms(self) -> Self {
        let norm_offset = if self.file.layout == Layout::HuggingFace { 1.0 } else { 0.0 };
        Decoder { norm_offset, ..self }
    }

    /// Norms that have learned nothing.
    pub fn with_plain_norms(self) -> Self {
        Decoder { plain_norms: true, ..self }
    }

    /// GPT-2's Hugging Face files hold the layers' matrices as `[inputs, outputs]`. GGUF's converter has turned them.
    pub fn with_transposed_matrices(self) -> Self {
        let transposed = self.file.layout == Layout::HuggingFace;
        Decoder { transposed, ..self }
    }

    /// Hugging Face files of these families fuse q, k and v head by head. GGUF's converters have sorted them.
    pub fn with_interleaved_heads(self) -> Self {
        let interleaved = self.file.layout == Layout::HuggingFace;
        Decoder { interleaved, ..self }
    }

    /// Token embeddings of another width than the stream's.
    pub fn with_embedding_of(self, d_embedding: usize) -> Self {
        Decoder { d_embedding, ..self }
    }

    /// Each layer ends in a norm instead.
    pub fn without_final_norm(self) -> Self {
        Decoder { ends_in_norm: false, ..self }
    }

    /// An encoder: tokens see later ones, and there are no logits.
    pub fn encoding(self) -> Self {
        Decoder { encoder: true, ..self }
    }

    /// The rotation of layers that see everything, or of all layers.
    pub fn rope(&self, style: RopeStyle) -> Result<Rope, ModelError> {
        rope::read(self.file, &self.sizes, style, Scope::Full)
    }

    /// The rotation of sliding-window layers, where the family gives them one of their own.
    pub fn sliding_rope(&self, style: RopeStyle, base: f64) -> Result<Rope, ModelError> {
        rope::read(self.file, &self.sizes, style, Scope::Sliding { base })
    }

    /// The window of each layer.
    pub fn windows(&self, windows: Windows) -> Result<Vec<Option<usize>>, ModelError> {
        windows.read(self.file, self.sizes.n_layers)
    }

    /// The whole decoder without multipliers and caps; `layer` describes one layer.
    pub fn spec(&self, family: &'static str, layer: impl Fn(usize) -> Result<Layer, ModelError>) -> Result<Spec, ModelError> {
        let Sizes { d_model, n_vocab, n_layers, context, tied, .. } = self.sizes;
        let d_embedding = self.d_embedding;
        let embedding = self.part(format!("{}.weight", self.file.tensor(names::EMBEDDING, 0)), &[n_vocab, d_embedding])?;
        let output = match (self.encoder, tied) {
            (true, _) => None,
            (false, true) => Some(Projection { weight: embedding.clone(), bias: self.bias(self.file.output(), n_vocab, false)? }),
            (false, false) => Some(self.projection_named(self.file.output(), [n_vocab, d_embedding], false)?),
        };
        Ok(Spec {
            family,
            d_model,
            n_vocab,
            trained_context: context,
            d_embedding,
            embedding,
            embedding_scale: 1.0,
            embedding_projection: None,
            positions: None,
            token_type: None,
            embedding_norm: None,
            layers: (0..n_layers).map(layer).collect::<Result<_, _>>()?,
            final_norm: self.ends_in_norm.then(|| self.norm(names::FINAL_NORM, 0)).transpose()?,
            output_projection: None,
            output,
            logit_scale: 1.0,
            logit_softcap: None,
            residual_scale: 1.0,
            encoder: None,
            convolution: None,
        })
    }

    /// Norm, attention, addition, norm, feed-forward, addition: the layer of Llama and most that came after.
    pub fn pre_norm_layer(&self, layer: usize, attention: Attention, feed: FeedForward) -> Result<Layer, ModelError> {
        Ok(Layer {
            residual: Residual::Sequential,
            attention_norm: Some(self.norm(names::ATTENTION_NORM, layer)?),
            attention,
            attention_post_norm: None,
            cross: None,
            feed_norm: Some(self.norm(names::FEED_NORM, layer)?),
            feed,
            feed_post_norm: None,
        })
    }

    /// Both blocks from one stream: the layer of GPT-J and what came from it. Attention's norm is for both blocks, unless there is a
    /// second one.
    pub fn parallel_layer(
        &self,
        layer: usize,
        (attention_norm, feed_norm): (Name, Option<Name>),
        attention: Attention,
        feed: FeedForward,
    ) -> Result<Layer, ModelError> {
        Ok(Layer {
            residual: Residual::Parallel,
            attention_norm: Some(self.norm(attention_norm, layer)?),
            attention,
            attention_post_norm: None,
            cross: None,
            feed_norm: feed_norm.map(|name| self.norm(name, layer)).transpose()?,
            feed,
            feed_post_norm: None,
        })
    }

    /// Attention, addition, norm, feed-forward, addition, norm: the layer of the first Transformer, and of BERT.
    pub fn post_norm_layer(&self, layer: usize, attention: Attention, feed: FeedForward) -> Result<Layer, ModelError> {
        Ok(Layer {
            residual: Residual::Normed,
            attention_norm: None,
            attention,
            attention_post_norm: Some(self.norm(names::ENCODER_ATTENTION_NORM, layer)?),
            cross: None,
            feed_norm: None,
            feed,
            feed_post_norm: Some(self.norm(names::ENCODER_FEED_NORM, layer)?),
        })
    }

    /// A norm before and after each block: the layer of Gemma 2 and 3.
    pub fn sandwich_layer(&self, layer: usize, attention: Attention, feed: FeedForward) -> Result<Layer, ModelError> {
        Ok(Layer {
            residual: Residual::Sequential,
            attention_norm: Some(self.norm(names::ATTENTION_NORM, layer)?),
            attention,
            attention_post_norm: Some(self.norm(names::ATTENTION_POST_NORM, layer)?),
            cross: None,
            feed_norm: Some(self.norm(names::SANDWICH_FEED_NORM, layer)?),
            feed,
            feed_post_norm: Some(self.norm(names::FEED_POST_NORM, layer)?),
        })
    }

    /// Learned positions whose first row for a token is `first`.
    pub fn positions(&self, first: usize) -> Result<PositionEmbedding, ModelError> {
        let Sizes { context, d_model, .. } = self.sizes;
        let table = self.part(format!("{}.weight", self.file.tensor(names::POSITIONS, 0)), &[first + context, d_model])?;
        Ok(PositionEmbedding::Learned { table, n: context, first, padding: None })
    }

    /// A tensor whose name has no ending.
    pub fn tensor(&self, name: Name, layer: usize, shape: &[usize]) -> Result<Part, ModelError> {
        self.part(self.file.tensor(name, layer), shape)
    }

    /// A matrix by itself.
    pub fn table(&self, name: Name, layer: usize, shape: [usize; 2]) -> Result<Part, ModelError> {
        self.part(format!("{}.weight", self.file.tensor(name, layer)), &shape)
    }

    /// The first row of the table of token types, where the file has one.
    pub fn token_type(&self) -> Result<Option<Part>, ModelError> {
        let (name, d_model) = (format!("{}.weight", self.file.tensor(names::TOKEN_TYPES, 0)), self.sizes.d_model);
        match self.file.shape(&name) {
            None => Ok(None),
            Some(shape) if shape.len() == 2 && shape[0] > 0 && shape[1] == d_model => {
                Ok(Some(Part { rows: Rows::Range(0..d_model), ..Part::whole(name) }))
            }
            Some(found) => Err(ModelError::WrongShape { name, expected: vec![found.first().copied().unwrap_or(1).max(1), d_model], found }),
        }
    }

    /// A norm over the residual stream.
    pub fn norm(&self, name: Name, layer: usize) -> Result<Norm, ModelError> {
        self.norm_named(&self.file.tensor(name, layer), self.sizes.d_model)
    }

    /// A layer norm has a bias if the file has it.
    fn norm_named(&self, stem: &str, width: usize) -> Result<Norm, ModelError> {
        if self.plain_norms {
            return Ok(self.norm_of(None));
        }
        // BERT's first files have TensorFlow's words.
        let old = self.file.shape(&format!("{stem}.gamma")).is_some();
        let (weight, bias) = if old { ("gamma", "beta") } else { ("weight", "bias") };
        let (weight, bias) = (self.part(format!("{stem}.{weight}"), &[width])?, format!("{stem}.{bias}"));
        let biased = self.sizes.norm == NormKind::Layer && self.file.shape(&bias).is_some();
        Ok(Norm { bias: biased.then(|| self.part(bias, &[width])).transpose()?, ..self.norm_of(Some(weight)) })
    }

    fn norm_of(&self, weight: Option<Part>) -> Norm {
        Norm { weight, bias: None, kind: self.sizes.norm, eps: self.sizes.eps, weight_offset: self.norm_offset }
    }

    /// Norms on each query and key head by itself (Qwen 3, Gemma 3), or on all of them as one vector (OLMo 2).
    pub fn qk_norm(&self, layer: usize, per_head: bool) -> Result<QkNorm, ModelError> {
        let Sizes { n_heads, n_kv_heads, d_head, .. } = self.sizes;
        let width = |heads: usize| if per_head { d_head } else { heads * d_head };
        let norm = |name, heads| Ok(vec![self.norm_named(&self.file.tensor(name, layer), width(heads))?]);
        Ok(QkNorm { q: norm(names::Q_NORM, n_heads)?, k: norm(names::K_NORM, n_kv_heads)?, per_head })
    }

    /// A norm of its own for each query and key head: the rows of one tensor, or (StableLM in Hugging Face) a tensor for each.
    pub fn qk_norm_of_each_head(&self, layer: usize) -> Result<QkNorm, ModelError> {
        let Sizes { n_heads, n_kv_heads, d_head, .. } = self.sizes;
        let norms = |name, heads: usize| {
            let stem = self.file.tensor(name, layer);
            if self.file.shape(&format!("{stem}.norms.0.weight")).is_some() {
                return (0..heads).map(|head| self.norm_named(&format!("{stem}.norms.{head}"), d_head)).collect();
            }
            let stacked = self.part(format!("{stem}.weight"), &[heads, d_head])?;
            let of = |head: usize| self.norm_of(Some(Part { rows: Rows::Range(head * d_head..(head + 1) * d_head), ..stacked.clone() }));
            Ok::<_, ModelError>((0..heads).map(of).collect::<Vec<_>>())
        };
        Ok(QkNorm { q: norms(names::Q_NORM, n_heads)?, k: norms(names::K_NORM, n_kv_heads)?, per_head: true })
    }

    /// Grouped-query attention, `1/√d_head`, without caps or norms; q, k and v by themselves or in one tensor.
    pub fn attention(&self, layer: usize, rope: Option<&Rope>, window: Option<usize>) -> Result<Attention, ModelError> {
        let Sizes { d_model, n_heads, n_kv_heads, d_head, attention_bias, .. } = self.sizes;
        let (queries, keys) = (n_heads * d_head, n_kv_heads * d_head);
        let [q, k, v] = if self.file.has_weight(names::QKV, layer) {
            let blocks = if self.interleaved { n_kv_heads } else { 1 };
            let mut fused = self.fused(names::QKV, layer, [queries, keys, keys], d_model, attention_bias, blocks)?;
            // Some GGUF files have the matrices in one tensor and the biases apart.
            for (part, (name, outputs)) in fused.iter_mut().zip([(names::Q, queries), (names::K, keys), (names::V, keys)]) {
                if part.bias.is_none() {
                    part.bias = self.bias(&self.file.tensor(name, layer), outputs, false)?;
                }
            }
            fused
        } else {
            [
                self.projection(names::Q, layer, [queries, d_model], attention_bias)?,
                self.projection(names::K, layer, [keys, d_model], attention_bias)?,
                self.projection(names::V, layer, [keys, d_model], attention_bias)?,
            ]
        };
        Ok(Attention {
            n_heads,
            n_kv_heads,
            d_head,
            q,
            k,
            v,
            o: self.projection(names::O, layer, [d_model, queries], attention_bias)?,
            clip: None,
            qk_norm: None,
            scale: 1.0 / (d_head as f32).sqrt(),
            softcap: None,
            mask: if self.encoder { Mask::Bidirectional } else { Mask::Causal },
            window,
            rope: rope.cloned(),
            bias: None,
            content: None,
        })
    }

    /// `down(act(gate x) · up x)`.
    pub fn dense(&self, layer: usize) -> Result<FeedForward, ModelError> {
        let Sizes { d_model, d_ff, mlp_bias, .. } = self.sizes;
        let gate = self.projection(names::GATE, layer, [d_ff, d_model], mlp_bias)?;
        let up = self.projection(names::UP, layer, [d_ff, d_model], mlp_bias)?;
        self.dense_of(layer, Some(gate), up)
    }

    /// `down(act(up x))`.
    pub fn dense_without_gate(&self, layer: usize) -> Result<FeedForward, ModelError> {
        let Sizes { d_model, d_ff, mlp_bias, .. } = self.sizes;
        let up = self.projection(names::UP, layer, [d_ff, d_model], mlp_bias)?;
        self.dense_of(layer, None, up)
    }

    /// As [`Decoder::dense`], with gate and up in one tensor.
    pub fn dense_fused(&self, name: Name, layer: usize) -> Result<FeedForward, ModelError> {
        let Sizes { d_model, d_ff, mlp_bias, .. } = self.sizes;
        let [gate, up] = self.fused(name, layer, [d_ff, d_ff], d_model, mlp_bias, 1)?;
        self.dense_of(layer, Some(gate), up)
    }

    fn dense_of(&self, layer: usize, gate: Option<Projection>, up: Projection) -> Result<FeedForward, ModelError> {
        let Sizes { d_model, d_ff, mlp_bias, activation, .. } = self.sizes;
        let down = self.projection(names::DOWN, layer, [d_model, d_ff], mlp_bias)?;
        Ok(FeedForward::Dense(Dense { d_ff, gate, up, down, activation }))
    }

    /// A mixture of `n_experts` feed-forward blocks, as the first of `spellings` whose router is in the file stores it.
    pub fn experts(
        &self,
        layer: usize,
        spellings: &[ExpertNames],
        (n_experts, n_used): (usize, usize),
        d_ff: usize,
        normalise: bool,
    ) -> Result<FeedForward, ModelError> {
        let file = self.file;
        let has_router = |names: &&ExpertNames| file.has_weight(names.router, layer);
        let names = spellings.iter().find(has_router).unwrap_or(&EXPERTS);
        let router = self.projection(names.router, layer, [n_experts, self.sizes.d_model], false)?;
        let tensors = ExpertBlock { decoder: self, names, layer, n_experts, d_ff };
        let [gate, up, down] = tensors.find()?;
        Ok(FeedForward::Experts(Experts { n_experts, n_used, router, normalise, d_ff, gate, up, down, activation: self.sizes.activation }))
    }

    /// How many experts there are and how many of them see a row, where `n_experts` has been read.
    pub fn experts_used(&self, n_experts: usize, default: usize) -> Result<(usize, usize), ModelError> {
        let key = self.file.spell(names::N_USED).unwrap_or_default();
        let n_used = match self.file.count(names::N_USED, limits::EXPERTS)?.or(self.file.in_config(default)) {
            Some(n_used) => n_used,
            None => return Err(ModelError::MissingKey { key }),
        };
        if n_used > n_experts {
            return Err(wrong(&key, format!("at most the {n_experts} experts there are"), n_used.to_string()));
        }
        Ok((n_experts, n_used))
    }

    /// A weight matrix of shape `[outputs, inputs]` with its bias: required where `bias`, else used if the file has it.
    pub fn projection(&self, name: Name, layer: usize, shape: [usize; 2], bias: bool) -> Result<Projection, ModelError> {
        let stem = self.file.tensor(name, layer);
        if !self.transposed {
            return self.projection_named(&stem, shape, bias);
        }
        let [outputs, inputs] = shape;
        let weight = Part { transposed: true, ..self.part(format!("{stem}.weight"), &[inputs, outputs])? };
        Ok(Projection { weight, bias: self.bias(&stem, outputs, bias)? })
    }

    fn projection_named(&self, stem: &str, shape: [usize; 2], bias: bool) -> Result<Projection, ModelError> {
        Ok(Projection { weight: self.part(format!("{stem}.weight"), &shape)?, bias: self.bias(stem, shape[0], bias)? })
    }

    fn bias(&self, stem: &str, outputs: usize, required: bool) -> Result<Option<Part>, ModelError> {
        let name = format!("{stem}.bias");
        let there = required || self.file.shape(&name).is_some();
        there.then(|| self.part(name, &[outputs])).transpose()
    }

    /// Projections of the same inputs whose rows lie one below the other in one tensor: once, or in each of `blocks` blocks.
    fn fused<const N: usize>(
        &self,
        name: Name,
        layer: usize,
        rows: [usize; N],
        inputs: usize,
        bias: bool,
        blocks: usize,
    ) -> Result<[Projection; N], ModelError> {
        let all: usize = rows.iter().sum();
        let whole = self.projection(name, layer, [all, inputs], bias)?;
        let mut end = 0;
        Ok(rows.map(|rows| {
            let within = end..end + rows / blocks;
            end = within.end;
            let rows = if blocks == 1 { Rows::Range(within) } else { Rows::Blocks { within, step: all / blocks, count: blocks } };
            let cut = |part: &Part| Part { rows: rows.clone(), ..part.clone() };
            Projection { weight: cut(&whole.weight), bias: whole.bias.as_ref().map(cut) }
        }))
    }

    fn part(&self, name: String, shape: &[usize]) -> Result<Part, ModelError> {
        self.file.expect(&name, shape)?;
        Ok(Part::whole(name))
    }
}

/// The three matrices of a layer's experts, being looked for.
struct ExpertBlock<'a> {
    decoder: &'a Decoder<'a>,
    names: &'a ExpertNames,
    layer: usize,
    n_experts: usize,
    d_ff: usize,
}

impl ExpertBlock<'_> {
    /// Gate, up and down: gate and up in one tensor, or each stacked, or each expert by itself.
    fn find(&self) -> Result<[ExpertTensors; 3], ModelError> {
        let (file, d_model, d_ff) = (self.decoder.file, self.decoder.sizes.d_model, self.d_ff);
        if file.shape(&file.tensor(self.names.fused, self.layer)).is_some() {
            let fused = self.stacked(self.names.fused, [2 * d_ff, d_model])?;
            let half = |rows| ExpertTensors::Stacked(Part { rows: Rows::Range(rows), ..fused.clone() });
            return Ok([half(0..d_ff), half(d_ff..2 * d_ff), self.role(2, [d_model, d_ff])?]);
        }
        Ok([self.role(0, [d_ff, d_model])?, self.role(1, [d_ff, d_model])?, self.role(2, [d_model, d_ff])?])
    }

    /// Gate (0), up (1) or down (2), as the file stores it.
    fn role(&self, role: usize, shape: [usize; 2]) -> Result<ExpertTensors, ModelError> {
        let stem = self.decoder.file.tensor(self.names.each[role], self.layer);
        let name = |expert: usize| stem.replace("{e}", &expert.to_string());
        if self.decoder.file.shape(&name(0)).is_none() {
            return Ok(ExpertTensors::Stacked(self.stacked(self.names.stacked[role], shape)?));
        }
        let parts = (0..self.n_experts).map(|expert| self.decoder.part(name(expert), &shape));
        Ok(ExpertTensors::Each(parts.collect::<Result<_, _>>()?))
    }

    fn stacked(&self, name: Name, [outputs, inputs]: [usize; 2]) -> Result<Part, ModelError> {
        self.decoder.part(self.decoder.file.tensor(name, self.layer), &[self.n_experts, outputs, inputs])
    }
}
