//! What each family reads out of files that transformers and llama.cpp's converter wrote (tests/reference/make.py).

mod support;

use kinglet_models::*;
use support::{Memory, folders, gguf_files, text};

fn spec(name: &str) -> Spec {
    Memory::of(name).resolve().unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn windows(spec: &Spec) -> Vec<Option<usize>> {
    spec.layers.iter().map(|layer| layer.attention.window).collect()
}

fn rope(spec: &Spec, layer: usize) -> &Rope {
    spec.layers[layer].attention.rope.as_ref().expect("the layer turns")
}

fn dense(layer: &Layer) -> &Dense {
    match &layer.feed {
        FeedForward::Dense(dense) => dense,
        FeedForward::Experts(_) => panic!("the layer has experts"),
    }
}

fn experts(layer: &Layer) -> &Experts {
    match &layer.feed {
        FeedForward::Experts(experts) => experts,
        FeedForward::Dense(_) => panic!("the layer is dense"),
    }
}

#[test]
fn each_fixture_resolves_to_its_family() {
    for name in folders().into_iter().chain(gguf_files()) {
        let expected = match name.split(['-', '.']).next().unwrap() {
            "tiny" => "llama",
            "olmo3" => "olmo2",
            "t5encoder" => "t5",
            family => family,
        };
        assert_eq!(spec(&name).family, expected, "{name}");
    }
}

#[test]
fn each_family_has_a_fixture() {
    let seen: Vec<_> = folders().iter().map(|name| spec(name).family).collect();
    for family in FAMILIES {
        assert!(seen.contains(&family.name), "{}", family.name);
    }
}

#[test]
fn the_two_layouts_of_a_model_differ_in_names_pairs_and_folded_norms_only() {
    for file in gguf_files() {
        let folder = file.trim_end_matches(".gguf");
        if !folders().contains(&folder.to_owned()) {
            continue;
        }
        let (hf, gguf) = (spec(folder), spec(&file));
        assert_eq!((hf.d_model, hf.n_vocab, hf.trained_context), (gguf.d_model, gguf.n_vocab, gguf.trained_context), "{folder}");
        assert_eq!((hf.embedding_scale, hf.residual_scale), (gguf.embedding_scale, gguf.residual_scale), "{folder}");
        assert_eq!((hf.logit_scale, hf.logit_softcap), (gguf.logit_scale, gguf.logit_softcap), "{folder}");
        assert_eq!(hf.layers.len(), gguf.layers.len(), "{folder}");
        for (hf, gguf) in hf.layers.iter().zip(&gguf.layers) {
            let of = |attention: &Attention| {
                let Attention { n_heads, n_kv_heads, d_head, scale, softcap, window, .. } = *attention;
                (n_heads, n_kv_heads, d_head, scale, softcap, window)
            };
            assert_eq!(of(&hf.attention), of(&gguf.attention), "{folder}");
            let turn = |attention: &Attention| attention.rope.as_ref().map(|rope| (rope.dims, rope.base as f32));
            assert_eq!(turn(&hf.attention), turn(&gguf.attention), "{folder}");
            let norms = |layer: &Layer| {
                let Layer { attention_norm, attention_post_norm, feed_norm, feed_post_norm, .. } = layer;
                [attention_norm, attention_post_norm, feed_norm, feed_post_norm].map(|norm| norm.as_ref().map(|norm| norm.eps))
            };
            assert_eq!(norms(hf), norms(gguf), "{folder}");
        }
    }
}

#[test]
fn llama_pairs_neighbours_in_gguf_and_halves_in_hugging_face() {
    assert_eq!(rope(&spec("llama"), 0).pairing, Pairing::Halves);
    assert_eq!(rope(&spec("llama.gguf"), 0).pairing, Pairing::Adjacent);
    assert_eq!(rope(&spec("qwen3.gguf"), 0).pairing, Pairing::Halves);
    let attention = &spec("llama").layers[1].attention;
    assert_eq!((attention.n_heads, attention.n_kv_heads, attention.d_head), (4, 2, 8));
    assert_eq!(attention.q.weight.name, "model.layers.1.self_attn.q_proj.weight");
    assert_eq!(attention.scale, 1.0 / 8f32.sqrt());
    assert_eq!(rope(&spec("llama"), 0).base, 500.0);
}

#[test]
fn biases_are_read_where_the_configuration_has_them() {
    let spec = spec("llama-biases");
    let layer = &spec.layers[0];
    for projection in [&layer.attention.q, &layer.attention.v, &layer.attention.o, &dense(layer).up, &dense(layer).down] {
        assert!(projection.bias.is_some(), "{}", projection.weight.name);
    }
    assert_eq!(dense(layer).activation, Activation::Gelu);
    assert_eq!(spec.output.unwrap().weight, spec.embedding);
}

#[test]
fn scalings_come_as_the_paper_has_them() {
    let scaling = |name: &str| rope(&spec(name), 0).scaling.clone();
    assert_eq!(scaling("llama"), RopeScaling::None);
    assert_eq!(scaling("llama-linear"), RopeScaling::Linear { factor: 3.0 });
    assert_eq!(scaling("llama-dynamic"), RopeScaling::DynamicNtk { factor: 2.5, original: 100 });
    assert_eq!(scaling("llama-llama3"), RopeScaling::Llama3 { factor: 4.0, low: 1.0, high: 4.0, original: 64 });
    let RopeScaling::Yarn { factor, original, beta_fast, beta_slow, attention_factor, truncate } = scaling("qwen3-yarn") else { panic!() };
    assert_eq!((factor, original, beta_fast, beta_slow, truncate), (4.0, 64, 16.0, 1.5, false));
    let magnitude = |mscale: f64| 0.1 * mscale * 4f64.ln() + 1.0;
    assert!((attention_factor - magnitude(0.7) / magnitude(1.2)).abs() < 1e-12);
    let RopeScaling::Yarn { attention_factor, truncate: true, .. } = scaling("qwen2-yarn.gguf") else { panic!() };
    assert!((attention_factor - magnitude(1.0)).abs() < 1e-12);
}

#[test]
fn gguf_keeps_llama_3_and_longrope_as_tensors() {
    let llama = spec("llama-llama3.gguf");
    assert_eq!(rope(&llama, 0).scaling, RopeScaling::None);
    assert_eq!(rope(&llama, 0).factors.as_ref().unwrap().name, "rope_freqs.weight");
    let (hf, gguf) = (spec("phi3-longrope"), spec("phi3-longrope.gguf"));
    let (hf, gguf) = (rope(&hf, 0), rope(&gguf, 0));
    assert_eq!((hf.dims, gguf.dims), (12, 12));
    let RopeScaling::LongRope { short: Factors::Values(short), original: 64, attention_factor: in_config, .. } = &hf.scaling else {
        panic!()
    };
    let RopeScaling::LongRope { short: Factors::Tensor(part), original: 64, attention_factor, .. } = &gguf.scaling else { panic!() };
    assert_eq!((short.len(), part.name.as_str()), (6, "rope_factors_short.weight"));
    assert!((in_config - attention_factor).abs() < 1e-6, "{in_config} {attention_factor}");
}

#[test]
fn windows_stand_in_the_layers_that_have_them() {
    assert_eq!(windows(&spec("llama")), [None; 2]);
    assert_eq!(windows(&spec("mistral")), [Some(37); 2]);
    assert_eq!(windows(&spec("qwen2")), [None, Some(29), Some(29)]);
    assert_eq!(windows(&spec("gemma2")), [Some(41), None]);
    assert_eq!(windows(&spec("gemma3")), [Some(31), None, Some(31)]);
    assert_eq!(windows(&spec("gemma3.gguf")), [Some(31), None, Some(31)]);
    assert_eq!(windows(&spec("phi3")), [Some(53); 2]);
    assert_eq!(windows(&spec("olmo3")), [Some(23), Some(23), None]);
}

#[test]
fn a_null_window_is_no_window_and_a_missing_one_is_the_default() {
    let mistral = Memory::of("mistral");
    assert_eq!(windows(&mistral.with("sliding_window", Value::Null).resolve().unwrap()), [None; 2]);
    assert_eq!(windows(&mistral.without("sliding_window").resolve().unwrap()), [Some(4096); 2]);
    let gemma2 = Memory::of("gemma2");
    assert_eq!(gemma2.with("final_logit_softcapping", Value::Null).resolve().unwrap().logit_softcap, None);
    assert_eq!(gemma2.without("final_logit_softcapping").resolve().unwrap().logit_softcap, Some(30.0));
}

#[test]
fn smollm3_has_layers_without_positions() {
    for name in ["smollm3", "smollm3.gguf"] {
        let turns: Vec<_> = spec(name).layers.iter().map(|layer| layer.attention.rope.is_some()).collect();
        assert_eq!(turns, [true, true, true, false], "{name}");
    }
    let by_interval = Memory::of("smollm3").with("no_rope_layers", Value::Null).with("no_rope_layer_interval", Value::Int(2));
    let turns: Vec<_> = by_interval.resolve().unwrap().layers.iter().map(|layer| layer.attention.rope.is_some()).collect();
    assert_eq!(turns, [true, false, true, false]);
}

#[test]
fn gemmas_differ_in_norms_caps_and_rotations() {
    let gemma = spec("gemma");
    assert_eq!((gemma.embedding_scale, gemma.final_norm.as_ref().unwrap().weight_offset), (4.0, 1.0));
    assert_eq!(dense(&gemma.layers[0]).activation, Activation::GeluTanh);

    let gemma2 = spec("gemma2");
    assert_eq!((gemma2.logit_softcap, gemma2.layers[0].attention.softcap), (Some(4.0), Some(5.0)));
    assert_eq!(gemma2.layers[0].attention.scale, (1.0 / 13f64.sqrt()) as f32);
    let norms = |layer: &Layer| layer.feed_norm.as_ref().unwrap().weight.as_ref().unwrap().name.clone();
    assert_eq!(norms(&gemma2.layers[1]), "model.layers.1.pre_feedforward_layernorm.weight");

    for (name, offset) in [("gemma3", 1.0), ("gemma3.gguf", 0.0)] {
        let gemma3 = spec(name);
        let norm = gemma3.layers[0].attention.qk_norm.as_ref().unwrap();
        assert_eq!((norm.per_head, norm.q[0].weight_offset), (true, offset), "{name}");
        assert_eq!((rope(&gemma3, 1).base, &rope(&gemma3, 1).scaling), (7000.0, &RopeScaling::Linear { factor: 8.0 }), "{name}");
        assert_eq!((rope(&gemma3, 0).base, &rope(&gemma3, 0).scaling), (300.0, &RopeScaling::None), "{name}");
    }
}

#[test]
fn phi3_cuts_its_fused_tensors_into_rows() {
    for (name, stem) in [("phi3-longrope", "model.layers.0.self_attn.qkv_proj"), ("phi3-longrope.gguf", "blk.0.attn_qkv")] {
        let spec = spec(name);
        let Attention { q, k, v, .. } = &spec.layers[0].attention;
        assert_eq!(q.weight, Part { rows: Rows::Range(0..32), ..Part::whole(format!("{stem}.weight")) });
        assert_eq!((&k.weight.rows, &v.weight.rows), (&Rows::Range(32..48), &Rows::Range(48..64)));
        let Dense { gate, up, .. } = dense(&spec.layers[0]);
        assert_eq!((&gate.as_ref().unwrap().weight.rows, &up.weight.rows), (&Rows::Range(0..24), &Rows::Range(24..48)));
    }
}

#[test]
fn olmo_norms_what_blocks_give_and_whole_vectors_of_queries() {
    let olmo = spec("olmo2");
    let layer = &olmo.layers[0];
    assert!(layer.attention_norm.is_none() && layer.feed_norm.is_none());
    assert!(layer.attention_post_norm.is_some() && layer.feed_post_norm.is_some());
    assert!(!layer.attention.qk_norm.as_ref().unwrap().per_head);
    let olmo3 = spec("olmo3");
    assert_eq!(rope(&olmo3, 0).scaling, RopeScaling::None);
    assert!(matches!(rope(&olmo3, 2).scaling, RopeScaling::Yarn { .. }));
}

#[test]
fn granite_multiplies() {
    let granite = spec("granite");
    assert_eq!((granite.embedding_scale, granite.residual_scale, granite.logit_scale), (3.0, 0.6, 1.0 / 2.5));
    assert_eq!(granite.layers[0].attention.scale, 0.4);
}

#[test]
fn gpt2_lies_the_other_way_round_in_hugging_face() {
    let (hf, gguf) = (spec("gpt2"), spec("gpt2.gguf"));
    let of = |spec: &Spec| (spec.layers[0].attention.k.weight.clone(), dense(&spec.layers[0]).down.weight.transposed);
    let whole = |name: &str| Part::whole(name.into());
    let k = Part { rows: Rows::Range(16..32), transposed: true, ..whole("transformer.h.0.attn.c_attn.weight") };
    assert_eq!(of(&hf), (k, true));
    assert_eq!(of(&gguf), (Part { rows: Rows::Range(16..32), ..whole("blk.0.attn_qkv.weight") }, false));
    for (spec, table) in [(&hf, "transformer.wpe.weight"), (&gguf, "position_embd.weight")] {
        assert_eq!(spec.positions, Some(PositionEmbedding::Learned { table: whole(table), n: 304, first: 0, padding: None }));
        assert_eq!((spec.longest(), dense(&spec.layers[0]).gate.is_none()), (Some(304), true));
    }
    let scaled = spec("gpt2-scaled");
    let scales: Vec<_> = scaled.layers.iter().map(|layer| layer.attention.scale).collect();
    assert_eq!(scales, [1.0 / 8f32.sqrt(), 0.5 / 8f32.sqrt()]);
    // OpenAI's own files have no prefix.
    let mut bare = Memory::of("gpt2");
    bare.shapes = bare.shapes.into_iter().map(|(name, shape)| (name.replace("transformer.", ""), shape)).collect();
    assert_eq!(bare.resolve().unwrap().layers[1].attention.o.weight.name, "h.1.attn.c_proj.weight");
}

#[test]
fn positions_are_learned_with_an_offset_or_made_of_sinusoids() {
    let Some(PositionEmbedding::Learned { n: 304, first: 2, .. }) = spec("opt").positions else { panic!() };
    assert_eq!(spec("xglm").positions, Some(PositionEmbedding::Sinusoidal { first: 2 }));
    assert_eq!((spec("xglm").longest(), spec("xglm").embedding_scale), (None, 4.0));
}

#[test]
fn the_narrow_opt_norms_its_sums() {
    let narrow = spec("opt-narrow");
    let layer = &narrow.layers[0];
    assert_eq!((narrow.d_embedding, narrow.d_model, layer.residual), (8, 16, Residual::Normed));
    assert!(narrow.final_norm.is_none() && layer.attention_norm.is_none() && layer.feed_post_norm.is_some());
    assert_eq!(narrow.embedding_projection.unwrap().weight.name, "model.decoder.project_in.weight");
}

#[test]
fn heads_that_are_fused_one_by_one_are_taken_in_blocks() {
    let rows = |name: &str| {
        let attention = &spec(name).layers[0].attention;
        [&attention.q, &attention.k, &attention.v].map(|projection| projection.weight.rows.clone())
    };
    let blocks = |starts: [std::ops::Range<usize>; 3], step, count| starts.map(|within| Rows::Blocks { within, step, count });
    assert_eq!(rows("gptneox"), blocks([0..8, 8..16, 16..24], 24, 4));
    assert_eq!(rows("bloom"), blocks([0..4, 4..8, 8..12], 12, 6));
    assert_eq!(rows("falcon-grouped"), blocks([0..16, 16..24, 24..32], 32, 2));
    assert_eq!(rows("falcon"), [Rows::Range(0..24), Rows::Range(24..32), Rows::Range(32..40)]);
    assert_eq!(rows("bloom.gguf"), [Rows::Range(0..24), Rows::Range(24..48), Rows::Range(48..72)]);
}

#[test]
fn blocks_that_read_the_same_stream_share_a_norm_or_have_two() {
    let layer = |name: &str| spec(name).layers.swap_remove(0);
    for name in ["gptj", "phi2", "phi2.gguf", "stablelm-parallel", "stablelm-parallel.gguf", "cohere", "cohere2.gguf", "falcon.gguf"] {
        assert!(layer(name).residual == Residual::Parallel && layer(name).feed_norm.is_none(), "{name}");
    }
    for name in ["gptneox", "gptneox.gguf", "falcon-grouped"] {
        assert!(layer(name).residual == Residual::Parallel && layer(name).feed_norm.is_some(), "{name}");
    }
    // GGUF counts the feed-forward block's norm as the first.
    let names = |layer: Layer| [layer.attention_norm, layer.feed_norm].map(|norm| norm.unwrap().weight.unwrap().name);
    assert_eq!(names(layer("falcon-grouped.gguf")), ["blk.0.attn_norm_2.weight", "blk.0.attn_norm.weight"]);
    for name in ["gptneox-sequential", "stablelm", "stablelm.gguf", "falcon-alibi", "starcoder2", "mpt"] {
        assert_eq!(layer(name).residual, Residual::Sequential, "{name}");
    }
}

#[test]
fn each_head_may_have_a_norm_of_its_own() {
    let norms = |name: &str| spec(name).layers[1].attention.qk_norm.clone().unwrap();
    for (name, second) in [
        ("stablelm-parallel", Part::whole("model.layers.1.self_attn.k_layernorm.norms.1.weight".into())),
        ("stablelm-parallel.gguf", Part { rows: Rows::Range(8..16), ..Part::whole("blk.1.attn_k_norm.weight".into()) }),
        ("cohere", Part { rows: Rows::Range(8..16), ..Part::whole("model.layers.1.self_attn.k_norm.weight".into()) }),
    ] {
        let QkNorm { q, k, per_head } = norms(name);
        assert_eq!((q.len(), k.len(), per_head, k[1].weight.as_ref()), (4, 2, true, Some(&second)), "{name}");
        assert_eq!(k[1].kind, NormKind::Layer);
    }
    assert!(norms("phi2-norms").q[0].bias.is_some());
}

#[test]
fn pairs_are_adjacent_where_the_family_has_them_so() {
    for (name, pairing, dims) in [
        ("gptj", Pairing::Adjacent, 6),
        ("cohere", Pairing::Adjacent, 8),
        ("cohere2.gguf", Pairing::Adjacent, 4),
        ("gptneox", Pairing::Halves, 4),
        ("gptneox.gguf", Pairing::Halves, 4),
        ("phi2", Pairing::Halves, 4),
        ("stablelm-parallel", Pairing::Halves, 2),
        ("falcon", Pairing::Halves, 8),
    ] {
        assert_eq!((rope(&spec(name), 0).pairing, rope(&spec(name), 0).dims), (pairing, dims), "{name}");
    }
    let turns: Vec<_> = spec("cohere2").layers.iter().map(|layer| layer.attention.rope.is_some()).collect();
    assert_eq!((turns, windows(&spec("cohere2"))), (vec![true, true, true, false], vec![Some(23), Some(23), Some(23), None]));
    // Before transformers 5, GPT-NeoX had its own words.
    let new = Memory::of("gptneox-sequential");
    let old = new
        .without("rope_parameters")
        .with("rotary_pct", Value::Float(0.75))
        .with("rotary_emb_base", Value::Int(500))
        .with("rope_scaling.type", text("linear"))
        .with("rope_scaling.factor", Value::Float(3.0));
    assert_eq!(old.resolve(), new.resolve());
}

#[test]
fn alibi_has_the_papers_slopes_for_any_number_of_heads() {
    let slopes = |name: &str| match spec(name).layers[0].attention.bias.clone() {
        Some(Bias::Alibi { slopes }) => slopes,
        other => panic!("{name}: {other:?}"),
    };
    let six = [2, 4, 6, 8, 1, 3].map(|i| 0.5f32.powi(i));
    for name in ["bloom", "bloom.gguf", "mpt", "mpt.gguf", "baichuan-alibi", "baichuan-alibi.gguf"] {
        assert_eq!(slopes(name), six, "{name}");
        assert!(spec(name).layers[0].attention.rope.is_none());
    }
    assert!(spec("baichuan").layers[0].attention.bias.is_none() && rope(&spec("baichuan"), 0).base == 10_000.0);
    assert_eq!(slopes("falcon-alibi"), six.map(|slope| slope * (1.0 / 4f32.sqrt())));
    let steep = [0.75, 1.5, 2.25, 3.0, 0.375].map(|power: f64| (-power).exp2() as f32);
    assert_eq!((slopes("mpt-steep"), spec("mpt-steep").layers[0].attention.scale), (steep.to_vec(), 0.7));
    for name in ["mpt", "mpt.gguf"] {
        assert_eq!(spec(name).layers[1].attention.clip, Some(1.5), "{name}");
    }
    assert!(spec("bloom.gguf").embedding_norm.unwrap().bias.is_some());
}

#[test]
fn logits_are_scaled_and_biased() {
    assert_eq!((spec("cohere").logit_scale, spec("cohere.gguf").logit_scale, spec("cohere2").logit_scale), (0.3, 0.3, 0.4));
    for name in ["gptj", "phi2", "phi2.gguf"] {
        assert!(spec(name).output.unwrap().bias.is_some(), "{name}");
    }
    // The bias stays where the matrix is the embedding's.
    let tied = Memory::of("gptj").with("tie_word_embeddings", Value::Bool(true)).resolve().unwrap();
    let output = tied.output.unwrap();
    assert_eq!((&output.weight, output.bias.is_some()), (&tied.embedding, true));
}

#[test]
fn experts_lie_stacked_or_one_by_one() {
    let gguf = spec("mixtral.gguf");
    assert_eq!(experts(&gguf.layers[0]).gate, ExpertTensors::Stacked(Part::whole("blk.0.ffn_gate_exps.weight".into())));
    let mixtral = spec("mixtral");
    let layer = experts(&mixtral.layers[1]);
    assert_eq!((layer.n_experts, layer.n_used, layer.normalise, layer.d_ff), (4, 2, true, 12));
    let ExpertTensors::Each(up) = &layer.up else { panic!() };
    assert_eq!(up[3].name, "model.layers.1.block_sparse_moe.experts.3.w3.weight");

    let qwen = spec("qwen3moe");
    assert_eq!(dense(&qwen.layers[0]).d_ff, 24);
    let layer = experts(&qwen.layers[1]);
    assert_eq!((layer.n_experts, layer.n_used, layer.normalise, layer.d_ff), (5, 3, false, 8));
}

#[test]
fn experts_of_one_fused_tensor_are_cut_into_gate_and_up() {
    let mut memory = Memory::of("qwen3moe");
    memory.shapes.retain(|name, _| !name.contains(".experts."));
    memory.shapes.insert("model.layers.1.mlp.experts.gate_up_proj".into(), vec![5, 16, 16]);
    memory.shapes.insert("model.layers.1.mlp.experts.down_proj".into(), vec![5, 16, 8]);
    let spec = memory.resolve().unwrap();
    let layer = experts(&spec.layers[1]);
    let ExpertTensors::Stacked(up) = &layer.up else { panic!() };
    assert_eq!((up.name.as_str(), &up.rows), ("model.layers.1.mlp.experts.gate_up_proj", &Rows::Range(8..16)));
    assert!(matches!(&layer.down, ExpertTensors::Stacked(down) if down.rows == Rows::All));
}

#[test]
fn older_spellings_of_rotations_mean_the_same() {
    let new = Memory::of("qwen3-yarn");
    let mut old = new.without("rope_parameters").with("rope_theta", Value::Int(10_000)).with("rope_scaling.type", text("yarn"));
    for (key, value) in [("factor", 4.0), ("mscale", 0.7), ("mscale_all_dim", 1.2), ("beta_fast", 16.0), ("beta_slow", 1.5)] {
        old = old.with(&format!("rope_scaling.{key}"), Value::Float(value));
    }
    old = old.with("rope_scaling.truncate", Value::Bool(false)).with("rope_scaling.original_max_position_embeddings", Value::Int(64));
    assert_eq!(old.resolve(), new.resolve());

    let new = Memory::of("gemma3");
    let old = new
        .without("rope_parameters")
        .without("layer_types")
        .with("sliding_window_pattern", Value::Int(2))
        .with("rope_theta", Value::Float(7000.0))
        .with("rope_local_base_freq", Value::Float(300.0))
        .with("rope_scaling.rope_type", text("linear"))
        .with("rope_scaling.factor", Value::Float(8.0));
    assert_eq!(old.resolve(), new.resolve());
}

/// As embedding models are often published: transformers' own base class has nothing before the names.
#[test]
fn a_model_that_was_saved_without_its_head_is_read() {
    for (name, body) in [("qwen3", "model."), ("starcoder2", "model."), ("falcon", "transformer."), ("gpt2", "transformer.")] {
        let whole = Memory::of(name);
        let shapes = whole.shapes.iter().map(|(name, shape)| (name.replacen(body, "", 1), shape.clone())).collect();
        let bare = Memory { shapes, ..whole.clone() }.resolve().unwrap();
        let embedding = whole.resolve().unwrap().embedding.name;
        assert_eq!(Some(bare.embedding.name.as_str()), embedding.strip_prefix(body), "{name}");
        assert_eq!(bare.output.unwrap().weight, bare.embedding, "{name}");
    }
}

#[test]
fn a_vision_language_models_text_part_is_read() {
    let text_only = Memory::of("gemma3");
    for (body, head) in [("language_model.model.", "language_model."), ("model.language_model.", "")] {
        let mut whole = Memory { values: Default::default(), shapes: Default::default(), ..text_only };
        whole.values.insert("model_type".into(), text("gemma3"));
        whole.values.extend(text_only.values.iter().map(|(key, value)| (format!("text_config.{key}"), value.clone())));
        whole.values.insert("text_config.tie_word_embeddings".into(), Value::Bool(false));
        whole.shapes.extend(text_only.shapes.iter().map(|(name, shape)| (name.replace("model.", body), shape.clone())));
        whole.shapes.insert(format!("{head}lm_head.weight"), vec![40, 16]);
        let spec = whole.resolve().unwrap();
        assert_eq!((spec.family, spec.layers.len()), ("gemma3", 3));
        assert_eq!(spec.output.unwrap().weight.name, format!("{head}lm_head.weight"));
    }
}

#[test]
fn defaults_are_those_of_the_configuration_class() {
    let gemma = Memory::of("gemma3").without("num_attention_heads").without("num_key_value_heads").without("head_dim");
    // 8 heads of 256 instead of 4 of 8: the tensors say otherwise, and the error shows what was assumed.
    assert!(matches!(gemma.resolve(), Err(ModelError::WrongShape { expected, .. }) if expected == [2048, 16] || expected == [256]));
    assert_eq!(Memory::of("llama").without("max_position_embeddings").resolve().unwrap().trained_context, 2048);
    assert_eq!(Memory::of("qwen2").without("rms_norm_eps").resolve().unwrap().final_norm.unwrap().eps, 1e-6);
}

#[test]
fn t5_reads_with_an_encoder_and_scales_logits_where_the_first_version_does() {
    for (name, scaled, gated, layers, start) in [
        ("t5", true, false, (2, 1), 0),
        ("t5.gguf", true, false, (2, 1), 0),
        ("t5-gated", false, true, (2, 1), 0),
        ("t5-gated.gguf", false, true, (2, 1), 0),
        ("t5-far", true, true, (1, 2), 3),
        ("t5-mt5", false, true, (1, 1), 0),
        ("t5-umt5.gguf", false, true, (2, 2), 0),
    ] {
        let spec = spec(name);
        assert_eq!(spec.logit_scale, if scaled { 0.25 } else { 1.0 }, "{name}");
        assert_eq!(dense(&spec.layers[0]).gate.is_some(), gated, "{name}");
        let encoder = spec.encoder.expect("T5 has one");
        assert_eq!((encoder.layers.len(), spec.layers.len(), encoder.decoder_start), (layers.0, layers.1, start), "{name}");
        assert!(encoder.layers.iter().all(|layer| layer.cross.is_none() && layer.attention.mask == Mask::Bidirectional));
        assert!(spec.layers.iter().all(|layer| layer.cross.is_some() && layer.attention.mask == Mask::Causal));
    }
}

#[test]
fn t5_shares_the_first_layers_biases_unless_each_layer_has_its_own() {
    let table = |layer: &Layer| match &layer.attention.bias {
        Some(Bias::Buckets { table, .. }) => table.name.clone(),
        other => panic!("{other:?}"),
    };
    let tables = |name: &str| spec(name).encoder.unwrap().layers.iter().map(table).collect::<Vec<_>>();
    assert_eq!(tables("t5.gguf"), ["enc.blk.0.attn_rel_b.weight"; 2]);
    assert_eq!(tables("t5-umt5.gguf"), ["enc.blk.0.attn_rel_b.weight", "enc.blk.1.attn_rel_b.weight"]);
    let far = spec("t5-far");
    assert!(matches!(far.layers[1].attention.bias, Some(Bias::Buckets { n_buckets: 9, max_distance: 70, bidirectional: false, .. })));
    for (key, value) in [("relative_attention_num_buckets", 3), ("relative_attention_max_distance", 4), ("decoder_start_token_id", 32)] {
        let error = Memory::of("t5").with(key, Value::Int(value)).resolve().unwrap_err().to_string();
        assert!(error.contains("relative_attention_num_buckets") || error.contains(key), "{error}");
    }
    let error = Memory::of("t5").with("feed_forward_proj", text("gated-tanh")).resolve().unwrap_err().to_string();
    assert!(error.contains("feed_forward_proj") && error.contains("gated-tanh"), "{error}");
}
