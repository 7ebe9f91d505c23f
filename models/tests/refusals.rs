//! Files that say what no model can be: each is refused with the key or tensor, what was expected and what was found.

mod support;

use kinglet_models::{FAMILIES, Layout, ModelError, Value};
use support::{Memory, text};

fn refusal(memory: &Memory) -> String {
    memory.resolve().expect_err("the metadata is wrong").to_string()
}

#[test]
fn an_unknown_architecture_is_named_with_the_known_ones_and_the_nearest() {
    let message = refusal(&Memory::of("llama").with("model_type", text("qwen_2")));
    let known: Vec<_> = FAMILIES.iter().flat_map(|family| family.architectures(Layout::HuggingFace)).copied().collect();
    assert_eq!(message, format!("unknown architecture `qwen_2` (did you mean `qwen2`?); known: {}", known.join(", ")));
    assert!(known.len() > 20);
    let message = refusal(&Memory::of("llama.gguf").with("general.architecture", text("mamba")));
    assert!(message.starts_with("unknown architecture `mamba`") && !message.contains("mixtral"), "{message}");
    assert_eq!(refusal(&Memory::of("llama").without("model_type")), "`model_type` is missing");
}

#[test]
fn counts_are_checked_before_anything_is_computed_from_them() {
    let llama = Memory::of("llama");
    for (key, value, message) in [
        ("num_attention_heads", 0, "`num_attention_heads`: expected a whole number from 1 to 4096, found 0"),
        ("num_key_value_heads", 3, "`num_key_value_heads`: expected a divisor of the 4 query heads, found 3"),
        ("num_key_value_heads", 0, "`num_key_value_heads`: expected a whole number from 1 to 4096, found 0"),
        ("head_dim", 1 << 20, "`head_dim`: expected a whole number from 1 to 1024, found 1048576"),
        ("num_hidden_layers", -1, "`num_hidden_layers`: expected a whole number from 1 to 1024, found -1"),
        ("num_hidden_layers", i64::MAX, "`num_hidden_layers`: expected a whole number from 1 to 1024, found 9223372036854775807"),
        ("vocab_size", 41, "tensor `model.embed_tokens.weight`: expected shape [41, 16], found [40, 16]"),
        ("num_hidden_layers", 3, "tensor `model.layers.2.self_attn.q_proj.weight` is missing"),
    ] {
        assert_eq!(refusal(&llama.with(key, Value::Int(value))), message);
    }
    let odd = "`head_dim`: expected an even number of turned dimensions from 2 to the head's 7, found 7";
    assert_eq!(refusal(&llama.with("head_dim", Value::Int(7))), odd);
    let narrow = llama.without("head_dim").with("num_attention_heads", Value::Int(6));
    assert!(refusal(&narrow).contains("expected a divisor of the width 16"), "{}", refusal(&narrow));
}

#[test]
fn gguf_has_no_defaults_for_sizes() {
    let llama = Memory::of("llama.gguf");
    for key in ["block_count", "embedding_length", "attention.head_count", "feed_forward_length", "context_length"] {
        let key = format!("llama.{key}");
        assert_eq!(refusal(&llama.without(&key)), format!("`{key}` is missing"));
    }
    assert_eq!(refusal(&llama.without_tensor("token_embd.weight")), "tensor `token_embd.weight` is missing");
    assert!(llama.without("llama.attention.head_count_kv").with_shape("blk.0.attn_k.weight", &[32, 16]).resolve().is_err());
}

#[test]
fn words_that_are_unknown_are_named_with_the_known_ones() {
    let gemma = Memory::of("gemma3");
    assert!(refusal(&gemma.with("hidden_activation", text("mish"))).starts_with("`hidden_activation`: expected one of silu, swish, gelu"));
    let kinds = Value::List(vec![text("full_attention"), text("chunked_attention"), text("full_attention")]);
    assert_eq!(
        refusal(&gemma.with("layer_types", kinds)),
        "`layer_types`: expected `full_attention` or `sliding_attention`, found `chunked_attention`"
    );
    let one = Value::List(vec![text("full_attention")]);
    assert_eq!(refusal(&gemma.with("layer_types", one)), "`layer_types`: expected 3 items, one for each layer, found 1 items");
    assert_eq!(
        refusal(&Memory::of("llama").with("rope_parameters.rope_type", text("mrope"))),
        "`rope_parameters.rope_type`: expected one of default, linear, dynamic, yarn, llama3, longrope, su, found `mrope`"
    );
    assert_eq!(
        refusal(&Memory::of("llama.gguf").with("llama.rope.scaling.type", text("ntk"))),
        "`llama.rope.scaling.type`: expected one of none, linear, yarn, longrope, found `ntk`"
    );
}

