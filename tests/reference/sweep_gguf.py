"""What sweep.py's `--gguf` needs: which of a family's options a GGUF file can state, and the file as llama.cpp's converter writes it.

A converter passes over what its architecture has no key for, and llama.cpp then computes the family's usual thing. Such options are set
to that here, so that transformers computes the same from the folder."""

import importlib
import json
import logging

import gguf
import numpy as np
import torch
from safetensors.torch import load_file, save_file

# The keys of each kind of rotation that converters write.
ROTATIONS = dict(default=set(), linear={"factor"}, longrope={"short_factor", "long_factor"},
    yarn={"factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow"},
    llama3={"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"})  # fmt: skip
STRETCHED = ("linear", "yarn")
LLAMAS = (*STRETCHED, "llama3")
FILE_TYPES = {torch.float32: "ALL_F32", torch.float16: "MOSTLY_F16", torch.bfloat16: "MOSTLY_BF16"}
# Classes that no converter knows by this name.
UNKNOWN = {"RobertaForMaskedLM", "NomicBertForMaskedLM", "ModernBertForMaskedLM", "MT5EncoderModel", "UMT5EncoderModel"}
RENAMED = {"MptForCausalLM": "MPTForCausalLM"}


def without(options, *keys):
    return {key: value for key, value in options.items() if key not in keys}


def turned(options, *kinds, base=None):
    """The rotation, if it is of one of `kinds`; `base` where the converter writes none."""
    said = options.get("rope_parameters")
    if not said:
        return {}
    kind = said["rope_type"] if said["rope_type"] in kinds else "default"
    kept = {key: said[key] for key in {*ROTATIONS[kind], "rope_theta", "partial_rotary_factor"} if key in said}
    if "original_max_position_embeddings" in ROTATIONS[kind]:
        kept.setdefault("original_max_position_embeddings", 64)
    return dict(rope_parameters=kept | dict(rope_type=kind) | ({} if base is None else dict(rope_theta=base)))


def turned_twice(options, sliding_base=None):
    """As `turned`, for both kinds of layer: those with a window have a base only, by default that of the others."""
    said = options.get("rope_parameters")
    if not said:
        return {}
    full = turned(dict(rope_parameters=said["full_attention"]), *STRETCHED)["rope_parameters"]
    sliding = dict(rope_type="default", rope_theta=sliding_base or full["rope_theta"])
    return dict(rope_parameters=dict(full_attention=full, sliding_attention=sliding))


def gated(kinds, **fixed):
    """Llama's kind of model, without windows."""
    fixed = dict(hidden_act="silu") | fixed
    return lambda d, o: without(o, "layer_types") | ({"use_sliding_window": False} if "use_sliding_window" in o else {}) | turned(
        o, *kinds) | fixed  # fmt: skip


def smollm3(d, o):
    return without(gated(LLAMAS)(d, o), "no_rope_layers", "no_rope_layer_interval")


def gemma(d, o):
    return o | turned(o, base=10000.0) | dict(hidden_act="gelu_pytorch_tanh", attention_bias=False, tie_word_embeddings=True)


def gemma2(d, o):
    capped = {key: o[key] or 7.0 for key in ("attn_logit_softcapping", "final_logit_softcapping")}
    fixed = dict(hidden_activation="gelu_pytorch_tanh", attention_bias=False, tie_word_embeddings=True)
    return without(o, "layer_types") | turned(o, base=10000.0) | capped | fixed | dict(query_pre_attn_scalar=o["head_dim"])


def gemma3(d, o):
    fixed = dict(hidden_activation="gelu_pytorch_tanh", attention_bias=False, attn_logit_softcapping=None)
    return without(o, "layer_types") | turned_twice(o, d.of(100.0, 10000.0)) | fixed | dict(query_pre_attn_scalar=o["head_dim"])


def phi2(d, o):
    fixed = dict(hidden_act="gelu_new", qk_layernorm=False, tie_word_embeddings=False, num_key_value_heads=None)
    return o | turned(o, base=10000.0) | fixed | dict(intermediate_size=4 * o["hidden_size"])


def olmo3(d, o):
    return without(o, "layer_types") | turned_twice(o) | dict(hidden_act="silu", tie_word_embeddings=False, attention_bias=False)


def stablelm(d, o):
    return o | turned(o, base=10000.0) | dict(hidden_act="silu", tie_word_embeddings=False)


