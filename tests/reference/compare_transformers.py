"""Compares kinglet's plain f32 arithmetic with transformers on the dequantised weights of the same GGUF file, by perplexity.

    python tests/reference/compare_transformers.py --kinglet target/release/kinglet -m MODEL.gguf [--chunks 4]

Both score the same tokens (kinglet's) in chunks of 512, as llama-perplexity does. They may differ by 0.05 %, which is what sums in
another order cost; exit code 1 where they differ by more. Needs torch, transformers and gguf.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers

CONTEXT = 512
BOUND = 0.0005
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def run(*command):
    return json.loads(subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True).stdout)


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

    model = transformers.AutoModelForCausalLM.from_pretrained(
        arguments.model.parent, gguf_file=arguments.model.name, dtype=torch.float32, attn_implementation="eager"
    )
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
