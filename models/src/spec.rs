//! What a model is, once its family has been read: sizes, one recipe per layer, and the names of the tensors that fill it.
//! A family writes a [`Spec`]; the runtime's forward pass reads it and knows nothing of families.

mod parts;
mod position;

pub use position::*;
use std::ops::Range;

/// A whole decoder or encoder: what `forward/` needs to run it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The family's name, as in [`crate::FAMILIES`].
    pub family: &'static str,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Rows of the token embedding, which is the number of logits where there are any.
    pub n_vocab: usize,
    /// Tokens the model was trained to attend over.
    pub trained_context: usize,
    /// Width of the token embedding: the stream's, but for OPT-350M.
    pub d_embedding: usize,
    /// `[n_vocab, d_embedding]`.
    pub embedding: Part,
    /// Token embeddings are multiplied by this (Gemma: √d_model; Granite: its embedding multiplier; else 1).
    pub embedding_scale: f32,
    /// `[d_model, d_embedding]`: widens the scaled embedding, where it is narrower than the stream.
    pub embedding_projection: Option<Projection>,
    /// A vector of its position, added to each token's.
    pub positions: Option<PositionEmbedding>,
    /// `[d_model]`, added to each token's: the vector of the first text of two, which is what a text by itself counts as (BERT).
    pub token_type: Option<Part>,
    /// On that sum, before the first layer (Bloom, BERT).
    pub embedding_norm: Option<Norm>,
    /// One recipe per layer, first layer first.
    pub layers: Vec<Layer>,
    /// Beside the first layer (DeBERTa v2).
    pub convolution: Option<Convolution>,
    /// The norm after the last layer. Where each layer ends in one ([`Residual::Normed`]) there is none.
    pub final_norm: Option<Norm>,
    /// `[d_embedding, d_model]`: narrows the stream again before the output matrix.
    pub output_projection: Option<Projection>,
    /// `[n_vocab, d_embedding]`; the embedding again where the family ties them. Encoders have none.
    pub output: Option<Projection>,
    /// Logits are multiplied by this (Granite: 1 / logits_scaling; else 1).
    pub logit_scale: f32,
    /// `cap · tanh(logit / cap)` (Gemma 2).
    pub logit_softcap: Option<f32>,
    /// What a layer's outputs are multiplied by before they join the residual stream (Granite; else 1).
    pub residual_scale: f32,
    /// What reads another text first (T5); decoders by themselves have none. Each of `layers` attends to what it gives.
    pub encoder: Option<Encoder>,
}

/// A convolution over the tokens' embeddings, whose output joins the stream after the first layer: `x = norm(x + act(W * embeddings + b))`.
/// What lies beyond the text counts as zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    /// `[d_model, d_model, kernel]`, output by input channel by place, and its bias.
    pub projection: Projection,
    /// Tokens it sees at a time, the middle one its own; odd.
    pub kernel: usize,
    /// On its output.
    pub activation: Activation,
    /// On the sum.
    pub norm: Norm,
}

/// Layers that turn a text into states, one for each token, which the decoder's layers attend to. They begin with the same embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoder {
    /// One recipe per layer, first layer first; none has cross-attention.
    pub layers: Vec<Layer>,
    /// The norm after the last layer.
    pub final_norm: Option<Norm>,
    /// The token that the decoder's text begins with.
    pub decoder_start: u32,
}

impl Spec {
    /// Tokens that a sequence may have at all: as many as there are learned positions. `None` where positions have no end.
    pub fn longest(&self) -> Option<usize> {
        match self.positions {
            Some(PositionEmbedding::Learned { n, .. }) => Some(n),
            Some(PositionEmbedding::Sinusoidal { .. }) | None => None,
        }
    }

    /// First tokens that must come together, as they see each other ([`Mask::Prefix`]).
    pub fn prefix(&self) -> usize {
        let of = |layer: &Layer| if let Mask::Prefix(tokens) = layer.attention.mask { tokens } else { 0 };
        self.layers.iter().map(of).max().unwrap_or(0)
    }

    /// Whether tokens see later ones, so that a text is computed as a whole and can't be gone on with.
    pub fn is_encoder(&self) -> bool {
        self.layers.iter().any(|layer| layer.attention.mask == Mask::Bidirectional)
    }
}