#[test]
fn numbers_that_would_be_divided_by_are_not_zero() {
    let granite = Memory::of("granite");
    for (key, value) in [("logits_scaling", 0.0), ("logits_scaling", -1.0), ("embedding_multiplier", f64::NAN), ("rms_norm_eps", 0.0)] {
        assert!(refusal(&granite.with(key, Value::Float(value))).starts_with(&format!("`{key}`: expected a ")), "{key} {value}");
    }
    let linear = Memory::of("llama-linear");
    assert_eq!(
        refusal(&linear.with("rope_parameters.factor", Value::Int(0))),
        "`rope_parameters.factor`: expected a number above zero, found 0.0"
    );
    assert_eq!(
        refusal(&linear.with("rope_parameters.rope_theta", Value::Int(1))),
        "`rope_parameters.rope_theta`: expected a base above 1, found 1.0"
    );
    let llama3 = Memory::of("llama-llama3").with("rope_parameters.low_freq_factor", Value::Int(4));
    assert!(refusal(&llama3).contains("more than `low_freq_factor`, 4.0"));
    let long = Memory::of("phi3-longrope").with("rope_parameters.long_factor", Value::List(vec![Value::Int(1); 5]));
    assert_eq!(refusal(&long), "`rope_parameters.long_factor`: expected a list of 6 numbers above zero, found 5 items");
}

#[test]
fn tensors_are_checked_against_the_sizes() {
    let mixtral = Memory::of("mixtral.gguf");
    assert_eq!(
        refusal(&mixtral.with_shape("blk.1.ffn_down_exps.weight", &[4, 12, 16])),
        "tensor `blk.1.ffn_down_exps.weight`: expected shape [4, 16, 12], found [4, 12, 16]"
    );
    assert_eq!(
        refusal(&mixtral.with("llama.expert_used_count", Value::Int(5))),
        "`llama.expert_used_count`: expected at most the 4 experts there are, found 5"
    );
    assert_eq!(
        refusal(&Memory::of("mixtral").without_tensor("model.layers.0.block_sparse_moe.experts.2.w2.weight")),
        "tensor `model.layers.0.block_sparse_moe.experts.2.w2.weight` is missing"
    );
    assert_eq!(
        refusal(&Memory::of("qwen2").without_tensor("model.layers.1.self_attn.k_proj.bias")),
        "tensor `model.layers.1.self_attn.k_proj.bias` is missing"
    );
    assert_eq!(
        refusal(&Memory::of("llama-llama3.gguf").with_shape("rope_freqs.weight", &[7])),
        "tensor `rope_freqs.weight`: expected shape [8], found [7]"
    );
}

