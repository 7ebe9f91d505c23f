"""Makes the T5 models of tests/fixtures/models: tiny random encoder-decoders and what transformers computes for them.

    [PYTHONPATH=LLAMA_CPP:LLAMA_CPP/gguf-py] python tests/reference/make_t5.py [--gguf] [NAME ...]

As make.py, but a folder has `decoded.safetensors`: `tokens` [300] of the decoder, `positions` (every twentieth and the last), and for
texts of 7, 64 and 257 tokens that the encoder reads, `text.N` and `logits.N` [positions, vocab], in float64. With `--gguf` those that
llama.cpp has are converted by its own code. `t5-text` has a tokenizer instead (SentencePiece's Unigram, trained here, as transformers and
the converter write it), and `answers.json`: prompts, their tokens, and what `generate` answers greedily.
"""

import argparse
import importlib
import io
import json
import shutil
import tempfile
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
import torch
import transformers
from safetensors.torch import load_file, save_file

from make import OUT, POSITIONS, tokens_for

TEXTS = [7, 64, 257]

# A head's width is not the stream's by their number; neither buckets nor the largest distance (which GGUF has no key for) are T5's own.
SIZES = dict(vocab_size=32, d_model=16, d_kv=8, d_ff=20, num_layers=2, num_decoder_layers=1, num_heads=3, pad_token_id=0, eos_token_id=1,
    decoder_start_token_id=0)  # fmt: skip

# Name: class, what differs from SIZES, whether the output matrix is another one than the embedding, type of the weights.
MODELS = {
    "t5": ("T5", dict(relative_attention_num_buckets=12), False, torch.float16),
    "t5-gated": ("T5", dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False), True, torch.float16),
    "t5-far": ("T5", dict(num_heads=5, d_kv=4, d_ff=12, relative_attention_num_buckets=9, relative_attention_max_distance=70,
        num_layers=1, num_decoder_layers=2, layer_norm_epsilon=1e-4, decoder_start_token_id=3, feed_forward_proj="gated-silu"), False, torch.bfloat16),
    "t5-mt5": ("MT5", dict(num_layers=1, num_decoder_layers=1), True, torch.bfloat16),
    "t5-umt5": ("UMT5", dict(d_ff=12, num_heads=2, relative_attention_num_buckets=10, num_decoder_layers=2,
        tie_word_embeddings=False), False, torch.float16),
}  # fmt: skip
GGUF = ["t5", "t5-gated", "t5-umt5"]


def randomise(model, generator):
    """Large weights, so that logits depend on all of the arithmetic, and scores on distances; scores are not divided by anything."""
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        if "norm" in name:
            value = 1.0 + 0.3 * noise
        elif "relative_attention_bias" in name:
            value = 1.5 * noise
        elif "shared" in name:
            value = noise
        elif name.endswith((".q.weight", ".k.weight")):
            value = 1.2 * noise / weight.shape[-1] ** 0.5 / model.config.d_kv**0.25
        else:
            value = 1.3 * noise / weight.shape[-1] ** 0.5
        weight.data.copy_(value)


def make(name):
    kind, changes, apart, dtype = MODELS[name]
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **changes}, attn_implementation="eager")
    model_class = getattr(transformers, f"{kind}ForConditionalGeneration")
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model = model_class(config).double()
    if apart:
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    randomise(model, torch.Generator().manual_seed(0))
    model.to(dtype).save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    if apart != ("lm_head.weight" in weights):
        weights["lm_head.weight"] = model.lm_head.weight.detach().clone()
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    exact = model_class.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    assert apart == (exact.lm_head.weight.data_ptr() != exact.shared.weight.data_ptr()), name
    tokens = tokens_for(config.vocab_size)
    positions = torch.tensor([*range(0, POSITIONS, 20), POSITIONS - 1], dtype=torch.int32)
    expected = {"tokens": tokens, "positions": positions}
    for n in TEXTS:
        text = torch.tensor(np.random.default_rng(n).integers(0, config.vocab_size, n), dtype=torch.int32)
        with torch.no_grad():
            out = exact(input_ids=text[None].long(), decoder_input_ids=tokens[None].long(), use_cache=False).logits[0]
        assert out.isfinite().all() and out.std() > 0.2, f"{name}: logits spread by {out.std()}"
        expected |= {f"text.{n}": text, f"logits.{n}": out[positions.long()].float().contiguous()}
    save_file(expected, folder / "decoded.safetensors")
    (folder / "generation_config.json").unlink(missing_ok=True)
    for file in folder.iterdir():
        file.chmod(0o644)
    print(f"{name}: {sum(file.stat().st_size for file in folder.iterdir())} bytes")