def gpt2(d, o):
    return o | dict(activation_function="gelu_new", scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, n_inner=None,
        add_cross_attention=False)  # fmt: skip


def gptneox(d, o):
    return o | turned(o, base=10000.0) | dict(hidden_act="gelu", tie_word_embeddings=False, attention_bias=True)


def falcon(d, o):
    grouped = o["new_decoder_architecture"]
    o = o | turned(o, base=10000.0) | dict(alibi=False, parallel_attn=True, bias=False, activation="gelu", multi_query=not grouped)
    return o | dict(ffn_hidden_size=4 * o["hidden_size"], num_kv_heads=o["num_kv_heads"] if grouped else 1)


def mpt(d, o):
    attention = o["attn_config"] | dict(softmax_scale=None, qk_ln=False)
    return o | dict(attn_config=attention, no_bias=True, logit_scale=None, layer_norm_epsilon=1e-5, expansion_ratio=4)


def nomicbert(d, o):
    base = o["rope_parameters"]["rope_theta"]
    return o | dict(hidden_act="silu", max_position_embeddings=2048, rope_parameters=dict(rope_type="default", rope_theta=base))


def modernbert(d, o):
    fixed = dict(norm_bias=False, attention_bias=False, mlp_bias=False, hidden_activation=d.of("gelu", "silu"))
    return without(o, "layer_types", "rope_parameters") | fixed


def t5(d, o):
    # The first version ties its matrices and multiplies its logits; it is known by having no gate.
    layers = min(o["num_layers"], o["num_decoder_layers"] or o["num_layers"])
    feed = "relu" if o["tie_word_embeddings"] else "gated-gelu"
    return o | dict(feed_forward_proj=feed, relative_attention_max_distance=128, num_decoder_layers=layers)


def mt5(d, o):
    return t5(d, o | dict(tie_word_embeddings=False))


def bert(d, o):
    return o | dict(hidden_act="gelu", is_decoder=False)


# The options that each family's converter can say.
SAID = {
    "llama": gated(LLAMAS), "mistral": gated(LLAMAS, sliding_window=None), "mixtral": gated(LLAMAS, sliding_window=None),
    "smollm3": smollm3, "qwen2": gated(STRETCHED), "qwen3": gated(STRETCHED, attention_bias=False),
    "qwen3moe": gated(STRETCHED, attention_bias=False, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[]),
    "gemma": gemma, "gemma2": gemma2, "gemma3": gemma3, "phi2": phi2, "phi3": gated(["longrope"]),
    "olmo2": gated(STRETCHED, tie_word_embeddings=False, attention_bias=False), "olmo3": olmo3, "granite": gated(STRETCHED),
    "stablelm": stablelm, "starcoder2": gated(STRETCHED, hidden_act="gelu_pytorch_tanh", use_bias=True, sliding_window=None),
    "cohere": gated([], tie_word_embeddings=True), "cohere2": gated([], tie_word_embeddings=True, attention_bias=False),
    "gpt2": gpt2, "gptneox": gptneox, "falcon": falcon, "mpt": mpt,
    "bloom": lambda d, o: o | dict(apply_residual_connection_post_layernorm=False),
    "bert": bert, "roberta": bert, "xlmroberta": bert, "nomicbert": nomicbert, "modernbert": modernbert,
    "t5": t5, "mt5": mt5, "umt5": mt5,
}  # fmt: skip


def published(config):
    """Keys of published configurations that the converter needs and transformers does not write."""
    rope, get = config.get("rope_parameters") or {}, config.get
    match config["model_type"]:
        case "gpt2":
            return dict(n_ctx=config["n_positions"])
        case "gpt_neox":
            return dict(rotary_pct=rope.get("partial_rotary_factor", 0.25))
        case "cohere2":
            return dict(rotary_pct=1.0)
        case "modernbert":
            return dict(layer_norm_eps=config["norm_eps"], global_attn_every_n_layers=get("global_attn_every_n_layers", 3))
        case "nomic_bert":
            sizes = dict(n_embd="hidden_size", n_layer="num_hidden_layers", n_head="num_attention_heads", n_inner="intermediate_size",
                layer_norm_epsilon="layer_norm_eps")  # fmt: skip
            off = ("causal", "qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias", "prenorm", "rotary_emb_interleaved")
            return {key: config[name] for key, name in sizes.items()} | dict.fromkeys(off, False) | dict(n_positions=8192,
                rotary_emb_base=rope["rope_theta"], activation_function="swiglu", rotary_emb_fraction=1.0,
                rotary_emb_scale_base=None)  # fmt: skip
    return {}


