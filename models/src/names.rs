//! How the two layouts spell the hyper-parameters and tensors that most families share. A family with a spelling of its own
//! keeps it in its own file. `{}` stands for the layer, `{e}` for the expert; an empty spelling means the layout has no such thing.

/// A hyper-parameter: GGUF without the architecture's prefix, and `config.json`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub gguf: &'static str,
    pub hugging_face: &'static str,
}

/// A tensor without `.weight` or `.bias`; Hugging Face without the decoder's own prefix (`model.`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    pub gguf: &'static str,
    pub hugging_face: &'static str,
}

pub(crate) const fn key(gguf: &'static str, hugging_face: &'static str) -> Key {
    Key { gguf, hugging_face }
}

pub(crate) const fn name(gguf: &'static str, hugging_face: &'static str) -> Name {
    Name { gguf, hugging_face }
}

/// How a family spells what most others spell as below, where it differs. It holds for keys and tensors of either layout.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// What stands before the decoder's tensors in a Hugging Face file, and the output's name: the first whose embedding is there. A
    /// model that was saved without its head has nothing before them.
    pub roots: &'static [(&'static str, &'static str)],
    /// The common spelling, and the family's own; where there are several of them, the first that the file has.
    pub spellings: &'static [(&'static str, &'static str)],
}

/// A language model, and one that is part of a vision-language model, older and newer.
pub(crate) const COMMON: Dialect = Dialect {
    roots: &[("model.", "lm_head"), ("language_model.model.", "language_model.lm_head"), ("model.language_model.", "lm_head")],
    spellings: &[],
};

pub(crate) const N_LAYERS: Key = key("block_count", "num_hidden_layers");
pub(crate) const D_MODEL: Key = key("embedding_length", "hidden_size");
pub(crate) const D_FF: Key = key("feed_forward_length", "intermediate_size");
pub(crate) const N_VOCAB: Key = key("", "vocab_size");
pub(crate) const CONTEXT: Key = key("context_length", "max_position_embeddings");
pub(crate) const N_HEADS: Key = key("attention.head_count", "num_attention_heads");
pub(crate) const N_KV_HEADS: Key = key("attention.head_count_kv", "num_key_value_heads");
pub(crate) const D_HEAD: Key = key("attention.key_length", "head_dim");
pub(crate) const D_VALUE: Key = key("attention.value_length", "");
pub(crate) const RMS_EPS: Key = key("attention.layer_norm_rms_epsilon", "rms_norm_eps");
pub(crate) const LAYER_EPS: Key = key("attention.layer_norm_epsilon", "layer_norm_eps");
pub(crate) const TIED: Key = key("", "tie_word_embeddings");
pub(crate) const ATTENTION_BIAS: Key = key("", "attention_bias");
pub(crate) const MLP_BIAS: Key = key("", "mlp_bias");
pub(crate) const ACTIVATION: Key = key("", "hidden_act");
pub(crate) const GEMMA_ACTIVATION: Key = key("hidden_activation", "hidden_activation");
pub(crate) const WINDOW: Key = key("attention.sliding_window", "sliding_window");
pub(crate) const WINDOW_PATTERN: Key = key("attention.sliding_window_pattern", "sliding_window_pattern");
pub(crate) const WINDOW_SWITCH: Key = key("", "use_sliding_window");
pub(crate) const LAYER_TYPES: Key = key("", "layer_types");
pub(crate) const FINAL_SOFTCAP: Key = key("final_logit_softcapping", "final_logit_softcapping");
pub(crate) const N_USED: Key = key("expert_used_count", "num_experts_per_tok");

