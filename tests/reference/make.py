"""Makes tests/fixtures/models: for each model family a tiny random model and the logits that transformers computes for it.

    [PYTHONPATH=LLAMA_CPP:LLAMA_CPP/gguf-py] python tests/reference/make.py [--gguf] [NAME ...]

Each model is a Hugging Face folder (config.json, model.safetensors in bf16 or f16) with `expected.safetensors` beside them:
`tokens` [300], `positions` (every twentieth and the last) and `logits` [positions, vocab] of one pass in float64 (what transformers
keeps in float32 by itself, norms and angles, stays so). With `--gguf` some are converted by llama.cpp's own code, which must be on
the path then (the folder that holds `conversion/`), so that names, permutations and keys are those of its converter.

Weights are far larger than a real initialisation, so that logits depend on all of the arithmetic, and positions on rotations; sizes
are odd on purpose. Needs torch, transformers (5.x), safetensors, gguf. The files in the repository were made with 2.15, 5.24, 0.19.
"""

import argparse
import importlib
import json
import math
import shutil
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "models"
POSITIONS = 300

# Sizes of all models unless they say otherwise. Grouped heads; the heads' width times their number is not the width.
SIZES = dict(
    vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    head_dim=8, max_position_embeddings=512, rms_norm_eps=1e-5, bos_token_id=None, eos_token_id=None, pad_token_id=None,
)  # fmt: skip
# Models that exist for their rotation: one layer, few and wider heads.
ROPE = dict(num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, head_dim=16)
STRETCH = dict(factor=4.0, original_max_position_embeddings=64, rope_theta=10000.0)
LONG = dict(
    rope_type="longrope", original_max_position_embeddings=64, short_factor=[1.0, 1.1, 1.3, 1.7, 2.0, 2.4],
    long_factor=[1.0, 1.5, 3.0, 5.0, 9.0, 14.0], rope_theta=10000.0, partial_rotary_factor=0.75,
)  # fmt: skip

# Name: class, what differs from SIZES, type of the weights.
MODELS = {
    "llama": ("Llama", dict(rope_parameters=dict(rope_type="default", rope_theta=500.0)), torch.float16),
    "llama-biases": ("Llama", dict(ROPE, attention_bias=True, mlp_bias=True, hidden_act="gelu", tie_word_embeddings=True), torch.float16),
    "llama-llama3": ("Llama", dict(ROPE, rope_parameters=dict(
        STRETCH, rope_type="llama3", low_freq_factor=1.0, high_freq_factor=4.0)), torch.float16),
    "llama-linear": ("Llama", dict(ROPE, rope_parameters=dict(rope_type="linear", factor=3.0, rope_theta=900.0)), torch.bfloat16),
    "llama-dynamic": ("Llama", dict(ROPE, max_position_embeddings=100, rope_parameters=dict(
        rope_type="dynamic", factor=2.5, rope_theta=900.0)), torch.bfloat16),
    "mistral": ("Mistral", dict(sliding_window=37), torch.bfloat16),
    "smollm3": ("SmolLM3", dict(num_hidden_layers=4, no_rope_layers=[1, 1, 1, 0], head_dim=4, intermediate_size=12), torch.float16),
    "qwen2": ("Qwen2", dict(num_hidden_layers=3, head_dim=4, use_sliding_window=True, sliding_window=29, max_window_layers=1),
        torch.bfloat16),
    "qwen2-yarn": ("Qwen2", dict(ROPE, num_attention_heads=1, tie_word_embeddings=True, rope_parameters=dict(
        STRETCH, rope_type="yarn")), torch.float16),
    "qwen3": ("Qwen3", dict(num_attention_heads=6, tie_word_embeddings=True), torch.float16),
    "qwen3-yarn": ("Qwen3", dict(ROPE, tie_word_embeddings=True, rope_parameters=dict(
        STRETCH, rope_type="yarn", beta_fast=16.0, beta_slow=1.5, truncate=False, mscale=0.7, mscale_all_dim=1.2)), torch.bfloat16),
    "gemma": ("Gemma", dict(num_key_value_heads=1), torch.bfloat16),
    "gemma2": ("Gemma2", dict(sliding_window=41, query_pre_attn_scalar=13, attn_logit_softcapping=5.0, final_logit_softcapping=4.0,
        vocab_size=37), torch.bfloat16),
    "gemma3": ("Gemma3Text", dict(num_hidden_layers=3, intermediate_size=20, sliding_window=31, query_pre_attn_scalar=8, rope_parameters=dict(
        full_attention=dict(rope_type="linear", factor=8.0, rope_theta=7000.0),
        sliding_attention=dict(rope_type="default", rope_theta=300.0)),
        layer_types=["sliding_attention", "full_attention", "sliding_attention"]), torch.float16),
    "gemma3-caps": ("Gemma3Text", dict(ROPE, intermediate_size=12, query_pre_attn_scalar=8, attn_logit_softcapping=1.0,
        final_logit_softcapping=4.0), torch.float16),
    "phi3": ("Phi3", dict(sliding_window=53, head_dim=None), torch.bfloat16),
    "phi3-longrope": ("Phi3", dict(ROPE, hidden_size=32, head_dim=None, original_max_position_embeddings=64, rope_parameters=LONG),
        torch.float16),
    "olmo2": ("Olmo2", dict(num_key_value_heads=4, num_attention_heads=4, head_dim=None, tie_word_embeddings=False), torch.float16),
    "olmo3": ("Olmo3", dict(num_hidden_layers=3, head_dim=None, sliding_window=23, rope_parameters=dict(
        full_attention=dict(STRETCH, rope_type="yarn"), sliding_attention=dict(rope_type="default", rope_theta=10000.0)),
        layer_types=["sliding_attention", "sliding_attention", "full_attention"]), torch.bfloat16),
    "granite": ("Granite", dict(head_dim=None, embedding_multiplier=3.0, attention_multiplier=0.4, residual_multiplier=0.6,
        logits_scaling=2.5), torch.float16),
    "mixtral": ("Mixtral", dict(num_local_experts=4, num_experts_per_tok=2, intermediate_size=12, sliding_window=None), torch.float16),
    "qwen3moe": ("Qwen3Moe", dict(num_experts=5, num_experts_per_tok=3, moe_intermediate_size=8, norm_topk_prob=False,
        mlp_only_layers=[0]), torch.bfloat16),
}  # fmt: skip

