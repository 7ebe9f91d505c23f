//! What a recipe says of positions: masks, embeddings, rotations, and what a pair's distance does to its score.

use super::{Norm, Part, Projection};

/// Absolute positions.
#[derive(Debug, Clone, PartialEq)]
pub enum PositionEmbedding {
    /// Row `first + position` of a table (GPT-2; OPT, whose first two rows stand for no position).
    Learned {
        /// `[first + n, d_model]`.
        table: Part,
        /// Positions that have a row.
        n: usize,
        /// The row of position 0.
        first: usize,
        /// A token that is not counted and takes the row before the first (RoBERTa's padding, in Hugging Face's files).
        padding: Option<u32>,
    },
    /// `sin(p ω_i)` for all `i < d_model / 2`, then `cos(p ω_i)`, with `p = first + position` and `ω_i = 10000^(−i / (d_model / 2 − 1))`
    /// (Vaswani et al. 2017, in the order and with the frequencies of their code; XGLM).
    Sinusoidal {
        /// What position 0 counts as.
        first: usize,
    },
}

/// Queries or keys meet vectors that belong to distances.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// DeBERTa's.
    Disentangled(Box<Disentangled>),
    /// Transformer-XL's.
    RelativeSinusoids(Box<RelativeSinusoids>),
    /// Shaw's.
    Clipped(ClippedVectors),
}

/// A learned vector for each distance (Shaw et al. 2018, §3.2, clipped; Huang et al. 2020, methods 3 and 4, whose keys may meet it too):
/// `score = scale · (q · k + q · a(d) + k · a(d))` with `d` query minus key. All heads share the vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct ClippedVectors {
    /// `[2 · reach + 1, d_head]`, from `d = −reach` on.
    pub table: Part,
    /// The largest distance with a vector of its own.
    pub reach: usize,
    /// Keys meet the vectors too.
    pub keys: bool,
}

/// Transformer-XL (Dai et al. 2019, §3.3): `score = scale · ((q + u) · k + (q + v) · R s(d))`, where `s(d)` is the sinusoid of the
/// distance, query minus key: `sin(d ω_i)` for all `i < d_model / 2`, then `cos(d ω_i)`, `ω_i = 10000^(−2i / d_model)`. The
/// attention's queries have `u` as their bias already.
#[derive(Debug, Clone, PartialEq)]
pub struct RelativeSinusoids {
    /// `R`, `[n_heads · d_head, d_model]`.
    pub projection: Projection,
    /// `u`, `[n_heads, d_head]`.
    pub content_bias: Part,
    /// `v`, `[n_heads, d_head]`.
    pub position_bias: Part,
    /// Distances from this one on count as this one; `None`: each is its own.
    pub reach: Option<usize>,
}

/// Disentangled attention (He et al. 2021, DeBERTa): `score += scale · (q · K e + k · Q e)`, where `e` is the vector of the pair's
/// distance, query minus key.
#[derive(Debug, Clone, PartialEq)]
pub struct Disentangled {
    /// `[2 · span, d_model]`: a vector for each bucket from `−span` to `span − 1`; buckets beyond share those at the ends.
    pub table: Part,
    /// On each of the vectors, first.
    pub norm: Option<Norm>,
    /// Half as many as there are vectors.
    pub span: usize,
    /// Distances from `span / 2` on share buckets that grow with their logarithm, up to `reach`. Otherwise each distance is a bucket.
    pub buckets: bool,
    /// Distances from this one on share the last bucket; where `span` is odd, a bucket or two come after it.
    pub reach: usize,
    /// `K`, `[n_heads · d_head, d_model]`: where queries meet distances.
    pub keys: Option<Projection>,
    /// `Q`, `[n_heads · d_head, d_model]`: where keys do.
    pub queries: Option<Projection>,
}

/// Which tokens of a sequence a query sees, before any window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mask {
    /// Itself and what came before.
    #[default]
    Causal,
    /// All of them (encoders).
    Bidirectional,
    /// Itself and what came before in its own chunk of so many tokens (Llama 4).
    Chunked(usize),
    /// The first so many tokens see each other; later ones see what came before (prefix LM: Raffel et al. 2020, §3.2.1).
    Prefix(usize),
}

/// Added to a score, after the scale: one number for each head and distance.
#[derive(Debug, Clone, PartialEq)]
pub enum Bias {
    /// `−slope · |distance|` (Press et al. 2022, ALiBi).
    Alibi {
        /// One for each query head.
        slopes: Vec<f32>,
    },
    /// A learned number for each bucket of distances, which grow wider with the distance (Raffel et al. 2020, T5).
    Buckets {
        /// `[n_buckets, n_heads]`.
        table: Part,
        /// Rows of the table.
        n_buckets: usize,
        /// Distances from this one on share the last bucket.
        max_distance: usize,
        /// Half of the buckets are for keys that come after the query.
        bidirectional: bool,
    },
    /// A learned number for each distance from `−reach` to `reach` (key minus query), clipped beyond (Swin's tables in one dimension).
    Clipped {
        /// `[2 · reach + 1, n_heads]`.
        table: Part,
        /// The largest distance with a number of its own.
        reach: usize,
    },
}

