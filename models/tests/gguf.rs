//! What GGUF files leave out, spell in an older way, or hold in another shape, as llama.cpp reads them.

mod support;

use kinglet_models::{ModelError, NormKind, Rows, Spec, Value};
use support::{Memory, text};

fn resolved(memory: &Memory) -> Spec {
    memory.resolve().unwrap_or_else(|error| panic!("{error}"))
}

/// With the matrices of q, k and v in one tensor, and their biases as they are.
fn fused(memory: &Memory, layers: usize) -> Memory {
    let mut changed = memory.clone();
    for layer in 0..layers {
        let stem = format!("blk.{layer}.attn_");
        let parts = ["q", "k", "v"].map(|part| changed.shapes.remove(&format!("{stem}{part}.weight")).unwrap());
        let rows = parts.iter().map(|shape| shape[0]).sum();
        changed.shapes.insert(format!("{stem}qkv.weight"), vec![rows, parts[0][1]]);
    }
    changed
}

#[test]
fn fused_matrices_may_have_their_biases_apart() {
    let apart = Memory::of("starcoder2.gguf");
    let (apart, fused) = (resolved(&apart), resolved(&fused(&apart, 2)));
    for (apart, fused) in apart.layers.iter().zip(&fused.layers) {
        let (apart, fused) = (&apart.attention, &fused.attention);
        assert!(fused.q.weight.name.ends_with("attn_qkv.weight") && fused.v.weight.rows != Rows::All);
        assert_eq!([&fused.q.bias, &fused.k.bias, &fused.v.bias], [&apart.q.bias, &apart.k.bias, &apart.v.bias]);
        assert!(fused.q.bias.is_some());
    }
}

#[test]
fn qwen2_may_have_no_biases() {
    let mut bare = Memory::of("qwen2-yarn.gguf");
    bare.shapes.retain(|name, _| !name.ends_with(".bias"));
    assert!(resolved(&bare).layers.iter().all(|layer| layer.attention.q.bias.is_none()));
}

#[test]
fn mpt_goes_by_the_tensors_that_are_there() {
    let mpt = Memory::of("mpt.gguf");
    let plain = resolved(&mpt);
    assert!(plain.positions.is_none() && plain.layers[0].attention.qk_norm.is_none());
    let mut normed = mpt.with("mpt.attention.max_alibi_bias", Value::Float(0.0));
    for layer in 0..2 {
        for name in ["q_norm.weight", "q_norm.bias", "k_norm.weight"] {
            normed = normed.with_shape(&format!("blk.{layer}.attn_{name}"), &[24]);
        }
    }
    let spec = resolved(&normed);
    let norms = spec.layers[1].attention.qk_norm.as_ref().unwrap();
    assert!(!norms.per_head && norms.q[0].kind == NormKind::Layer && norms.q[0].bias.is_some() && norms.k[0].bias.is_none());
    assert!(spec.positions.is_none() && spec.layers[0].attention.bias.is_none());
    assert!(resolved(&mpt.with_shape("position_embd.weight", &[512, 24])).positions.is_some());
}

#[test]
fn a_model_that_llama_cpp_has_saved_states_what_it_has_not_as_zero() {
    let zero = || Value::Float(0.0);
    let llama = Memory::of("llama.gguf").with("llama.expert_count", Value::Int(0)).with("llama.expert_used_count", Value::Int(0));
    assert_eq!(resolved(&llama), resolved(&Memory::of("llama.gguf")));
    let mpt = resolved(&Memory::of("mpt.gguf").with("mpt.attention.clamp_kqv", zero()));
    assert_eq!(mpt.layers[0].attention.clip, None);
    let mut granite = Memory::of("granite.gguf");
    for key in ["embedding_scale", "residual_scale", "attention.scale"] {
        granite = granite.with(&format!("granite.{key}"), zero());
    }
    let granite = resolved(&granite);
    assert_eq!((granite.embedding_scale, granite.residual_scale), (1.0, 1.0));
    assert_eq!(granite.layers[0].attention.scale, 1.0 / (granite.layers[0].attention.d_head as f32).sqrt());
}