# Families whose classes have other names for the sizes, or none: they state all of theirs.
BARE = dict(vocab_size=40, bos_token_id=None, eos_token_id=None, pad_token_id=None)
OWN_SIZES = {
    "gpt2": ("GPT2", dict(n_embd=16, n_layer=2, n_head=4, n_positions=304), torch.float16),
    "gpt2-scaled": ("GPT2", dict(n_embd=16, n_layer=2, n_head=2, n_positions=300, n_inner=24, activation_function="gelu",
        layer_norm_epsilon=1e-4, scale_attn_by_inverse_layer_idx=True, tie_word_embeddings=False), torch.bfloat16),
    "opt": ("OPT", dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, ffn_dim=24, max_position_embeddings=304), torch.float16),
    "opt-narrow": ("OPT", dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=24, max_position_embeddings=300,
        do_layer_norm_before=False, word_embed_proj_dim=8, activation_function="gelu"), torch.bfloat16),
    "opt-plain": ("OPT", dict(hidden_size=12, num_hidden_layers=1, num_attention_heads=3, ffn_dim=16, max_position_embeddings=300,
        layer_norm_elementwise_affine=False, enable_bias=False), torch.float16),
    "xglm": ("XGLM", dict(d_model=16, num_layers=2, attention_heads=4, ffn_dim=24, max_position_embeddings=512), torch.float16),
    "gptj": ("GPTJ", dict(n_embd=32, n_layer=2, n_head=4, n_positions=304, rotary_dim=6, n_inner=24), torch.float16),
    "gptneox": ("GPTNeoX", dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
        max_position_embeddings=512, rotary_pct=0.5), torch.float16),
    "gptneox-sequential": ("GPTNeoX", dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
        max_position_embeddings=512, use_parallel_residual=False, hidden_act="gelu_new", layer_norm_eps=1e-4, rope_parameters=dict(
        rope_type="linear", factor=3.0, rope_theta=500.0, partial_rotary_factor=0.75)), torch.bfloat16),
    "phi2": ("Phi", dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=512),
        torch.float16),
    "phi2-norms": ("Phi", dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=20,
        max_position_embeddings=512, qk_layernorm=True, rope_parameters=dict(
        rope_type="default", rope_theta=800.0, partial_rotary_factor=0.75)), torch.bfloat16),
    "stablelm": ("StableLm", dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=24,
        max_position_embeddings=512, use_qkv_bias=True, partial_rotary_factor=0.5), torch.float16),
    "stablelm-parallel": ("StableLm", dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=20, max_position_embeddings=512, use_parallel_residual=True, qk_layernorm=True), torch.float16),
    "starcoder2": ("Starcoder2", dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=24, max_position_embeddings=512, rope_parameters=dict(rope_type="default", rope_theta=700.0)), torch.float16),
    "starcoder2-window": ("Starcoder2", dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1,
        intermediate_size=24, max_position_embeddings=512, sliding_window=29, use_bias=False, norm_epsilon=1e-4,
        tie_word_embeddings=False), torch.bfloat16),
    "cohere": ("Cohere", dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=20,
        max_position_embeddings=512, use_qk_norm=True, logit_scale=0.3), torch.float16),
    "cohere2": ("Cohere2", dict(hidden_size=16, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, intermediate_size=20,
        max_position_embeddings=512, sliding_window=23, logit_scale=0.4), torch.float16),
    "falcon": ("Falcon", dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, num_kv_heads=1, max_position_embeddings=2048),
        torch.float16),
    "falcon-grouped": ("Falcon", dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, num_kv_heads=2,
        new_decoder_architecture=True, max_position_embeddings=2048), torch.float16),
    "falcon-alibi": ("Falcon", dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=6, ffn_hidden_size=20, alibi=True,
        multi_query=False, parallel_attn=False, bias=True, activation="gelu_new"), torch.bfloat16),
    "mpt": ("Mpt", dict(d_model=24, n_layers=2, n_heads=6, max_seq_len=512, attn_config=dict(clip_qkv=1.5)), torch.float16),
    "mpt-steep": ("Mpt", dict(d_model=20, n_layers=1, n_heads=5, max_seq_len=512, layer_norm_epsilon=1e-4, tie_word_embeddings=False,
        attn_config=dict(softmax_scale=0.7, alibi_bias_max=3)), torch.bfloat16),
    "xlnet-causal": ("XLNet", dict(d_model=24, n_layer=2, n_head=3, d_inner=20, attn_type="uni", pad_token_id=0), torch.float16),
    "bloom": ("Bloom", dict(hidden_size=24, n_layer=2, n_head=6), torch.float16),
}  # fmt: skip

