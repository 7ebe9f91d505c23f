//! The position scheme of a model in words and in JSON: what turns queries and keys, how far back a layer sees, and how the trained
//! length was stretched. Layers that are alike share a line.

use kinglet_models::{
    Activation, Bias, ClippedVectors, Content, Factors, FeedForward, Grouping, Layer, Mask, Pairing, PositionEmbedding, Residual, Rope,
    RopeScaling,
};
use serde_json::{Value, json};

/// Layers that treat positions alike.
#[derive(Debug)]
pub struct Group<'a> {
    layers: Vec<usize>,
    rope: Option<&'a Rope>,
    bias: Option<&'a Bias>,
    content: Option<&'static str>,
    mask: Mask,
    window: Option<usize>,
}

/// Positions that are added to the embeddings: `embeddings: learned positions of 1024 tokens`.
pub fn embedding_words(positions: &PositionEmbedding) -> String {
    match positions {
        PositionEmbedding::Learned { n, first: 0, .. } => format!("embeddings: learned positions of {n} tokens"),
        PositionEmbedding::Learned { n, first, .. } => format!("embeddings: learned positions of {n} tokens, from row {first}"),
        PositionEmbedding::Sinusoidal { first } => format!("embeddings: sinusoids of the positions, counted from {first}"),
    }
}

/// The same for programs.
pub fn embedding_json(positions: &PositionEmbedding) -> Value {
    match positions {
        PositionEmbedding::Learned { table, n, first, .. } => {
            json!({ "kind": "learned", "table": table.name, "first": first, "positions": n })
        }
        PositionEmbedding::Sinusoidal { first } => json!({ "kind": "sinusoidal", "first": first }),
    }
}

/// Layers by their position scheme, in the order of their first layers.
pub fn groups(layers: &[Layer]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (at, Layer { attention, .. }) in layers.iter().enumerate() {
        let (rope, bias, content) = (attention.rope.as_ref(), attention.bias.as_ref(), attention.content.as_ref().map(content_words));
        let (mask, window) = (attention.mask, attention.window);
        let alike =
            |group: &&mut Group| (group.rope, group.bias, group.content, group.mask, group.window) == (rope, bias, content, mask, window);
        match groups.iter_mut().find(alike) {
            Some(group) => group.layers.push(at),
            None => groups.push(Group { layers: vec![at], rope, bias, content, mask, window }),
        }
    }
    groups
}

impl Group<'_> {
    /// `layers 0-4, 6-10: RoPE, base 10000, …; sees the last 512 tokens`; `embedded` says that embeddings have positions.
    pub fn words(&self, embedded: bool) -> String {
        let content = self.content.map(str::to_owned);
        let slots: Vec<String> = self.rope.map(rope_words).into_iter().chain(self.bias.map(bias_words)).chain(content).collect();
        let none = if embedded { "none besides" } else { "no position (NoPE)" };
        let scheme = if slots.is_empty() { none.to_owned() } else { slots.join(" + ") };
        format!("layers {}: {scheme}; {}", ranges(&self.layers), self.sight())
    }

    fn sight(&self) -> String {
        match (self.mask, self.window) {
            (Mask::Causal, None) => "sees all tokens".to_owned(),
            (Mask::Causal, Some(window)) => format!("sees the last {window} tokens"),
            (Mask::Bidirectional, None) => "sees all tokens, later ones too".to_owned(),
            (Mask::Bidirectional, Some(window)) => format!("sees {} tokens on either side", window / 2),
            (Mask::Prefix(tokens), _) => format!("sees what came before, the first {tokens} tokens each other"),
            (Mask::Chunked(chunk), _) => format!("sees its own chunk of {chunk} tokens"),
        }
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let mask = match self.mask {
            Mask::Causal => json!("causal"),
            Mask::Bidirectional => json!("bidirectional"),
            Mask::Prefix(tokens) => json!({ "prefix": tokens }),
            Mask::Chunked(chunk) => json!({ "chunked": chunk }),
        };
        let (rope, bias) = (self.rope.map(rope_json), self.bias.map(bias_json));
        json!({ "layers": self.layers, "rope": rope, "bias": bias, "content": self.content, "mask": mask, "window": self.window })
    }
}

fn rope_words(rope: &Rope) -> String {
    let pairs = match rope.pairing {
        Pairing::Adjacent => "adjacent pairs",
        Pairing::Halves => "halves",
    };
    let own = rope.factors.as_ref().map_or(String::new(), |part| format!(", divisors from {}", part.name));
    let groups = rope
        .grouping
        .map_or(String::new(), |Grouping { size, neighbours }| format!(", in groups of {size} from {neighbours} tokens on (self-extend)"));
    format!("RoPE, base {}, {} dimensions in {pairs}, {}{own}{groups}", rope.base, rope.dims, scaling_words(&rope.scaling))
}

fn scaling_words(scaling: &RopeScaling) -> String {
    match scaling {
        RopeScaling::None => "as trained".to_owned(),
        RopeScaling::Linear { factor } => format!("positions divided by {factor} (linear)"),
        RopeScaling::DynamicNtk { factor, original } => format!("dynamic NTK by {factor} beyond {original} tokens"),
        RopeScaling::Yarn { factor, original, beta_fast, beta_slow, attention_factor, .. } => {
            format!("YaRN by {factor} from {original} tokens (fast {beta_fast}, slow {beta_slow}, attention × {attention_factor})")
        }
        RopeScaling::Llama3 { factor, low, high, original } => {
            format!("Llama 3 by {factor} from {original} tokens (low {low}, high {high})")
        }
        RopeScaling::LongRope { original, attention_factor, .. } => {
            format!("LongRoPE from {original} tokens (attention × {attention_factor})")
        }
    }
}

