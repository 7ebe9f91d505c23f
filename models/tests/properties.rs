//! Whatever a file says, `resolve` neither panics nor describes a model that contradicts itself.

mod support;

use kinglet_models::*;
use proptest::prelude::*;
use support::{Memory, folders, gguf_files};

fn scalar() -> impl Strategy<Value = Value> {
    let int = prop_oneof![-2i64..70, Just(i64::MIN), Just(i64::MAX), Just(1 << 31), any::<i64>()];
    let extremes = prop_oneof![Just(0.0), Just(-0.0), Just(1e-320), Just(f64::MAX), Just(f64::NAN), Just(f64::INFINITY), Just(0.5)];
    let words = prop_oneof![
        Just("linear"),
        Just("dynamic"),
        Just("yarn"),
        Just("llama3"),
        Just("longrope"),
        Just("full_attention"),
        Just("sliding_attention"),
        Just("gelu"),
        Just("gemma2"),
        Just("phi3"),
        Just("mixtral"),
        Just("")
    ];
    prop_oneof![
        4 => int.prop_map(Value::Int),
        2 => extremes.prop_map(Value::Float),
        1 => any::<f64>().prop_map(Value::Float),
        1 => any::<bool>().prop_map(Value::Bool),
        2 => words.prop_map(|word| Value::Text(word.into())),
        1 => "(?s).{0,80}".prop_map(Value::Text),
        1 => Just(Value::Null),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![4 => scalar(), 1 => prop::collection::vec(scalar(), 0..9).prop_map(Value::List)]
}

/// Keys that the fixture lacks but a family may read.
const MORE_KEYS: [&str; 24] = [
    "model_type",
    "general.architecture",
    "text_config.model_type",
    "rope_scaling.type",
    "rope_scaling.factor",
    "rope_theta",
    "partial_rotary_factor",
    "original_max_position_embeddings",
    "no_rope_layer_interval",
    "no_rope_layers",
    "layer_types",
    "sliding_window_pattern",
    "decoder_sparse_step",
    "mlp_only_layers",
    "num_experts",
    "num_local_experts",
    "num_experts_per_tok",
    "llama.expert_count",
    "llama.expert_used_count",
    "llama.rope.scaling.type",
    "llama.rope.scaling.factor",
    "llama.rope.dimension_count",
    "llama.attention.key_length",
    "rope_parameters.full_attention.rope_type",
];

/// A fixture with some of its keys and shapes changed.
fn damaged() -> impl Strategy<Value = Memory> {
    let names: Vec<_> = folders().into_iter().chain(gguf_files()).collect();
    let change = (any::<prop::sample::Index>(), prop::option::of(value()));
    let reshape = (any::<prop::sample::Index>(), prop::option::of(prop::collection::vec(prop_oneof![0usize..70, any::<usize>()], 0..5)));
    (prop::sample::select(names), prop::collection::vec(change, 0..4), prop::collection::vec(reshape, 0..2)).prop_map(
        |(name, changes, reshapes)| {
            let mut memory = Memory::of(&name);
            let mut keys: Vec<_> = memory.values.keys().filter(|key| !key.starts_with("tokenizer.")).cloned().collect();
            keys.extend(MORE_KEYS.map(String::from));
            for (index, value) in changes {
                let key = index.get(&keys).clone();
                match value {
                    Some(value) => memory.values.insert(key, value),
                    None => memory.values.remove(&key),
                };
            }
            let names: Vec<_> = memory.shapes.keys().cloned().collect();
            for (index, shape) in reshapes {
                match shape {
                    Some(shape) => memory.shapes.insert(index.get(&names).clone(), shape),
                    None => memory.shapes.remove(index.get(&names)),
                };
            }
            memory
        },
    )
}

fn rows(memory: &Memory, part: &Part, rows: usize, inputs: &[usize]) {
    let shape = match memory.shapes[&part.name][..] {
        // Heads apart: [d_model, n_heads, d_head], a bias [n_heads, d_head].
        [first, heads, of_head] => vec![first, heads * of_head],
        [heads, of_head] if inputs.is_empty() => vec![heads * of_head],
        ref shape => shape.to_vec(),
    };
    let all = if part.transposed { shape[1] } else { shape[0] };
    let ranges = part.rows.ranges(all);
    let wanted: usize = ranges.iter().map(|range| range.len()).sum();
    assert!(wanted == rows && ranges.iter().all(|range| range.end <= all), "{part:?} of {shape:?}");
    assert_eq!(if part.transposed { &shape[..1] } else { &shape[1..] }, inputs, "{}", part.name);
}

fn projection(memory: &Memory, projection: &Projection, outputs: usize, inputs: usize) {
    rows(memory, &projection.weight, outputs, &[inputs]);
    if let Some(bias) = &projection.bias {
        rows(memory, bias, outputs, &[]);
    }
}

fn factor(number: f64) {
    assert!(number.is_finite() && number > 0.0, "{number}");
}

fn consistent(memory: &Memory, spec: &Spec) {
    let d_model = spec.d_model;
    rows(memory, &spec.embedding, spec.n_vocab, &[spec.d_embedding]);
    if let Some(output) = &spec.output {
        projection(memory, output, spec.n_vocab, spec.d_embedding);
    }
    assert_eq!(spec.d_embedding != d_model, spec.embedding_projection.is_some() && spec.output_projection.is_some());
    for (narrow, outputs, inputs) in
        [(&spec.embedding_projection, d_model, spec.d_embedding), (&spec.output_projection, spec.d_embedding, d_model)]
    {
        narrow.iter().for_each(|narrow| projection(memory, narrow, outputs, inputs));
    }
    if let Some(PositionEmbedding::Learned { table, n, first, .. }) = &spec.positions {
        assert!(*n >= spec.trained_context);
        rows(memory, table, first + n, &[d_model]);
    }
    for scale in [spec.embedding_scale, spec.logit_scale, spec.residual_scale] {
        factor(scale.into());
    }
    assert!((1..=limits::CONTEXT).contains(&spec.trained_context) && (1..=limits::LAYERS).contains(&spec.layers.len()));
    for layer in &spec.layers {
        let Attention { n_heads, n_kv_heads, d_head, q, k, v, o, scale, window, rope, .. } = &layer.attention;
        assert!(n_heads % n_kv_heads == 0 && *d_head > 0 && *window != Some(0));
        factor((*scale).into());
        projection(memory, q, n_heads * d_head, d_model);
        projection(memory, k, n_kv_heads * d_head, d_model);
        projection(memory, v, n_kv_heads * d_head, d_model);
        projection(memory, o, d_model, n_heads * d_head);
        for norm in [&layer.attention_norm, &layer.attention_post_norm, &layer.feed_norm, &layer.feed_post_norm].into_iter().flatten() {
            norm.weight.iter().for_each(|weight| rows(memory, weight, d_model, &[]));
            factor(norm.eps.into());
        }
        assert!(layer.residual != Residual::Parallel || layer.attention_post_norm.is_none() && layer.feed_post_norm.is_none());
        layer.attention.clip.iter().for_each(|&clip| factor(clip.into()));
        if let Some(Bias::Alibi { slopes }) = &layer.attention.bias {
            assert!(slopes.len() == *n_heads && slopes.iter().all(|slope| slope.is_finite()));
        }
        if let Some(QkNorm { q, k, per_head }) = &layer.attention.qk_norm {
            for (norms, heads) in [(q, *n_heads), (k, *n_kv_heads)] {
                assert!(norms.len() == 1 || *per_head && norms.len() == heads);
                let width = if *per_head { *d_head } else { heads * d_head };
                for part in norms.iter().flat_map(|norm| [&norm.weight, &norm.bias]).flatten() {
                    let all: usize = memory.shapes[&part.name].iter().product();
                    let ranges = part.rows.ranges(all);
                    assert!(ranges.iter().map(|range| range.len()).sum::<usize>() == width && ranges.iter().all(|range| range.end <= all));
                }
            }
        }
        if let Some(rope) = rope {
            assert!(rope.dims % 2 == 0 && (2..=*d_head).contains(&rope.dims) && rope.base > 1.0 && rope.base.is_finite());
            scaling(memory, rope);
        }
        match &layer.feed {
            FeedForward::Dense(dense) => {
                projection(memory, &dense.up, dense.d_ff, d_model);
                projection(memory, &dense.down, d_model, dense.d_ff);
            }
            FeedForward::Experts(experts) => {
                assert!((1..=experts.n_experts).contains(&experts.n_used));
                projection(memory, &experts.router, experts.n_experts, d_model);
                if let ExpertTensors::Each(parts) = &experts.up {
                    assert_eq!(parts.len(), experts.n_experts);
                }
            }
        }
    }
}

fn scaling(memory: &Memory, rope: &Rope) {
    match &rope.scaling {
        RopeScaling::None => {}
        RopeScaling::Linear { factor: f } => factor(*f),
        RopeScaling::DynamicNtk { factor: f, original } => {
            factor(*f);
            assert!(*f >= 1.0 && rope.dims > 2 && *original > 0);
        }
        RopeScaling::Yarn { factor: f, beta_fast, beta_slow, attention_factor, .. } => {
            [*f, *beta_fast, *beta_slow, *attention_factor].into_iter().for_each(factor);
        }
        RopeScaling::Llama3 { factor: f, low, high, .. } => {
            factor(*f);
            assert!(low < high);
        }
        RopeScaling::LongRope { short, long, attention_factor, .. } => {
            factor(*attention_factor);
            for factors in [short, long] {
                match factors {
                    Factors::Values(values) => assert_eq!(values.len(), rope.dims / 2),
                    Factors::Tensor(part) => rows(memory, part, rope.dims / 2, &[]),
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_metadata_is_refused_or_describes_what_is_there(memory in damaged()) {
        match memory.resolve() {
            Ok(spec) => consistent(&memory, &spec),
            Err(error) => prop_assert!(error.to_string().len() < 900 && !error.to_string().contains('\n'), "{error}"),
        }
    }

    #[test]
    fn any_value_alone_does_no_harm(
        architecture in prop::sample::select(FAMILIES),
        key in prop::sample::select(&MORE_KEYS[..]),
        value in value(),
    ) {
        for layout in [Layout::Gguf, Layout::HuggingFace] {
            for name in architecture.architectures(layout) {
                let mut memory = Memory { layout, values: Default::default(), shapes: Default::default() };
                memory.values.insert("general.architecture".into(), Value::Text((*name).into()));
                memory.values.insert("model_type".into(), Value::Text((*name).into()));
                memory.values.insert(key.into(), value.clone());
                prop_assert!(memory.resolve().is_err());
            }
        }
    }
}
