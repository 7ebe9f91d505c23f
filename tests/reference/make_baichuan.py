"""Makes tests/fixtures/models/baichuan, baichuan-alibi and a GGUF file of each.

    python tests/reference/make_baichuan.py

transformers has no class for Baichuan, whose code comes with its models. It is Llama with q, k and v in one tensor; in the models of 40
layers ALiBi stands in the place of the rotation. So transformers' Llama computes the logits: with the rotation as it is, or without
any and with ALiBi's biases, those of transformers' Bloom, in the mask. The GGUF files are what llama.cpp's converter makes of
such a folder: the tensor cut in three, and the rows of q and k reordered. Needs what make.py needs.
"""

import json
import shutil

import gguf
import torch
import transformers
from make import OUT, POSITIONS, randomise, save_expected, tokens_for
from safetensors.torch import load_file, save_file
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.llama import modeling_llama

SIZES = dict(vocab_size=40, intermediate_size=16, rms_norm_eps=1e-5, bos_token_id=None, eos_token_id=None, pad_token_id=None)
MODELS = {
    "baichuan": dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=512),
    "baichuan-alibi": dict(hidden_size=12, num_hidden_layers=40, num_attention_heads=6, max_position_embeddings=512),
}
plain_rotation = modeling_llama.apply_rotary_pos_emb


class WithAlibi(torch.nn.Module):
    """Llama whose mask holds ALiBi's biases, and whose rotation does nothing."""

    def __init__(self, llama):
        super().__init__()
        self.llama = llama

    def forward(self, tokens, use_cache):
        heads = self.llama.config.num_attention_heads
        bias = build_alibi_tensor(torch.ones(1, POSITIONS), heads, torch.float64).view(1, heads, 1, POSITIONS)
        mask = torch.full((POSITIONS, POSITIONS), -torch.inf, dtype=torch.float64).triu(1)
        modeling_llama.apply_rotary_pos_emb = lambda q, k, *_: (q, k)
        try:
            return self.llama(tokens, attention_mask=bias + mask, use_cache=use_cache)
        finally:
            modeling_llama.apply_rotary_pos_emb = plain_rotation


def packed(weights, n_layers):
    for layer in range(n_layers):
        stem = f"model.layers.{layer}.self_attn."
        weights[f"{stem}W_pack.weight"] = torch.cat([weights.pop(f"{stem}{part}_proj.weight") for part in "qkv"])
    return weights


def make(name):
    alibi = name.endswith("alibi")
    config = transformers.LlamaConfig(**SIZES, **MODELS[name], attn_implementation="eager")
    model = transformers.LlamaForCausalLM(config).double()
    randomise(model, torch.Generator().manual_seed(1))
    if alibi:
        # Forty layers add up: each is let in by less.
        for key, weight in model.named_parameters():
            if "o_proj" in key or "down_proj" in key:
                weight.data *= 0.3
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model.to(torch.float16).save_pretrained(folder)
    exact = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager")
    save_expected(folder / "expected.safetensors", WithAlibi(exact) if alibi else exact, tokens_for(config.vocab_size))
    save_file(packed(load_file(folder / "model.safetensors"), config.num_hidden_layers), folder / "model.safetensors", {"format": "pt"})
    (folder / "generation_config.json").unlink(missing_ok=True)
    # What the configurations of published models say.
    keys = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "rms_norm_eps", "hidden_act")
    settings = {key: getattr(config, key) for key in keys}
    length = "model_max_length" if alibi else "max_position_embeddings"
    settings |= {"architectures": ["BaichuanForCausalLM"], "model_type": "baichuan", length: 512, "tie_word_embeddings": False}
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (folder / "model.safetensors").chmod(0o644)
    convert(name, config)
    print(f"{name}: {sum(file.stat().st_size for file in folder.iterdir())} bytes")


def convert(name, config):
    """As llama.cpp's converter, without a vocabulary."""
    writer = gguf.GGUFWriter(OUT / f"{name}.gguf", "baichuan")
    writer.add_context_length(512)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_attention_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("none")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BAICHUAN, config.num_hidden_layers)

    def reordered(rows):
        heads = config.num_attention_heads
        return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)

    def add(key, weight):
        array = weight.float().numpy() if weight.dim() == 1 else weight.numpy()
        writer.add_tensor(names.get_name(key, try_suffixes=(".weight",)), array)

    for key, weight in load_file(OUT / name / "model.safetensors").items():
        if "W_pack" in key:
            q, k, v = weight.chunk(3)
            for part, rows in zip("qkv", (reordered(q), reordered(k), v)):
                add(key.replace("W_pack", f"{part}_proj"), rows.contiguous())
        else:
            add(key, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


for name in MODELS:
    make(name)