# Keys that published files have, and llama.cpp's converter needs, but transformers no longer writes.
PUBLISHED = {"gpt2": dict(n_ctx=304), "gptneox": dict(rotary_pct=0.5), "cohere2": dict(rotary_pct=1.0)}

# Converted to GGUF too; the logits are those of the folder, since conversion keeps all bits of f16.
GGUF = ["llama", "llama-llama3", "smollm3", "qwen2-yarn", "qwen3", "gemma3", "phi3-longrope", "olmo2", "granite", "mixtral", "gpt2",
    "gptneox", "phi2", "stablelm", "stablelm-parallel", "starcoder2", "cohere", "cohere2", "falcon", "falcon-grouped", "mpt",
    "bloom"]  # fmt: skip


def randomise(model, generator):
    """Fills a model with large random weights: matrices by their inputs, norms around their neutral value."""
    offset = 0.0 if "Gemma" in type(model).__name__ else 1.0
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        if name.endswith("bias"):
            value = 0.4 * noise
        elif "norm" in name or weight.dim() == 1:
            value = offset + 0.3 * noise
        elif any(part in name for part in ("embed_", "embeddings", "wte", "wpe")) and "embed_out" not in name:
            value = noise / (math.sqrt(weight.shape[-1]) if "Gemma" in type(model).__name__ else 1.0)
        else:
            gain = 2.0 if any(part in name for part in ("q_proj", "k_proj", "qkv", "c_attn", "query_key", "lm_head", "embed_out")) else 1.3
            inputs = weight.shape[0] if "GPT2" in type(model).__name__ and "lm_head" not in name else weight.shape[-1]
            value = gain * noise / math.sqrt(inputs)
        weight.data.copy_(value)


def tokens_for(vocab_size):
    return torch.tensor(np.random.default_rng(7).integers(0, vocab_size, POSITIONS), dtype=torch.int32)