fn bias_words(bias: &Bias) -> String {
    match bias {
        Bias::Alibi { slopes } => {
            let (least, most) = slopes.iter().fold((f32::INFINITY, 0f32), |(least, most), &slope| (least.min(slope), most.max(slope)));
            format!("ALiBi, {} slopes from {most:.4} to {least:.4}", slopes.len())
        }
        Bias::Buckets { n_buckets, max_distance, .. } => format!("T5 bias, {n_buckets} buckets up to {max_distance} tokens"),
        Bias::Clipped { reach, .. } => format!("learned bias for distances up to {reach} tokens"),
    }
}

fn content_words(content: &Content) -> &'static str {
    match content {
        Content::Disentangled(terms) => match (&terms.keys, &terms.queries) {
            (Some(_), Some(_)) => "queries and keys meet vectors of distances (DeBERTa)",
            (Some(_), None) => "queries meet vectors of distances (DeBERTa)",
            _ => "keys meet vectors of distances (DeBERTa)",
        },
        Content::RelativeSinusoids(_) => "queries meet sinusoids of distances (Transformer-XL)",
        Content::Clipped(ClippedVectors { keys: true, .. }) => "queries and keys meet vectors of clipped distances (Shaw)",
        Content::Clipped(_) => "queries meet vectors of clipped distances (Shaw)",
    }
}

fn bias_json(bias: &Bias) -> Value {
    match bias {
        Bias::Alibi { slopes } => json!({ "kind": "alibi", "slopes": slopes }),
        Bias::Buckets { table, n_buckets, max_distance, bidirectional } => json!({
            "kind": "buckets", "table": table.name, "buckets": n_buckets, "max_distance": max_distance, "bidirectional": bidirectional,
        }),
        Bias::Clipped { table, reach } => json!({ "kind": "clipped", "table": table.name, "reach": reach }),
    }
}

fn rope_json(rope: &Rope) -> Value {
    let pairing = match rope.pairing {
        Pairing::Adjacent => "adjacent",
        Pairing::Halves => "halves",
    };
    let factors = rope.factors.as_ref().map(|part| part.name.as_str());
    let groups = rope.grouping.map(|Grouping { size, neighbours }| json!({ "size": size, "neighbours": neighbours }));
    let scaling = scaling_json(&rope.scaling);
    json!({ "pairing": pairing, "dims": rope.dims, "base": rope.base, "factors": factors, "scaling": scaling, "self_extend": groups })
}

fn scaling_json(scaling: &RopeScaling) -> Value {
    match scaling {
        RopeScaling::None => Value::Null,
        RopeScaling::Linear { factor } => json!({ "kind": "linear", "factor": factor }),
        RopeScaling::DynamicNtk { factor, original } => json!({ "kind": "dynamic-ntk", "factor": factor, "original": original }),
        RopeScaling::Yarn { factor, original, beta_fast, beta_slow, attention_factor, truncate } => json!({
            "kind": "yarn", "factor": factor, "original": original, "beta_fast": beta_fast, "beta_slow": beta_slow,
            "attention_factor": attention_factor, "truncate": truncate,
        }),
        RopeScaling::Llama3 { factor, low, high, original } => {
            json!({ "kind": "llama3", "factor": factor, "low": low, "high": high, "original": original })
        }
        RopeScaling::LongRope { short, long, original, attention_factor } => json!({
            "kind": "longrope", "original": original, "attention_factor": attention_factor,
            "short": factors_json(short), "long": factors_json(long),
        }),
    }
}

fn factors_json(factors: &Factors) -> Value {
    match factors {
        Factors::Values(values) => json!(values),
        Factors::Tensor(part) => json!(part.name),
    }
}

/// `0-4, 6-10, 12`.
fn ranges(numbers: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let words: Vec<String> = runs.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") }).collect();
    words.join(", ")
}

/// What a layer is made of, in a line: `9 heads of 64 over 3 key/value heads, SwiGLU 1536`.
pub fn layer_words(layer: &Layer) -> String {
    let attention = &layer.attention;
    let heads = format!("{} heads of {} over {} key/value heads", attention.n_heads, attention.d_head, attention.n_kv_heads);
    let feed = match &layer.feed {
        FeedForward::Dense(dense) => format!("feed-forward {} ({})", dense.d_ff, activation(dense.activation)),
        FeedForward::Experts(experts) => {
            format!("{} of {} experts of {} ({})", experts.n_used, experts.n_experts, experts.d_ff, activation(experts.activation))
        }
    };
    let joined = match layer.residual {
        Residual::Sequential => "",
        Residual::Parallel => ", both from the same stream",
        Residual::Normed => ", each sum normed",
    };
    let cross = if layer.cross.is_some() { ", cross-attention" } else { "" };
    format!("{heads}{cross}, {feed}{joined}")
}

fn activation(activation: Activation) -> &'static str {
    match activation {
        Activation::Silu => "SiLU",
        Activation::GeluTanh => "GELU by tanh",
        Activation::Gelu => "GELU",
        Activation::Relu => "ReLU",
        Activation::Tanh => "tanh",
    }
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn neighbours_make_a_range() {
        assert_eq!(ranges(&[0, 1, 2, 4, 6, 7]), "0-2, 4, 6-7");
        assert_eq!(ranges(&[]), "");
    }
}