#[test]
fn a_saved_yarn_keeps_its_own_magnitude() {
    let qwen = Memory::of("qwen2-yarn.gguf").without("qwen2.rope.scaling.yarn_attn_factor");
    let one = qwen.with("qwen2.rope.scaling.yarn_attn_factor", Value::Float(1.0));
    let saved = one.with("qwen2.rope.scaling.yarn_ext_factor", Value::Float(-1.0));
    assert_ne!(resolved(&one), resolved(&qwen));
    assert_eq!(resolved(&saved), resolved(&qwen));
}

#[test]
fn a_magnitude_beside_a_plain_rotation_is_not_passed_over() {
    let stated = |factor| Memory::of("llama.gguf").with("llama.rope.scaling.attn_factor", Value::Float(factor));
    assert!(stated(1.0).resolve().is_ok());
    let why = "a magnitude of the rotation is supported beside YaRN and LongRoPE only";
    assert_eq!(stated(1.5).resolve().unwrap_err().to_string(), format!("`llama.rope.scaling.attn_factor` is 1.5: {why}"));
}

#[test]
fn longropes_divisors_are_not_stretched_once_more() {
    let phi = Memory::of("phi3-longrope.gguf");
    let stated = |key: &str, factor| phi.with(&format!("phi3.rope.{key}"), Value::Float(factor));
    assert_eq!(resolved(&stated("scaling.factor", 1.0)), resolved(&stated("scale_linear", 0.0)));
    let message = stated("scaling.factor", 4.0).resolve().unwrap_err().to_string();
    assert_eq!(message, "`phi3.rope.scaling.factor` is 4.0: LongRoPE's divisors are not stretched once more");
}

#[test]
fn layers_with_a_window_may_turn_fewer_dimensions() {
    let spec = resolved(&Memory::of("gemma3.gguf").with("gemma3.rope.dimension_count_swa", Value::Int(4)));
    let full = spec.layers[0].attention.d_head;
    for layer in &spec.layers {
        let dims = layer.attention.rope.as_ref().unwrap().dims;
        assert_eq!(dims, if layer.attention.window.is_some() { 4 } else { full });
    }
}

#[test]
fn a_modernbert_that_states_no_window_has_none() {
    let spec = resolved(&Memory::of("modernbert.gguf").without("modern-bert.attention.sliding_window"));
    let rope = spec.layers[0].attention.rope.as_ref();
    assert!(spec.layers.iter().all(|layer| layer.attention.window.is_none() && layer.attention.rope.as_ref() == rope));
}

#[test]
fn command_r_scales_its_logits_where_the_file_says_so() {
    assert_eq!(resolved(&Memory::of("cohere.gguf").without("command-r.logit_scale")).logit_scale, 1.0);
    assert_eq!(resolved(&Memory::of("cohere.gguf").with("command-r.logit_scale", Value::Float(0.0))).logit_scale, 1.0);
}

#[test]
fn a_layers_tensor_that_the_family_does_not_compute_with_is_refused() {
    let refusal = |memory: &Memory| memory.resolve().unwrap_err().to_string();
    let why = "is a tensor of the file: this family does not compute with such a tensor";
    for (name, tensor, width) in [
        ("llama.gguf", "blk.1.attn_q_norm.weight", 8),
        ("llama.gguf", "blk.0.attn_norm.bias", 16),
        ("llama.gguf", "blk.0.ffn_up.scale", 1),
        ("mpt.gguf", "blk.0.ffn_act.scales", 96),
        ("t5.gguf", "enc.blk.0.attn_norm.bias", 16),
    ] {
        assert_eq!(refusal(&Memory::of(name).with_shape(tensor, &[width])), format!("`{tensor}` {why}"));
    }
    let fewer = Memory::of("llama.gguf").with("llama.block_count", Value::Int(1));
    assert!(matches!(fewer.resolve(), Err(ModelError::Unsupported { key, .. }) if key.starts_with("blk.1.")));
    // What nobody reads, and what other programs put beside the layers.
    for tensor in ["dec.blk.0.cross_attn_rel_b.weight", "v.blk.0.attn_q.weight", "cls.weight"] {
        assert!(Memory::of("t5.gguf").with_shape(tensor, &[8, 4]).resolve().is_ok(), "{tensor}");
    }
    // Hugging Face's files often hold more than their class reads.
    assert!(Memory::of("llama").with_shape("model.layers.0.self_attn.rotary_emb.inv_freq", &[4]).resolve().is_ok());
    assert!(Memory::of("llama").with("model_type", text("llama")).resolve().is_ok());
}
