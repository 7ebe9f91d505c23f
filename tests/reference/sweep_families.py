"""The random configurations of sweep.py: for each family one function that draws the options of its configuration class."""

import random

NONE = dict(bos_token_id=None, eos_token_id=None)
ACTIVATIONS = ["silu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "gelu_fast", "quick_gelu", "relu2", "tanh", "swish", "gelu_python",
    "leaky_relu", "sigmoid", "mish", "gelu_10", "laplace"]  # fmt: skip
# The first few, mostly.
USUAL = 5


class Draw(random.Random):
    def of(self, *values):
        return self.choice(values)

    def flip(self, share=0.5):
        return self.random() < share

    def activation(self):
        return self.choice(ACTIVATIONS[:USUAL] if self.flip(0.85) else ACTIVATIONS)

    def heads(self, most=6):
        heads = self.randint(1, most)
        return heads, self.choice([n for n in range(1, heads + 1) if heads % n == 0])

    def scaling(self, turned, context, kinds=None):
        """A rotation's parameters; `turned` dimensions."""
        kind = self.choice(kinds or ["default", "default", "linear", "dynamic", "yarn", "llama3", "longrope"])
        out = dict(rope_type=kind, rope_theta=self.of(100.0, 500.0, 10000.0, 1e6))
        if kind == "default":
            return out
        out["factor"] = self.of(1.0, 1.5, 2.0, 4.0, 8.0)
        if kind == "dynamic" and turned < 4:
            return dict(out, rope_type="linear")
        if kind in ("yarn", "llama3", "longrope") and (kind == "llama3" or self.flip(0.8)):
            out["original_max_position_embeddings"] = self.of(32, 64, 100, 256)
        if kind == "yarn":
            for key, values in dict(beta_fast=[16.0, 32.0, 64], beta_slow=[1.0, 2], mscale=[0.7, 1.0], mscale_all_dim=[0.4, 1.0],
                attention_factor=[0.8, 1.3], truncate=[True, False]).items():  # fmt: skip
                if self.flip(0.35):
                    out[key] = self.choice(values)
        if kind == "llama3":
            out |= dict(low_freq_factor=self.of(1.0, 1.5), high_freq_factor=self.of(4.0, 8.0))
        if kind == "longrope":
            for name, most in (("short", 2), ("long", 9)):
                out[f"{name}_factor"] = [round(self.uniform(1, most), 2) for _ in range(turned // 2)]
            if self.flip(0.3):
                out["attention_factor"] = 1.2
            if self.flip(0.5):
                del out["factor"]
        return out

    def scalings(self, turned, *kinds):
        """One for each kind of layer. Transformers looks for `truncate` in the wrong place then."""
        both = {f"{name}_attention": self.scaling(turned, 0, ["default", *kinds]) for name in ("full", "sliding")}
        for scaling in both.values():
            scaling.pop("truncate", None)
        return both

    def partial(self, d_head):
        """A share of the head that turns, as its number of dimensions and as the share."""
        turned = self.choice([n for n in range(2, d_head + 1, 2)])
        return turned, turned / d_head

    def listed(self, layers, *kinds):
        return [self.choice(kinds) for _ in range(layers)]


def usual(d, free_head=True, eps="rms_norm_eps", act="hidden_act", kinds=None, partial=False):
    """Sizes of families that have Llama's keys."""
    heads, kv_heads = d.heads()
    d_head = d.of(4, 6, 8, 10, 16)
    # Transformers wants a multiple of the heads even where their width is stated.
    width = heads * d.of(2, 3, 5, 9) if free_head and d.flip(0.6) else heads * d_head
    context = d.of(64, 100, 300, 512, 2048)
    out = dict(NONE, vocab_size=d.randint(11, 60), hidden_size=width, intermediate_size=d.randint(3, 40), num_hidden_layers=d.randint(1, 3),
        num_attention_heads=heads, max_position_embeddings=context, tie_word_embeddings=d.flip(), pad_token_id=d.of(None, 0))  # fmt: skip
    out["num_key_value_heads"] = kv_heads if d.flip(0.9) else heads
    if width != heads * d_head or (free_head and d.flip(0.3)):
        out["head_dim"] = d_head
    out |= {eps: d.of(1e-5, 1e-6, 1e-3), act: d.activation()}
    turned, share = d.partial(d_head) if partial else (d_head, 1.0)
    out["rope_parameters"] = d.scaling(turned, context, kinds)
    if partial:
        out["rope_parameters"]["partial_rotary_factor"] = share
    return out


def sliding(d, out, *kinds):
    if d.flip(0.8):
        out["sliding_window"] = d.of(1, 2, 17, 64, 299, 4096)
    if d.flip(0.6):
        out["layer_types"] = d.listed(out["num_hidden_layers"], "full_attention", "sliding_attention")
    return out


def llama(d):
    return usual(d) | dict(attention_bias=d.flip(0.3), mlp_bias=d.flip(0.3))


def mistral(d):
    return usual(d) | dict(sliding_window=d.of(None, 1, 17, 64, 4096))


def mixtral(d):
    experts = d.randint(1, 6)
    return mistral(d) | dict(num_local_experts=experts, num_experts_per_tok=d.randint(1, experts))


def smollm3(d):
    out = usual(d) | dict(use_sliding_window=d.flip(0.3), attention_bias=d.flip(0.3), mlp_bias=d.flip(0.3))
    out["num_hidden_layers"] = d.randint(1, 5)
    out |= dict(no_rope_layers=d.listed(out["num_hidden_layers"], 0, 1)) if d.flip() else dict(no_rope_layer_interval=d.of(1, 2, 3, 4))
    if out["use_sliding_window"] or d.flip(0.2):
        sliding(d, out)
    return out


def qwen2(d):
    out = usual(d, free_head=False) | dict(use_sliding_window=d.flip(), max_window_layers=d.of(0, 1, 2, 28))
    return sliding(d, out) if out["use_sliding_window"] else out


def qwen3(d):
    out = usual(d) | dict(head_dim=d.of(4, 8, 10), attention_bias=d.flip(0.3), use_sliding_window=d.flip(),
        max_window_layers=d.of(0, 1, 2, 28))  # fmt: skip
    out["rope_parameters"] = d.scaling(8, 0, ["default", "linear", "dynamic", "yarn", "llama3"])
    return sliding(d, out) if out["use_sliding_window"] else out


def qwen3moe(d):
    experts, base = d.randint(1, 6), qwen3(d)
    base.pop("layer_types", None)
    return base | dict(num_experts=experts, num_experts_per_tok=d.randint(1, experts), moe_intermediate_size=d.randint(3, 12),
        norm_topk_prob=d.flip(), decoder_sparse_step=d.of(1, 1, 2, 3), mlp_only_layers=d.of([], [0], [1], [0, 7]))  # fmt: skip


def gemma(d):
    out = usual(d) | dict(head_dim=d.of(4, 8, 10), rope_parameters=d.scaling(4, 0, ["default", "linear", "dynamic", "yarn", "llama3"]))
    # kinglet takes `gelu` for the approximation here, as the first files mean it.
    return out | dict(attention_bias=d.flip(0.2), hidden_act=d.of("gelu_pytorch_tanh", "silu", "relu"))


def gemma2(d):
    out = sliding(d, usual(d, act="hidden_activation") | dict(head_dim=d.of(4, 8, 10), attention_bias=d.flip(0.2)))
    out["rope_parameters"] = d.scaling(4, 0, ["default", "linear", "dynamic", "yarn", "llama3"])
    return out | dict(query_pre_attn_scalar=d.of(3, 8, 256), attn_logit_softcapping=d.of(None, 1.5, 50.0),
        final_logit_softcapping=d.of(None, 2.0, 30.0), use_bidirectional_attention=d.of(None, None, False))  # fmt: skip


def gemma3(d):
    out = gemma2(d) | dict(num_hidden_layers=d.randint(1, 8))
    out.pop("layer_types", None)
    if d.flip():
        out["layer_types"] = d.listed(out["num_hidden_layers"], "full_attention", "sliding_attention")
    out["use_bidirectional_attention"] = False
    del out["rope_parameters"]
    if d.flip(0.7):
        out["rope_parameters"] = d.scalings(4, "linear", "dynamic", "yarn", "llama3")
    return out


def phi2(d):
    out = usual(d, free_head=False, eps="layer_norm_eps", partial=d.flip(0.8)) | dict(qk_layernorm=d.flip())
    return out


def phi3(d):
    out = mistral(d)
    out.pop("head_dim", None)
    heads = out["num_attention_heads"]
    d_head = d.of(4, 6, 8, 12)
    out["hidden_size"] = heads * d_head
    turned, share = d.partial(d_head)
    out["rope_parameters"] = d.scaling(turned, 0, ["default", "longrope", "longrope"]) | dict(partial_rotary_factor=share)
    if d.flip():
        out["original_max_position_embeddings"] = d.of(64, 256, 512)
    return out


def olmo2(d):
    return usual(d, free_head=False) | dict(attention_bias=d.flip(0.3))


def olmo3(d):
    rotations = d.scalings(4, "linear", "dynamic", "yarn", "llama3")
    return sliding(d, olmo2(d) | dict(num_hidden_layers=d.randint(1, 6), rope_parameters=rotations))


def granite(d):
    return usual(d, free_head=False) | dict(embedding_multiplier=d.of(1.0, 3.0, 0.5), attention_multiplier=d.of(1.0, 0.3, 0.05),
        residual_multiplier=d.of(1.0, 0.4), logits_scaling=d.of(1.0, 3.0, 0.5), attention_bias=d.flip(0.3),
        mlp_bias=d.flip(0.3))  # fmt: skip


def stablelm(d):
    return usual(d, free_head=False, eps="layer_norm_eps", partial=d.flip(0.8)) | dict(use_qkv_bias=d.flip(), qk_layernorm=d.flip(),
        use_parallel_residual=d.flip())  # fmt: skip


def starcoder2(d):
    return usual(d, free_head=False, eps="norm_epsilon") | dict(use_bias=d.flip(), sliding_window=d.of(None, 1, 17, 64, 4096))


def cohere(d):
    return usual(d, free_head=False, eps="layer_norm_eps") | dict(use_qk_norm=d.flip(), logit_scale=d.of(0.0625, 0.5, 1.0),
        attention_bias=d.flip(0.3))  # fmt: skip


def cohere2(d):
    out = sliding(d, cohere(d) | dict(num_hidden_layers=d.randint(1, 6)))
    del out["use_qk_norm"]
    return out


def bare(d, width, layers, heads_key, width_of_head=(4, 6, 8)):
    heads = d.randint(1, 6)
    return dict(NONE, vocab_size=d.randint(11, 60), tie_word_embeddings=d.flip(0.7)) | {
        width: heads * d.choice(width_of_head), layers: d.randint(1, 3), heads_key: heads}  # fmt: skip


def gpt2(d):
    return bare(d, "n_embd", "n_layer", "n_head", (3, 4, 5)) | dict(n_positions=d.of(300, 512), n_inner=d.of(None, 17, 32),
        activation_function=d.activation(), layer_norm_epsilon=d.of(1e-5, 1e-3), scale_attn_weights=d.flip(0.7),
        scale_attn_by_inverse_layer_idx=d.flip(0.3), reorder_and_upcast_attn=d.flip(0.2), add_cross_attention=d.flip(0.05))  # fmt: skip


def opt(d):
    out = bare(d, "hidden_size", "num_hidden_layers", "num_attention_heads", (3, 4, 5)) | dict(ffn_dim=d.randint(5, 40), pad_token_id=1,
        max_position_embeddings=d.of(300, 512), do_layer_norm_before=d.flip(0.7), activation_function=d.activation(),
        enable_bias=d.flip(), layer_norm_elementwise_affine=d.flip(0.7), _remove_final_layer_norm=d.flip(0.2))  # fmt: skip
    out["word_embed_proj_dim"] = out["hidden_size"] if d.flip() else d.of(5, 8)
    return out


def xglm(d):
    return bare(d, "d_model", "num_layers", "attention_heads") | dict(ffn_dim=d.randint(5, 40), max_position_embeddings=d.of(300, 512),
        activation_function=d.activation(), scale_embedding=d.flip(), pad_token_id=1)  # fmt: skip


def gptj(d):
    out = bare(d, "n_embd", "n_layer", "n_head") | dict(n_positions=d.of(300, 512), n_inner=d.of(None, 17),
        activation_function=d.activation(), layer_norm_epsilon=d.of(1e-5, 1e-3), rotary_dim=d.of(2, 4))  # fmt: skip
    return out


def gptneox(d):
    out = usual(d, free_head=False, eps="layer_norm_eps", partial=d.flip(0.8))
    del out["num_key_value_heads"]
    return out | dict(use_parallel_residual=d.flip(), attention_bias=d.flip())


def falcon(d):
    out = bare(d, "hidden_size", "num_hidden_layers", "num_attention_heads", (4, 6, 8))
    heads = out["num_attention_heads"]
    out |= dict(new_decoder_architecture=d.flip(0.4), multi_query=d.flip(), parallel_attn=d.flip(0.7), bias=d.flip(), alibi=d.flip(0.3),
        activation=d.activation(), layer_norm_epsilon=d.of(1e-5, 1e-3), max_position_embeddings=d.of(300, 2048),
        num_kv_heads=d.choice([n for n in range(1, heads + 1) if heads % n == 0]))  # fmt: skip
    if d.flip(0.4):
        out["ffn_hidden_size"] = d.randint(5, 40)
    if out["new_decoder_architecture"]:
        out["num_ln_in_parallel_attn"] = d.of(None, 1, 2)
    if not out["alibi"]:
        out["rope_parameters"] = d.scaling(4, 0, ["default", "linear", "dynamic", "yarn", "llama3"])
    return out


def mpt(d):
    attention = dict(clip_qkv=d.of(None, 1.5), softmax_scale=d.of(None, 0.7), alibi=True, alibi_bias_max=d.of(8, 8, 4), qk_ln=d.flip(0.05))
    return bare(d, "d_model", "n_layers", "n_heads") | dict(max_seq_len=d.of(300, 512), layer_norm_epsilon=d.of(1e-5, 1e-3),
        expansion_ratio=d.of(4, 4, 2, 3), no_bias=d.flip(0.9), attn_config=attention, logit_scale=d.of(None, None, 0.5))  # fmt: skip


def bloom(d):
    return bare(d, "hidden_size", "n_layer", "n_head") | dict(layer_norm_epsilon=d.of(1e-5, 1e-3), slow_but_exact=d.flip(0.2),
        apply_residual_connection_post_layernorm=d.flip(0.2))  # fmt: skip


def xlnet(d):
    out = bare(d, "d_model", "n_layer", "n_head") | dict(d_inner=d.randint(5, 40), ff_activation=d.activation(),
        clamp_len=d.of(-1, 50, 290), attn_type=d.of("bi", "uni"), same_length=d.flip(0.05), layer_norm_eps=d.of(1e-12, 1e-4),
        pad_token_id=0)  # fmt: skip
    return out


def bert(d):
    return bare(d, "hidden_size", "num_hidden_layers", "num_attention_heads", (3, 4, 8)) | dict(intermediate_size=d.randint(5, 40),
        hidden_act=d.activation(), max_position_embeddings=d.of(310, 512), type_vocab_size=d.of(1, 2, 3), layer_norm_eps=d.of(1e-12, 1e-4),
        pad_token_id=d.of(0, 1, 3), is_decoder=d.flip(0.03))  # fmt: skip


def nomicbert(d):
    out = bert(d) | dict(max_position_embeddings=d.of(300, 2048))
    heads = out["num_attention_heads"]
    out["hidden_size"] = heads * 8
    turned, share = d.partial(8)
    out["rope_parameters"] = d.scaling(turned, 0, ["default", "default", "linear", "dynamic"])
    if d.flip(0.3):
        out["rope_parameters"]["partial_rotary_factor"] = share
    del out["is_decoder"]
    return out


def modernbert(d):
    out = bert(d) | dict(hidden_activation=d.activation(), norm_eps=d.of(1e-5, 1e-3), norm_bias=d.flip(), attention_bias=d.flip(),
        mlp_bias=d.flip(), local_attention=d.of(2, 28, 43, 128), num_hidden_layers=d.randint(1, 6),
        cls_token_id=None, sep_token_id=None)  # fmt: skip
    for key in ("hidden_act", "type_vocab_size", "is_decoder", "layer_norm_eps"):
        del out[key]
    out["hidden_size"] = out["num_attention_heads"] * d.of(4, 8)
    if d.flip():
        out["layer_types"] = d.listed(out["num_hidden_layers"], "full_attention", "sliding_attention")
    elif d.flip():
        out["global_attn_every_n_layers"] = d.of(1, 2, 4)
    if d.flip(0.7):
        out["rope_parameters"] = d.scalings(4, "linear", "dynamic", "yarn")
    return out


def deberta(d):
    out = bert(d) | dict(relative_attention=d.flip(0.9), position_buckets=d.of(-1, 16, 33, 64), max_relative_positions=d.of(-1, 100, 350),
        position_biased_input=d.flip(), norm_rel_ebd=d.of("none", "layer_norm"), share_att_key=d.flip(), conv_kernel_size=d.of(0, 0, 3, 5),
        conv_act=d.of("tanh", "gelu"), pos_att_type=d.of(["p2c", "c2p"], ["c2p"], ["p2c"], []))  # fmt: skip
    del out["is_decoder"]
    if not out["conv_kernel_size"]:
        del out["conv_kernel_size"]
    return out


def t5(d):
    heads = d.randint(1, 5)
    return dict(vocab_size=d.randint(11, 50), d_model=d.of(8, 12, 20), d_kv=d.of(3, 4, 8), d_ff=d.randint(5, 40),
        num_layers=d.randint(1, 3), num_decoder_layers=d.of(None, 1, 2, 3), num_heads=heads,
        relative_attention_num_buckets=d.of(8, 9, 10, 32), relative_attention_max_distance=d.of(40, 70, 128),
        layer_norm_epsilon=d.of(1e-6, 1e-4), tie_word_embeddings=d.flip(),
        feed_forward_proj=d.of("relu", "gelu", "gated-gelu", "gated-silu", "silu", "gated-relu", "gelu_new"),
        pad_token_id=0, eos_token_id=1, decoder_start_token_id=d.of(0, 3))  # fmt: skip


# kinglet's family by options: configuration class and, where it is not `…ForCausalLM`, the model classes.
FAMILIES = {
    "llama": ("Llama", llama), "mistral": ("Mistral", mistral), "mixtral": ("Mixtral", mixtral), "smollm3": ("SmolLM3", smollm3),
    "qwen2": ("Qwen2", qwen2), "qwen3": ("Qwen3", qwen3), "qwen3moe": ("Qwen3Moe", qwen3moe), "gemma": ("Gemma", gemma),
    "gemma2": ("Gemma2", gemma2), "gemma3": ("Gemma3Text", gemma3, "Gemma3ForCausalLM"), "phi2": ("Phi", phi2), "phi3": ("Phi3", phi3),
    "olmo2": ("Olmo2", olmo2), "olmo3": ("Olmo3", olmo3), "granite": ("Granite", granite), "stablelm": ("StableLm", stablelm),
    "starcoder2": ("Starcoder2", starcoder2), "cohere": ("Cohere", cohere), "cohere2": ("Cohere2", cohere2),
    "gpt2": ("GPT2", gpt2, "GPT2LMHeadModel"), "opt": ("OPT", opt), "xglm": ("XGLM", xglm), "gptj": ("GPTJ", gptj),
    "gptneox": ("GPTNeoX", gptneox), "falcon": ("Falcon", falcon), "mpt": ("Mpt", mpt), "bloom": ("Bloom", bloom),
    "xlnet": ("XLNet", xlnet, "XLNetModel", "XLNetLMHeadModel"), "bert": ("Bert", bert, "BertModel", "BertForMaskedLM"),
    "roberta": ("Roberta", bert, "RobertaModel", "RobertaForMaskedLM"), "xlmroberta": ("XLMRoberta", bert, "XLMRobertaModel"),
    "camembert": ("Camembert", bert, "CamembertModel", "CamembertForMaskedLM"),
    "nomicbert": ("NomicBert", nomicbert, "NomicBertModel", "NomicBertForMaskedLM"),
    "modernbert": ("ModernBert", modernbert, "ModernBertModel", "ModernBertForMaskedLM"),
    "deberta": ("DebertaV2", deberta, "DebertaV2Model", "DebertaV2ForMaskedLM"),
    "t5": ("T5", t5, "T5ForConditionalGeneration", "T5EncoderModel"), "mt5": ("MT5", t5, "MT5ForConditionalGeneration", "MT5EncoderModel"),
    "umt5": ("UMT5", t5, "UMT5ForConditionalGeneration", "UMT5EncoderModel"),
}  # fmt: skip