def logits_of(model, tokens):
    """Logits of every twentieth position and the last, and how close any row came to choosing other experts."""
    margins = []

    def watch(module, inputs, outputs):
        ranked = outputs[0].sort(dim=-1, descending=True).values
        margins.append((ranked[:, module.top_k - 1] - ranked[:, module.top_k]).min().item())

    for module in model.modules():
        if type(module).__name__.endswith("TopKRouter"):
            module.register_forward_hook(watch)
    # XGLM makes a tensor of the least float64 without saying of which type.
    torch.set_default_dtype(torch.float64 if "XGLM" in type(model).__name__ else torch.float32)
    with torch.no_grad():
        logits = model.double().eval()(tokens[None].long(), use_cache=False).logits[0]
    torch.set_default_dtype(torch.float32)
    positions = torch.tensor([*range(0, POSITIONS, 20), POSITIONS - 1], dtype=torch.int32)
    return positions, logits[positions.long()].float().contiguous(), min(margins, default=1.0)


def mend(model):
    """Where transformers computes something else than the models' authors did, puts theirs in its place."""
    kind = type(model).__name__
    if kind.startswith("Falcon"):
        # It rounds ALiBi's products of slope and position to bf16.
        falcon = importlib.import_module("transformers.models.falcon.modeling_falcon")
        falcon.build_alibi_tensor = importlib.import_module("transformers.models.bloom.modeling_bloom").build_alibi_tensor
    if kind.startswith("Mpt"):
        # It leaves the configuration's slopes out.
        mpt = importlib.import_module("transformers.models.mpt.modeling_mpt")
        steepest = model.config.attn_config.alibi_bias_max
        model.transformer.build_mpt_alibi_tensor = lambda heads, length, device=None: mpt.build_mpt_alibi_tensor(
            heads, length, steepest, device
        )
    return model


def save_expected(path, model, tokens):
    positions, logits, margin = logits_of(model, tokens)
    assert logits.isfinite().all() and logits.std() > 0.3, f"{path}: logits spread by {logits.std()}"
    save_file({"tokens": tokens, "positions": positions, "logits": logits}, path)
    path.chmod(0o644)
    return margin


def make(name):
    kind, changes, dtype = {**MODELS, **OWN_SIZES}[name]
    common = BARE if name in OWN_SIZES else SIZES
    sizes = {key: value for key, value in {**common, **changes}.items() if key != "head_dim" or value is not None}
    config = getattr(transformers, f"{kind}Config")(**sizes, attn_implementation="eager")
    model_class = getattr(transformers, f"{kind.removesuffix('Text')}{'LMHeadModel' if kind in ('GPT2', 'XLNet') else 'ForCausalLM'}")
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    # Another seed where a row hardly prefers its experts: rounding would choose others.
    for seed in range(100):
        model = model_class(config).double()
        randomise(model, torch.Generator().manual_seed(seed))
        model.to(dtype).save_pretrained(folder)
        # Falcon's eager attention adds ALiBi twice.
        attention = "sdpa" if getattr(config, "alibi", False) else "eager"
        exact = model_class.from_pretrained(folder, dtype=torch.float64, attn_implementation=attention, experts_implementation="eager")
        if save_expected(folder / "expected.safetensors", mend(exact), tokens_for(config.vocab_size)) > 2e-3:
            break
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    settings = json.loads((folder / "config.json").read_text())
    assert settings["dtype"] == str(dtype).removeprefix("torch."), settings["dtype"]
    print(f"{name}: {sum(file.stat().st_size for file in folder.iterdir())} bytes, seed {seed}")


