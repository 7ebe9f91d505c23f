//! What encoders read out of files that transformers and llama.cpp's converter wrote (tests/reference/make_encoders.py).

mod support;

use kinglet_models::*;
use support::Memory;

fn spec(name: &str) -> Spec {
    Memory::of(name).resolve().unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn rope(spec: &Spec, layer: usize) -> &Rope {
    spec.layers[layer].attention.rope.as_ref().expect("the layer turns")
}

#[test]
fn encoders_see_both_ways_and_have_no_logits() {
    for name in ["bert", "bert.gguf", "bert-xlm", "nomicbert", "nomicbert.gguf", "jinabert", "jinabert.gguf", "modernbert.gguf", "deberta"]
    {
        let spec = spec(name);
        assert!(spec.is_encoder() && spec.output.is_none() && spec.embedding_norm.is_some(), "{name}");
        assert!(spec.layers.iter().all(|layer| layer.attention.mask == Mask::Bidirectional), "{name}");
        assert_eq!(spec.final_norm.is_none(), spec.layers[0].residual == Residual::Normed, "{name}");
    }
    assert!(!spec("gpt2").is_encoder());
    let asked = Memory::of("llama").with("is_causal", Value::Bool(false)).resolve();
    assert!(matches!(asked, Err(ModelError::Unsupported { key, .. }) if key == "is_causal"));
    let decoder = Memory::of("bert").with("is_decoder", Value::Bool(true)).resolve();
    assert!(matches!(decoder, Err(ModelError::Unsupported { key, .. }) if key == "is_decoder"));
}

#[test]
fn positions_of_roberta_begin_after_its_padding_token() {
    for (name, first, n) in [("bert", 0, 304), ("bert-roberta", 2, 304), ("bert-roberta.gguf", 0, 304), ("bert-xlm", 4, 306)] {
        let Some(PositionEmbedding::Learned { n: found, first: row, .. }) = spec(name).positions else { panic!("{name}") };
        assert_eq!((row, found, spec(name).trained_context), (first, n, n), "{name}");
    }
    // The file has 16 numbers of the first of three types.
    assert_eq!(spec("bert").token_type.unwrap().rows, Rows::Range(0..16));
}

#[test]
fn berts_first_files_call_weights_gamma_and_biases_beta() {
    let mut old = Memory::of("bert");
    let rename = |name: String| name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
    old.shapes = old.shapes.into_iter().map(|(name, shape)| (rename(name), shape)).collect();
    let norm = old.resolve().unwrap().embedding_norm.unwrap();
    assert_eq!(
        (norm.weight.unwrap().name.as_str(), norm.bias.unwrap().name.as_str()),
        ("embeddings.LayerNorm.gamma", "embeddings.LayerNorm.beta")
    );
}

#[test]
fn jinas_and_modern_berts_differ_in_slopes_windows_and_norms() {
    for name in ["jinabert", "jinabert.gguf"] {
        assert_eq!(spec(name).layers[0].attention.bias, Some(Bias::alibi(6, 8.0)), "{name}");
        let FeedForward::Dense(Dense { gate, .. }) = &spec(name).layers[0].feed else { panic!("{name}") };
        assert!(spec(name).positions.is_none() && gate.is_some());
    }
    for name in ["modernbert", "modernbert.gguf"] {
        let spec = spec(name);
        let windows: Vec<_> = spec.layers.iter().map(|layer| layer.attention.window).collect();
        assert_eq!(windows, [None, Some(43), Some(43), None], "{name}");
        assert_eq!([rope(&spec, 0).base, rope(&spec, 1).base], [7000.0, 300.0], "{name}");
        assert!(spec.layers[0].attention_norm.is_none() && spec.layers[1].attention_norm.is_some(), "{name}");
    }
    // Published files have older words.
    let published = Memory::of("modernbert")
        .without("rope_parameters")
        .without("layer_types")
        .with("global_rope_theta", Value::Float(7000.0))
        .with("local_rope_theta", Value::Float(300.0))
        .with("global_attn_every_n_layers", Value::Int(3));
    assert_eq!(published.resolve(), Memory::of("modernbert").resolve());
}

#[test]
fn debertas_distances_are_met_by_queries_and_keys() {
    let content = |name: &str| match spec(name).layers[1].attention.content.clone() {
        Some(Content::Disentangled(content)) => content,
        other => panic!("{name}: {other:?}"),
    };
    let shared = content("deberta");
    assert_eq!((shared.span, shared.buckets, shared.reach, shared.norm.is_some()), (16, true, 100, true));
    assert_eq!(shared.keys.unwrap().weight.name, "encoder.layer.1.attention.self.key_proj.weight");
    let apart = content("deberta-apart");
    assert_eq!((apart.span, apart.buckets, apart.reach, apart.keys.is_some()), (60, false, 60, false));
    assert_eq!(apart.queries.unwrap().weight.name, "deberta.encoder.layer.1.attention.self.pos_query_proj.weight");
    assert_eq!(spec("deberta").layers[0].attention.scale, 1.0 / 24f32.sqrt());
    assert!(spec("deberta").convolution.is_none());
    let convolution = |name: &str| spec(name).convolution.map(|convolution| (convolution.kernel, convolution.activation));
    assert_eq!(convolution("deberta-convolved"), Some((3, Activation::Gelu)));
    assert_eq!(convolution("deberta-wide"), Some((5, Activation::Tanh)));
    let even = Memory::of("deberta-convolved").with("conv_kernel_size", Value::Int(4)).resolve().unwrap_err().to_string();
    assert!(even.contains("conv_kernel_size") && even.contains("odd"), "{even}");
    let grouped = Memory::of("deberta-convolved").with("conv_groups", Value::Int(2)).resolve();
    assert!(matches!(grouped, Err(ModelError::Unsupported { key, .. }) if key == "conv_groups"));
    for buckets in [2, 300] {
        assert!(Memory::of("deberta").with("position_buckets", Value::Int(buckets)).resolve().is_err(), "{buckets}");
    }
}