impl Bias {
    /// ALiBi's slopes: `2^(−steepest · i / n)` for `i = 1 … n` where `n_heads` is a power of two; else those of the power below, then every
    /// second one of the power above (Press et al. 2022, and the authors' code). The paper's `steepest` is 8.
    pub fn alibi(n_heads: usize, steepest: f64) -> Bias {
        let of = |n: usize| (1..=n).map(move |i| (-steepest * i as f64 / n as f64).exp2() as f32);
        let below = if n_heads.is_power_of_two() { n_heads } else { n_heads.next_power_of_two() / 2 };
        Bias::Alibi { slopes: of(below).chain(of(2 * below).step_by(2)).take(n_heads).collect() }
    }

    /// ALiBi that joins the score before its scale (Falcon); other biases are as they were learned.
    pub fn scaled(self, scale: f32) -> Bias {
        match self {
            Bias::Alibi { slopes } => Bias::Alibi { slopes: slopes.into_iter().map(|slope| slope * scale).collect() },
            learned => learned,
        }
    }
}

/// Rotary position embedding (Su et al. 2021).
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Which dimensions turn together.
    pub pairing: Pairing,
    /// The first so many dimensions of a head are turned.
    pub dims: usize,
    /// Base of the frequencies: `θ_i = base^(−2i/dims)`.
    pub base: f64,
    /// How the frequencies are stretched beyond the trained length.
    pub scaling: RopeScaling,
    /// A tensor `[dims/2]` in the file that divides each frequency (`rope_freqs.weight`).
    pub factors: Option<Part>,
    /// Distant tokens stand closer together.
    pub grouping: Option<Grouping>,
}

/// Self-extend (Jin et al. 2024, arXiv:2401.01325, §3.2): a key at a distance of `neighbours` or more counts as at
/// `⌊query / size⌋ + neighbours − ⌊neighbours / size⌋ − ⌊key / size⌋`, which the model has met in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grouping {
    /// Tokens that share a position.
    pub size: usize,
    /// Keys nearer than this are met at their own distance.
    pub neighbours: usize,
}

/// Which two dimensions make a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// `(2i, 2i+1)`: the paper's, and GGUF's for Llama.
    Adjacent,
    /// `(i, i + dims/2)`: GPT-NeoX's and Hugging Face's.
    Halves,
}

/// How RoPE's frequencies are changed for contexts beyond the trained one.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// As trained.
    None,
    /// Positions divided by `factor` (Chen et al. 2023, position interpolation).
    Linear {
        /// Context growth.
        factor: f64,
    },
    /// The base grows with the sequence (dynamic NTK, as in transformers).
    DynamicNtk {
        /// Context growth.
        factor: f64,
        /// Trained context.
        original: usize,
    },
    /// YaRN (Peng et al. 2023).
    Yarn {
        /// Context growth.
        factor: f64,
        /// Trained context.
        original: usize,
        /// Rotations above which a dimension is kept.
        beta_fast: f64,
        /// Rotations below which a dimension is interpolated.
        beta_slow: f64,
        /// Multiplies cosine and sine; already resolved from `mscale`/the paper's `0.1 ln s + 1`.
        attention_factor: f64,
        /// Round the ramp's ends to whole dimensions (transformers' `truncate`, true by default).
        truncate: bool,
    },
    /// Llama 3.1's piecewise stretching.
    Llama3 {
        /// Context growth.
        factor: f64,
        /// Wave lengths longer than `original / low` are stretched fully.
        low: f64,
        /// Wave lengths shorter than `original / high` are kept.
        high: f64,
        /// Trained context.
        original: usize,
    },
    /// LongRoPE (Ding et al. 2024): a divisor per frequency, one list up to the trained length and one beyond.
    LongRope {
        /// Divisors up to `original` tokens.
        short: Factors,
        /// Divisors beyond.
        long: Factors,
        /// Trained context.
        original: usize,
        /// Multiplies cosine and sine.
        attention_factor: f64,
    },
}

/// A list of divisors, one per frequency.
#[derive(Debug, Clone, PartialEq)]
pub enum Factors {
    /// Written in the configuration.
    Values(Vec<f64>),
    /// A tensor of the file, `[dims/2]`.
    Tensor(Part),
}