def convert(name):
    """GGUF by llama.cpp's converter, without a vocabulary."""
    conversion = importlib.import_module("conversion")
    config = json.loads((OUT / name / "config.json").read_text())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        shutil.copytree(OUT / name, folder)
        (folder / "expected.safetensors").unlink()
        # Gemma's converter adds 1 to the norms' weights in the file's own type: in f16 that would round them.
        weights = load_file(folder / "model.safetensors")
        # StableLM's converter means to stack the heads' norms, and loses them.
        for stem in sorted({key.partition(".norms.")[0] for key in weights if ".norms." in key}):
            heads = [weights.pop(f"{stem}.norms.{head}.weight") for head in range(sum(key.startswith(f"{stem}.norms.") for key in weights))]
            weights[f"{stem}.weight"] = torch.stack(heads)
        save_file({key: value.float() for key, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})
        # Gemma 3's converter counts the tokens here.
        vocabulary = {f"t{i}": i for i in range(config["vocab_size"])}
        (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}, "added_tokens": []}))
        model_class = conversion.get_model_class(config["architectures"][0].replace("Mpt", "MPT"))

        def no_vocabulary(self):
            self.gguf_writer.add_tokenizer_model("none")
            if config["model_type"] not in ("llama", "smollm3", "granite", "mixtral", "cohere", "cohere2"):
                self.gguf_writer.add_vocab_size(config["vocab_size"])
            # The converter writes Gemma 3's own pattern, six layers long, by leaving it out.
            if config["model_type"] == "gemma3_text":
                self.gguf_writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config["layer_types"]])

        model_class.set_vocab = no_vocabulary
        target = OUT / f"{name}.gguf"
        with torch.inference_mode():
            model = model_class(folder, gguf.LlamaFileType.MOSTLY_F16, target, model_name=f"kinglet test {name}")
            model.hparams |= PUBLISHED.get(name, {})
            model.write()
    print(f"{target.name}: {target.stat().st_size} bytes")


# Where the f16 scales of a block type lie: that of the values, and that of what is added or subtracted.
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0], "Q4_K": [0, 2], "Q6_K": [208]}


def random_blocks(kind, shape, rng, spread):
    """Random blocks whose values have the given standard deviation and no mean; the blocks' bytes, and the values."""
    kind = gguf.GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (math.prod(shape) // block, size), dtype=np.uint8)

    def values(*scales):
        for at, scale in zip(SCALES[kind.name], scales):
            blocks[:, at : at + 2] = np.array([scale], np.float16).view(np.uint8)
        return gguf.dequantize(blocks.reshape(shape[0], -1), kind)

    if len(SCALES[kind.name]) == 1:
        scales = [spread / values(1.0).std()]
    else:
        steps, minima = values(1.0, 0.0), values(0.0, 1.0)
        ratio = -steps.mean() / minima.mean()
        unit = spread / (steps + ratio * minima).std()
        scales = [unit, ratio * unit]
    exact = values(*scales)
    return blocks.reshape(shape[0], -1), exact


def quantised():
    """llama-quantised.gguf: each matrix in another block type, and the logits of the values that the gguf package reads there."""
    rng = np.random.default_rng(3)
    config = transformers.LlamaConfig(**{**SIZES, "hidden_size": 32, "head_dim": 16, "intermediate_size": 256}, attn_implementation="eager")
    config.num_hidden_layers = 2
    model = transformers.LlamaForCausalLM(config).double()
    randomise(model, torch.Generator().manual_seed(1))
    weights = {name: weight.data for name, weight in model.named_parameters()}
    narrow = iter(["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL"] * 4)
    wide = iter(["Q4_K", "Q6_K"])
    path = OUT / "llama-quantised.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("kinglet test llama-quantised")
    writer.add_context_length(512)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(256)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_key_length(16)
    writer.add_value_length(16)
    writer.add_rope_dimension_count(16)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("none")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    for name, weight in weights.items():
        target = names.get_name(name, try_suffixes=(".weight",))
        if weight.dim() == 1:
            writer.add_tensor(target, weight.float().numpy())
            continue
        kind = next(wide) if "down_proj" in name else "F16" if "embed" in name else next(narrow)
        if kind == "F16":
            raw = weight.half()
            weight.copy_(raw)
            writer.add_tensor(target, raw.numpy())
            continue
        raw, exact = random_blocks(kind, tuple(weight.shape), rng, weight.std().item())
        exact = torch.from_numpy(exact.astype(np.float64))
        # The file's rows of q and k stand in pairs; the model's in halves.
        heads = {"q_proj": 4, "k_proj": 2}.get(name.split(".")[-2])
        if heads:
            exact = exact.reshape(heads, 8, 2, 32).swapaxes(1, 2).reshape(exact.shape)
        weight.copy_(exact)
        writer.add_tensor(target, raw, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_expected(OUT / "llama-quantised.expected.safetensors", model, tokens_for(config.vocab_size))
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gguf", action="store_true", help="convert as well")
    parser.add_argument("names", nargs="*", default=[*MODELS, *OWN_SIZES, "llama-quantised"])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for name in chosen.names:
        if name == "llama-quantised":
            quantised()
            continue
        make(name)
        if chosen.gguf and name in GGUF:
            convert(name)