/// One decoder layer: an attention block and a feed-forward block that add to the stream `x` as [`Residual`] says.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// How the two blocks join the stream.
    pub residual: Residual,
    /// Before attention. OLMo 2 has none.
    pub attention_norm: Option<Norm>,
    /// The attention block.
    pub attention: Attention,
    /// On attention's output, before the residual addition (Gemma 2 and 3, OLMo 2), or on the sum ([`Residual::Normed`]).
    pub attention_post_norm: Option<Norm>,
    /// Between the two blocks, a third one that attends to the encoder's states.
    pub cross: Option<CrossAttention>,
    /// Before the feed-forward block. OLMo 2 has none; in [`Residual::Parallel`] layers, none means that attention's norm serves both.
    pub feed_norm: Option<Norm>,
    /// The feed-forward block.
    pub feed: FeedForward,
    /// On the feed-forward block's output, before the residual addition (Gemma 2 and 3, OLMo 2), or on the sum ([`Residual::Normed`]).
    pub feed_post_norm: Option<Norm>,
}

/// `x += attend(norm(x))`, with queries from the stream and keys and values from the encoder's states, all of which every query sees.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossAttention {
    /// Before the queries.
    pub norm: Option<Norm>,
    /// The block; positions, mask and window say nothing in it.
    pub attention: Attention,
}

/// How a layer's two blocks join the residual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residual {
    /// One after the other: `x += post(attend(pre(x))); x += post(feed(pre(x)))`.
    Sequential,
    /// Both from the same `x`: `x += attend(pre(x)) + feed(pre(x))`, without post norms (GPT-J, GPT-NeoX, Falcon, Cohere).
    Parallel,
    /// One after the other, each normed with the stream: `x = post(x + attend(x)); x = post(x + feed(x))` (Vaswani et al. 2017; OPT-350M).
    Normed,
}

/// A tensor, or some rows of one that the file stores fused (Phi-3's `qkv`).
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The tensor's name in the file.
    pub name: String,
    /// Rows (output features) of the tensor that are meant; of a vector, its numbers.
    pub rows: Rows,
    /// The file has the matrix as `[inputs, outputs]` (GPT-2's `Conv1D`), so that its rows lie there as columns.
    pub transposed: bool,
}

impl Part {
    /// All of a tensor that lies as this crate's shapes say.
    pub fn whole(name: String) -> Part {
        Part { name, rows: Rows::All, transposed: false }
    }
}

/// Which rows of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// Every one.
    All,
    /// Those that lie together.
    Range(Range<usize>),
    /// The same rows of each of `count` blocks of `step` rows: the queries in a tensor that holds each head's query, key and value
    /// side by side (GPT-NeoX, Bloom, Falcon).
    Blocks {
        /// Rows within a block.
        within: Range<usize>,
        /// Rows of a block.
        step: usize,
        /// Blocks.
        count: usize,
    },
}

impl Rows {
    /// The rows as ranges, in order, of a tensor that has `all` of them.
    pub fn ranges(&self, all: usize) -> Vec<Range<usize>> {
        let (within, step, count) = match self {
            Rows::All => (0..all, all, 1),
            Rows::Range(range) => (range.clone(), all, 1),
            Rows::Blocks { within, step, count } => (within.clone(), *step, *count),
        };
        (0..count).map(|i| i * step + within.start..i * step + within.end).collect()
    }
}

/// `y = W x + b`, with `W: [outputs, inputs]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// The weights.
    pub weight: Part,
    /// The bias, `[outputs]`, where the family has one.
    pub bias: Option<Part>,
}

/// A normalisation.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// `[width]`; without one, what has been normed stays as it is (the largest Galactica models).
    pub weight: Option<Part>,
    /// `[width]`; only layer norms have one.
    pub bias: Option<Part>,
    /// How the mean square or the variance is taken.
    pub kind: NormKind,
    /// Added under the square root.
    pub eps: f32,
    /// Added to the stored weight (Gemma's Hugging Face files store `weight − 1`: 1; else 0).
    pub weight_offset: f32,
}