def convert(name):
    """GGUF by llama.cpp's converter, without a vocabulary."""
    conversion = importlib.import_module("conversion")
    config = json.loads((OUT / name / "config.json").read_text())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        shutil.copytree(OUT / name, folder, ignore=shutil.ignore_patterns("decoded.safetensors"))
        model_class = conversion.get_model_class(config["architectures"][0])
        target = OUT / f"{name}.gguf"

        def no_vocabulary():
            model.gguf_writer.add_tokenizer_model("none")
            model.gguf_writer.add_vocab_size(config["vocab_size"])

        with torch.inference_mode():
            model = model_class(folder, gguf.LlamaFileType.MOSTLY_F16, target, model_name=f"kinglet test {name}")
            model.set_vocab = no_vocabulary
            model.hparams.setdefault("decoder_start_token_id", 0)
            model.write()
    print(f"{target.name}: {target.stat().st_size} bytes")


CORPUS = """translate English to German: The house is wonderful. summarize: studies have shown that owning a dog is good for you.
Das Haus ist wunderbar. Relative positions make long texts possible, since a word is known by its distance and not by its place.
question: how far is the next word? answer: one step. Ein Hund, zwei Hunde, drei Katzen und viele Bücher."""
PROMPTS = ["translate English to German: The house is wonderful.", "summarize: a dog, two  dogs ", "Bücher: 東京?"]


def with_text():
    """t5-text and t5-text.gguf."""
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.split("\n") * 3), model_writer=proto, model_type="unigram", vocab_size=90, pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, normalization_rule_name="identity", hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    pieces = sentencepiece.SentencePieceProcessor(model_proto=proto.getvalue())
    vocabulary = [(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(pieces.vocab_size())]
    tokenizer = transformers.T5Tokenizer(vocab=vocabulary, extra_ids=0)
    sizes = {**SIZES, "vocab_size": len(vocabulary), "num_heads": 2, "num_layers": 1}
    config = transformers.T5Config(**sizes, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    folder = OUT / "t5-text"
    # Most random models say one word again and again.
    for seed in range(1000):
        shutil.rmtree(folder, ignore_errors=True)
        model = transformers.T5ForConditionalGeneration(config).double()
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        randomise(model, torch.Generator().manual_seed(seed))
        model.half().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        exact = transformers.T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float64).eval()
        answers = []
        for prompt in PROMPTS:
            ids = tokenizer(prompt).input_ids
            assert ids == pieces.encode(prompt) + [1], (ids, pieces.encode(prompt))
            answer = exact.generate(torch.tensor([ids]), do_sample=False, num_beams=1, max_new_tokens=12)[0].tolist()
            answers.append({"prompt": prompt, "tokens": ids, "answer": answer, "text": tokenizer.decode(answer, skip_special_tokens=True)})
        if all(len(set(answer["answer"]) - {0, 2}) > 3 for answer in answers):
            break
    (folder / "answers.json").write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n")
    for file in folder.iterdir():
        file.chmod(0o644)
    conversion = importlib.import_module("conversion")
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "t5-text"
        shutil.copytree(folder, copy)
        (copy / "spiece.model").write_bytes(proto.getvalue())
        model_class = conversion.get_model_class("T5ForConditionalGeneration")
        with torch.inference_mode():
            target = OUT / "t5-text.gguf"
            converted = model_class(copy, gguf.LlamaFileType.MOSTLY_F16, target, model_name="kinglet test t5-text")
            converted.hparams.setdefault("decoder_start_token_id", 0)
            converted.write()
    print(f"t5-text: {sum(file.stat().st_size for file in folder.iterdir())} bytes, {target.stat().st_size} as GGUF")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gguf", action="store_true", help="convert as well")
    parser.add_argument("names", nargs="*", default=[*MODELS, "t5-text"])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for name in chosen.names:
        if name == "t5-text":
            with_text()
            continue
        make(name)
        if chosen.gguf and name in GGUF:
            convert(name)