pub(crate) const EMBEDDING: Name = name("token_embd", "embed_tokens");
pub(crate) const POSITIONS: Name = name("position_embd", "embed_positions");
pub(crate) const TOKEN_TYPES: Name = name("token_types", "embeddings.token_type_embeddings");
pub(crate) const EMBEDDING_NORM: Name = name("token_embd_norm", "embeddings.LayerNorm");
pub(crate) const FINAL_NORM: Name = name("output_norm", "norm");
pub(crate) const ATTENTION_NORM: Name = name("blk.{}.attn_norm", "layers.{}.input_layernorm");
pub(crate) const QKV: Name = name("blk.{}.attn_qkv", "layers.{}.self_attn.qkv_proj");
pub(crate) const Q: Name = name("blk.{}.attn_q", "layers.{}.self_attn.q_proj");
pub(crate) const K: Name = name("blk.{}.attn_k", "layers.{}.self_attn.k_proj");
pub(crate) const V: Name = name("blk.{}.attn_v", "layers.{}.self_attn.v_proj");
pub(crate) const O: Name = name("blk.{}.attn_output", "layers.{}.self_attn.o_proj");
pub(crate) const Q_NORM: Name = name("blk.{}.attn_q_norm", "layers.{}.self_attn.q_norm");
pub(crate) const K_NORM: Name = name("blk.{}.attn_k_norm", "layers.{}.self_attn.k_norm");
/// After attention, on what joins the residual stream (Gemma 2 and 3, OLMo 2).
pub(crate) const ATTENTION_POST_NORM: Name = name("blk.{}.post_attention_norm", "layers.{}.post_attention_layernorm");
/// Before the feed-forward block where attention has no norm after it: Hugging Face's name says where it stands, not what for.
pub(crate) const FEED_NORM: Name = name("blk.{}.ffn_norm", "layers.{}.post_attention_layernorm");
/// Before the feed-forward block where attention has a norm after it (Gemma 2 and 3).
pub(crate) const SANDWICH_FEED_NORM: Name = name("blk.{}.ffn_norm", "layers.{}.pre_feedforward_layernorm");
pub(crate) const FEED_POST_NORM: Name = name("blk.{}.post_ffw_norm", "layers.{}.post_feedforward_layernorm");
/// On the sum of stream and attention (BERT and its kin).
pub(crate) const ENCODER_ATTENTION_NORM: Name = name("blk.{}.attn_output_norm", "layers.{}.post_attention_layernorm");
/// On the sum of stream and feed-forward block (BERT and its kin).
pub(crate) const ENCODER_FEED_NORM: Name = name("blk.{}.layer_output_norm", "layers.{}.post_mlp_layernorm");
pub(crate) const GATE: Name = name("blk.{}.ffn_gate", "layers.{}.mlp.gate_proj");
pub(crate) const UP: Name = name("blk.{}.ffn_up", "layers.{}.mlp.up_proj");
pub(crate) const DOWN: Name = name("blk.{}.ffn_down", "layers.{}.mlp.down_proj");
pub(crate) const ROPE_FACTORS: Name = name("rope_freqs", "");
pub(crate) const ROPE_LONG: Name = name("rope_factors_long", "");
pub(crate) const ROPE_SHORT: Name = name("rope_factors_short", "");

/// One way of storing a mixture of experts; `fused` is gate above up. Unlike a [`Name`] these carry their suffixes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExpertNames {
    pub router: Name,
    /// `[n_experts, 2 d_ff, d_model]`.
    pub fused: Name,
    /// Gate, up, down, each `[n_experts, outputs, inputs]`.
    pub stacked: [Name; 3],
    /// Gate, up, down of one expert.
    pub each: [Name; 3],
}

/// GGUF and Qwen 3; transformers 5 names Mixtral's experts so too while they are in memory.
pub(crate) const EXPERTS: ExpertNames = ExpertNames {
    router: name("blk.{}.ffn_gate_inp", "layers.{}.mlp.gate"),
    fused: name("blk.{}.ffn_gate_up_exps.weight", "layers.{}.mlp.experts.gate_up_proj"),
    stacked: [
        name("blk.{}.ffn_gate_exps.weight", "layers.{}.mlp.experts.gate_proj"),
        name("blk.{}.ffn_up_exps.weight", "layers.{}.mlp.experts.up_proj"),
        name("blk.{}.ffn_down_exps.weight", "layers.{}.mlp.experts.down_proj"),
    ],
    each: [
        name("blk.{}.ffn_gate.{e}.weight", "layers.{}.mlp.experts.{e}.gate_proj.weight"),
        name("blk.{}.ffn_up.{e}.weight", "layers.{}.mlp.experts.{e}.up_proj.weight"),
        name("blk.{}.ffn_down.{e}.weight", "layers.{}.mlp.experts.{e}.down_proj.weight"),
    ],
};