/// Which normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// `x / sqrt(mean(x²) + eps) · w` (Zhang & Sennrich 2019).
    Rms,
    /// `(x − mean) / sqrt(var + eps) · w + b` (Ba et al. 2016).
    Layer,
}

/// Multi-head attention with grouped keys and values (GQA).
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Width of one head.
    pub d_head: usize,
    /// `[n_heads · d_head, d_model]`.
    pub q: Projection,
    /// `[n_kv_heads · d_head, d_model]`.
    pub k: Projection,
    /// `[n_kv_heads · d_head, d_model]`.
    pub v: Projection,
    /// `[d_model, n_heads · d_head]`.
    pub o: Projection,
    /// Queries, keys and values are held between `−clip` and `clip` (MPT).
    pub clip: Option<f32>,
    /// Normalises queries and keys before they are rotated.
    pub qk_norm: Option<QkNorm>,
    /// Scores are multiplied by this, usually `1/√d_head`.
    pub scale: f32,
    /// `cap · tanh(score / cap)` (Gemma 2).
    pub softcap: Option<f32>,
    /// Which tokens a query sees at all.
    pub mask: Mask,
    /// A query sees this many keys, itself included (sliding window); `None` sees all. Where the mask is [`Mask::Bidirectional`],
    /// it sees `window / 2` on either side.
    pub window: Option<usize>,
    /// How queries and keys are turned by their position; `None` is a NoPE layer.
    pub rope: Option<Rope>,
    /// What a pair's distance adds to its score.
    pub bias: Option<Bias>,
    /// What queries and keys add to scores by meeting a pair's distance.
    pub content: Option<Content>,
}

/// Norms on queries and keys.
#[derive(Debug, Clone, PartialEq)]
pub struct QkNorm {
    /// For queries: one norm, or one for each head (StableLM 2, Command R+).
    pub q: Vec<Norm>,
    /// For keys: one norm, or one for each head.
    pub k: Vec<Norm>,
    /// True: each head by itself, weights `[d_head]` (Qwen 3, Gemma 3). False: the whole vector, one weight `[n · d_head]` (OLMo 2).
    pub per_head: bool,
}

/// The feed-forward block.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedForward {
    /// `down(act(gate x) · up x)`, or `down(act(up x))` where there is no gate.
    Dense(Dense),
    /// A router sends each row to a few of many dense blocks.
    Experts(Experts),
}

/// One feed-forward network.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Width between the matrices.
    pub d_ff: usize,
    /// `[d_ff, d_model]`.
    pub gate: Option<Projection>,
    /// `[d_ff, d_model]`.
    pub up: Projection,
    /// `[d_model, d_ff]`.
    pub down: Projection,
    /// On the gate, or on `up` where there is no gate.
    pub activation: Activation,
}

/// Element-wise non-linearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x · σ(x)`.
    Silu,
    /// `x · Φ(x)` with the tanh approximation.
    GeluTanh,
    /// `x · Φ(x)` with the error function.
    Gelu,
    /// `max(x, 0)`.
    Relu,
    /// `tanh x`.
    Tanh,
}

/// A mixture of experts.
#[derive(Debug, Clone, PartialEq)]
pub struct Experts {
    /// How many experts the layer has.
    pub n_experts: usize,
    /// How many of them see a row.
    pub n_used: usize,
    /// `[n_experts, d_model]`.
    pub router: Projection,
    /// Divide the chosen experts' softmax weights by their sum (Mixtral always, Qwen 3 by `norm_topk_prob`).
    pub normalise: bool,
    /// Width between an expert's matrices.
    pub d_ff: usize,
    /// `[d_ff, d_model]` for each expert.
    pub gate: ExpertTensors,
    /// `[d_ff, d_model]` for each expert.
    pub up: ExpertTensors,
    /// `[d_model, d_ff]` for each expert.
    pub down: ExpertTensors,
    /// On the gate.
    pub activation: Activation,
}

/// Where the matrices of a layer's experts lie.
#[derive(Debug, Clone, PartialEq)]
pub enum ExpertTensors {
    /// One tensor `[n_experts, outputs, inputs]` (GGUF's `*_exps`); `rows` picks output rows within each expert.
    Stacked(Part),
    /// One tensor for each expert.
    Each(Vec<Part>),
}