def as_older(d, writer):
    """Leaves out keys that llama.cpp finds without, spells one as before, and lays q, k and v into one tensor; what it did."""
    keys, tensors, changes = writer.kv_data[0], writer.tensors[0], []
    arch = keys["general.architecture"].value
    value = lambda key: keys[f"{arch}.{key}"].value if f"{arch}.{key}" in keys else None  # noqa: E731
    heads, layers = value("attention.head_count"), value("block_count")
    d_head = value("embedding_length") // heads
    implied = {"attention.head_count_kv": heads, "attention.key_length": d_head, "attention.value_length": d_head,
        "rope.dimension_count": value("attention.key_length") or d_head, "rope.freq_base": 10000.0, "rope.scaling.type": "linear",
        "rope.scaling.factor": 1.0, "rope.scaling.original_context_length": value("context_length"), "decoder_block_count": layers,
        "rope.freq_base_swa": 10000.0 if arch in ("gemma3", "modern-bert") else value("rope.freq_base")}  # fmt: skip
    for key, meaning in implied.items():
        if meaning is not None and value(key) == meaning and d.flip(0.4):
            del keys[f"{arch}.{key}"]
            changes.append(f"-{key}")
    if value("rope.scaling.type") in (None, "linear") and value("rope.scaling.factor") and d.flip(0.4):
        keys[f"{arch}.rope.scale_linear"] = keys.pop(f"{arch}.rope.scaling.factor")
        keys.pop(f"{arch}.rope.scaling.type", None)
        changes.append("rope.scale_linear")
    if "blk.0.attn_q.weight" in tensors and d.flip(0.3):
        endings = ["weight", "bias"] if "blk.0.attn_q.bias" in tensors and d.flip() else ["weight"]
        for stem in [f"blk.{layer}.attn_" for layer in range(layers)]:
            for ending in endings:
                parts = [tensors.pop(f"{stem}{part}.{ending}") for part in "qkv"]
                whole = np.concatenate([gguf.LazyNumpyTensor.to_eager(part.tensor) for part in parts])
                shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])
                tensors[f"{stem}qkv.{ending}"] = gguf.gguf_writer.TensorInfo(shape, parts[0].dtype, whole.nbytes, whole)
        changes.append(f"fused {' and '.join(endings)}")
    return changes


def convert(d, folder, target, dtype):
    """Writes the folder's model, without a vocabulary, in `dtype`; how it was made older."""
    logging.disable(logging.WARNING)
    conversion = importlib.import_module("conversion")
    copy = folder / "converted"
    copy.mkdir()
    config = json.loads((folder / "config.json").read_text())
    config |= published(config)
    (copy / "config.json").write_text(json.dumps(config))
    weights = {}
    for file in sorted(folder.glob("*.safetensors")):
        # Gemma's converter adds 1 to the norms' weights in the file's own type: in f16 that would round them.
        weights |= {key: value.float() for key, value in load_file(file).items()}
    # StableLM's converter means to stack the heads' norms, and loses them.
    for stem in sorted({key.partition(".norms.")[0] for key in weights if ".norms." in key}):
        heads = sum(key.startswith(f"{stem}.norms.") for key in weights)
        weights[f"{stem}.weight"] = torch.stack([weights.pop(f"{stem}.norms.{head}.weight") for head in range(heads)])
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    # Some converters count its tokens or ask for its kind.
    vocabulary = {"type": "WordPiece", "vocab": {f"t{i}": i for i in range(config["vocab_size"])}}
    (copy / "tokenizer.json").write_text(json.dumps({"model": vocabulary, "added_tokens": []}))
    name = config["architectures"][0]
    with torch.inference_mode():
        model = conversion.get_model_class(RENAMED.get(name, name))(
            copy, gguf.LlamaFileType[FILE_TYPES[dtype]], target, model_name="kinglet sweep"
        )
        model.hparams |= published(config)
        model.hparams.setdefault("decoder_start_token_id", 0)
        writer = model.gguf_writer
        model.set_vocab = lambda: writer.add_tokenizer_model("none")
        model.prepare_tensors()
        model.prepare_metadata(vocab_only=False)
        changes = as_older(d, writer)
        writer.write_header_to_file(path=target)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file(progress=False)
        writer.close()
    return changes
