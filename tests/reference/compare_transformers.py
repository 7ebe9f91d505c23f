"""Compares kinglet's plain f32 arithmetic with transformers on the dequantised weights of the same GGUF file, by perplexity.

    python tests/reference/compare_transformers.py --kinglet target/release/kinglet -m MODEL.gguf [--chunks 4]

Llama's family only (SmolLM2). Both score the same tokens (kinglet's) in chunks of 512, as llama-perplexity does. They may differ by 0.05 %, which is what sums in
another order cost; exit code 1 where they differ by more. Needs torch, transformers and gguf.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import gguf
import torch
import transformers

CONTEXT = 512
BOUND = 0.0005
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def run(*command):
    return json.loads(subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True).stdout)


NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def dequantised(path):
    """The file's weights in f32, in transformers' own model."""
    file = gguf.GGUFReader(path)
    number = lambda key: file.fields["llama." + key].contents()
    heads, kv_heads = number("attention.head_count"), number("attention.head_count_kv")
    weights = {}
    for tensor in file.tensors:
        weight = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        part = tensor.name.split(".")
        if part[0] != "blk":
            name = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}[part[0]]
        else:
            name = f"model.layers.{part[1]}.{NAMES[part[2]]}"
            if part[2] in ("attn_q", "attn_k"):
                # GGUF stores the rows of a head with its rotated pairs side by side, transformers in two halves.
                count = heads if part[2] == "attn_q" else kv_heads
                weight = weight.reshape(count, -1, 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape)
        weights[name + ".weight"] = weight
    config = transformers.LlamaConfig(
        vocab_size=weights["model.embed_tokens.weight"].shape[0],
        hidden_size=number("embedding_length"),
        intermediate_size=number("feed_forward_length"),
        num_hidden_layers=number("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        rms_norm_eps=number("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": number("rope.freq_base")},
        max_position_embeddings=number("context_length"),
        tie_word_embeddings="lm_head.weight" not in weights,
        attn_implementation="eager",
    )
    model = transformers.LlamaForCausalLM(config).float().eval()
    missing = model.load_state_dict(weights, strict=False)
    assert not missing.unexpected_keys and set(missing.missing_keys) <= {"lm_head.weight"}, missing
    model.tie_weights()
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinglet", type=pathlib.Path, default=ROOT / "target/release/kinglet")
    parser.add_argument("-m", "--model", type=pathlib.Path, required=True)
    parser.add_argument("--chunks", type=int, default=4)
    parser.add_argument("--text", type=pathlib.Path, default=ROOT / "docs/architecture.md")
    arguments = parser.parse_args()

    text = arguments.text.read_text()
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(text)
        file.flush()
        with open(file.name) as stdin:
            command = [str(arguments.kinglet), "tokenize", "-m", str(arguments.model), "--ids"]
            ids = json.loads(subprocess.run(command, check=True, stdin=stdin, stdout=subprocess.PIPE, text=True).stdout)
        flags = ["-c", CONTEXT, "--chunks", arguments.chunks, "--json", "--reference"]
        own = run(arguments.kinglet, "perplexity", "-m", arguments.model, "-f", file.name, *flags)

    model = dequantised(arguments.model)
    total, count = 0.0, 0
    for start in range(0, own["chunks"] * CONTEXT, CONTEXT):
        chunk = torch.tensor([ids[start : start + CONTEXT]])
        with torch.no_grad():
            logits = model(chunk).logits[0].double()
        first = CONTEXT // 2
        total += torch.nn.functional.cross_entropy(logits[first:-1], chunk[0, first + 1 :], reduction="sum").item()
        count += CONTEXT - 1 - first
    theirs = torch.tensor(total / count).double().exp().item()
    difference = own["perplexity"] / theirs - 1
    print(f"{arguments.model.name}: kinglet {own['perplexity']:.6f}, transformers {theirs:.6f}: {difference:+.5%} ({count} tokens scored)")
    sys.exit(0 if abs(difference) <= BOUND else 1)


main()