#[test]
fn keys_and_tensors_are_named_in_the_familys_own_spelling() {
    for (name, key, value, message) in [
        ("gpt2", "n_head", Value::Int(0), "`n_head`: expected a whole number from 1 to 4096, found 0"),
        ("gpt2", "n_positions", Value::Int(305), "tensor `transformer.wpe.weight`: expected shape [305, 16], found [304, 16]"),
        ("gpt2", "n_embd", Value::Int(20), "tensor `transformer.wte.weight`: expected shape [40, 20], found [40, 16]"),
        ("gpt2", "layer_norm_epsilon", Value::Int(0), "`layer_norm_epsilon`: expected a number above zero, found 0.0"),
        ("gptj", "rotary_dim", Value::Int(5), "`rotary_dim`: expected an even number of turned dimensions from 2 to the head's 8, found 5"),
        ("opt", "word_embed_proj_dim", Value::Int(8), "tensor `model.decoder.embed_tokens.weight`: expected shape [40, 8], found [40, 16]"),
        (
            "falcon",
            "activation",
            text("mish"),
            "`activation`: expected one of silu, swish, gelu_pytorch_tanh, gelu_new, gelu_fast, gelu, \
            gelu_python, relu, tanh, found `mish`",
        ),
        ("falcon-grouped", "num_kv_heads", Value::Int(3), "`num_kv_heads`: expected a divisor of the 4 query heads, found 3"),
        ("mpt", "attn_config.clip_qkv", Value::Int(-2), "`attn_config.clip_qkv`: expected a number above zero, found -2.0"),
        (
            "xglm",
            "d_model",
            Value::Int(17),
            "`attention_heads`: expected a divisor of the width 17 that leaves at most 1024 for a head, found 4",
        ),
    ] {
        assert_eq!(refusal(&Memory::of(name).with(key, value)), message, "{name}");
    }
    assert_eq!(
        refusal(&Memory::of("gpt2").with_shape("transformer.h.1.attn.c_attn.weight", &[48, 16])),
        "tensor `transformer.h.1.attn.c_attn.weight`: expected shape [16, 48], found [48, 16]"
    );
    assert_eq!(
        refusal(&Memory::of("gpt2.gguf").without("gpt2.attention.layer_norm_epsilon")),
        "`gpt2.attention.layer_norm_epsilon` is missing"
    );
    assert_eq!(refusal(&Memory::of("cohere2.gguf").without("cohere2.logit_scale")), "`cohere2.logit_scale` is missing");
    assert_eq!(
        refusal(&Memory::of("stablelm-parallel").without_tensor("model.layers.1.self_attn.q_layernorm.norms.3.weight")),
        "tensor `model.layers.1.self_attn.q_layernorm.norms.3.weight` is missing"
    );
}

#[test]
fn layers_that_no_published_model_has_are_refused() {
    let bloom = Memory::of("bloom").with("apply_residual_connection_post_layernorm", Value::Bool(true));
    assert!(
        refusal(&bloom).starts_with("`apply_residual_connection_post_layernorm` is true: blocks are added to the residual stream only")
    );
    let second = Memory::of("baichuan")
        .with("vocab_size", Value::Int(125_696))
        .with_shape("model.embed_tokens.weight", &[125_696, 16])
        .with_shape("lm_head.weight", &[125_696, 16]);
    assert!(refusal(&second).starts_with("`vocab_size` is 125696: Baichuan 2 scales the rows of lm_head"), "{}", refusal(&second));
    let prefix = Memory::of("mpt").with("attn_config.prefix_lm", Value::Bool(true));
    assert!(refusal(&prefix).starts_with("`attn_config.prefix_lm` is true"));
    // transformers turns these families' heads as a whole whatever the factor says, other programs don't.
    for (name, key) in [("llama", "partial_rotary_factor"), ("gemma3", "rope_parameters.full_attention.partial_rotary_factor")] {
        let partial = Memory::of(name).with(key, Value::Float(0.5));
        assert_eq!(refusal(&partial), format!("`{key}` is 0.5: heads of this family turn as a whole, with a factor of 1"));
        assert!(partial.with(key, Value::Float(1.0)).resolve().is_ok());
    }
    let stretched = Memory::of("modernbert").with("rope_scaling.type", text("yarn"));
    assert!(refusal(&stretched).starts_with("`rope_scaling.type` is `yarn`: a stretched rotation"), "{}", refusal(&stretched));
    // Without ALiBi there must be learned positions.
    let plain = Memory::of("mpt").with("attn_config.alibi", Value::Bool(false));
    assert_eq!(refusal(&plain), "tensor `transformer.wpe.weight` is missing");
}

#[test]
fn what_no_family_does_is_refused_with_the_reason() {
    let quantised = Memory::of("llama").with("quantization_config.quant_method", text("awq"));
    assert!(matches!(quantised.resolve(), Err(ModelError::Unsupported { .. })));
    assert!(refusal(&quantised).starts_with("`quantization_config.quant_method` is `awq`: only f32, f16 and bf16"));
    assert!(refusal(&Memory::of("gemma3").with("use_bidirectional_attention", Value::Bool(true))).contains("encoder"));
    assert!(refusal(&Memory::of("llama.gguf").with("llama.attention.value_length", Value::Int(16))).contains("as wide as keys"));
}
