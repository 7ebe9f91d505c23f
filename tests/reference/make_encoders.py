"""Makes the encoders of tests/fixtures/models: tiny random models and the hidden states that transformers computes for them.

    [PYTHONPATH=LLAMA_CPP:LLAMA_CPP/gguf-py] python tests/reference/make_encoders.py [--gguf] [NAME ...]

As make.py, with `hidden.safetensors` beside each model: `tokens` [300], `rows` [n, 2] (the length of the text, the first so many of the
tokens, and a position in it) and `hidden` [n, d_model], each text of its own pass in float64. The head and the pooler that transformers
saves are not read by kinglet. `bert` has a tokenizer and asks for `[CLS]` pooling.

transformers has no class for Jina's BERT with ALiBi (jina-embeddings-v2), whose code lies beside the published weights. `JinaBert` below is
BERT's class with its two changes: what the paper adds to scores (arXiv:2310.19923, section 3.1; slopes by Press et al. 2022) and the gated
block (arXiv:2002.05202, GEGLU). Tensors and keys are named as in the published files.

`bert-shaw` and `bert-shaw-keys` are what transformers 4 could read and 5 can't; they were made with 4.50.
"""

import argparse
import importlib
import json
import math
import shutil
import tempfile
from pathlib import Path

import gguf
import tokenizers
import tokenizers.processors
import torch
import transformers
import make_t5
from make import OUT, POSITIONS, randomise
from safetensors.torch import load_file, save_file

LENGTHS = [1, 7, 64, 257, POSITIONS]
SIZES = dict(vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=6, intermediate_size=20, pad_token_id=0)
XLNET = dict(vocab_size=40, d_model=24, n_layer=2, d_inner=20, pad_token_id=0, bos_token_id=None, eos_token_id=None)
WITHOUT = dict(bos_token_id=None, eos_token_id=None)

# Name: class, sizes, type of the weights.
MODELS = {
    "bert": ("BertModel", dict(SIZES, max_position_embeddings=304, hidden_size=16, num_attention_heads=4, type_vocab_size=3), torch.float16),
    "bert-masked": ("BertForMaskedLM", dict(SIZES, max_position_embeddings=300, hidden_size=16, num_attention_heads=2, layer_norm_eps=1e-5,
        hidden_act="gelu_new"), torch.bfloat16),
    "bert-roberta": ("RobertaModel", dict(SIZES, max_position_embeddings=306, hidden_size=16, num_attention_heads=2, pad_token_id=1,
        type_vocab_size=1), torch.float16),
    "bert-xlm": ("XLMRobertaForMaskedLM", dict(SIZES, max_position_embeddings=310, hidden_size=16, num_attention_heads=2, pad_token_id=3,
        type_vocab_size=1), torch.bfloat16),
    "nomicbert": ("NomicBertModel", dict(SIZES, max_position_embeddings=2048, num_attention_heads=3, rope_parameters=dict(
        rope_type="default", rope_theta=300.0)), torch.float16),
    "nomicbert-masked": ("NomicBertForMaskedLM", dict(SIZES, max_position_embeddings=512, num_attention_heads=2, hidden_act="gelu"),
        torch.bfloat16),
    "jinabert": ("JinaBert", dict(SIZES, max_position_embeddings=512, position_embedding_type="alibi", feed_forward_type="geglu"),
        torch.float16),
    "modernbert": ("ModernBertModel", dict(SIZES, **WITHOUT, num_hidden_layers=4, num_attention_heads=3, intermediate_size=12, max_position_embeddings=512,
        local_attention=43, cls_token_id=None, sep_token_id=None, rope_parameters=dict(
        full_attention=dict(rope_type="default", rope_theta=7000.0),
        sliding_attention=dict(rope_type="default", rope_theta=300.0))), torch.float16),
    "modernbert-masked": ("ModernBertForMaskedLM", dict(SIZES, **WITHOUT, num_hidden_layers=3, num_attention_heads=2,
        max_position_embeddings=512, local_attention=28, norm_bias=True, attention_bias=True, mlp_bias=True, hidden_activation="silu",
        layer_types=["sliding_attention", "full_attention", "sliding_attention"], cls_token_id=None, sep_token_id=None), torch.bfloat16),
    "deberta": ("DebertaV2Model", dict(SIZES, hidden_size=16, num_attention_heads=2, max_position_embeddings=512, relative_attention=True,
        position_buckets=16, max_relative_positions=100, position_biased_input=False, norm_rel_ebd="layer_norm", share_att_key=True,
        pos_att_type=["p2c", "c2p"]), torch.float16),
    "deberta-apart": ("DebertaV2ForMaskedLM", dict(SIZES, hidden_size=16, num_attention_heads=2, max_position_embeddings=300,
        relative_attention=True, max_relative_positions=60, type_vocab_size=2, pos_att_type=["p2c"]), torch.bfloat16),
    "deberta-convolved": ("DebertaV2Model", dict(SIZES, hidden_size=16, num_attention_heads=2, max_position_embeddings=512,
        relative_attention=True, position_buckets=16, max_relative_positions=100, position_biased_input=False, norm_rel_ebd="layer_norm",
        share_att_key=True, pos_att_type=["p2c", "c2p"], conv_kernel_size=3, conv_act="gelu"), torch.float16),
    "deberta-wide": ("DebertaV2ForMaskedLM", dict(SIZES, hidden_size=16, num_attention_heads=2, max_position_embeddings=300,
        relative_attention=True, max_relative_positions=60, pos_att_type=["c2p"], conv_kernel_size=5), torch.bfloat16),
    "deberta-odd": ("DebertaV2Model", dict(SIZES, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12,
        max_position_embeddings=300, relative_attention=True, position_buckets=9, max_relative_positions=40, position_biased_input=False,
        pos_att_type=["p2c", "c2p"]), torch.float16),
    "bert-shaw": ("BertModel", dict(SIZES, max_position_embeddings=304, num_attention_heads=3, position_embedding_type="relative_key"),
        torch.float16),
    "bert-shaw-keys": ("BertForMaskedLM", dict(SIZES, max_position_embeddings=300, hidden_size=16, num_attention_heads=2,
        position_embedding_type="relative_key_query"), torch.bfloat16),
    "xlnet": ("XLNetModel", dict(XLNET, n_head=3), torch.float16),
    "xlnet-masked": ("XLNetLMHeadModel", dict(XLNET, n_head=4, clamp_len=90, ff_activation="relu", layer_norm_eps=1e-5), torch.bfloat16),
    "t5encoder": ("T5EncoderModel", dict(make_t5.SIZES, feed_forward_proj="gated-gelu", relative_attention_num_buckets=10), torch.float16),
    "t5encoder-umt5": ("UMT5EncoderModel", dict(make_t5.SIZES, d_ff=12, num_heads=2, relative_attention_max_distance=70), torch.bfloat16),
}  # fmt: skip

# Converted by llama.cpp's own code, which wants keys that the published files have and transformers no longer writes.
GGUF = ["bert", "bert-roberta", "nomicbert", "jinabert", "modernbert", "t5encoder"]
PUBLISHED = {"modernbert": dict(layer_norm_eps=1e-5, global_attn_every_n_layers=3), "nomicbert": dict(
    n_embd=24, n_layer=2, n_head=3, n_inner=20, n_positions=8192, layer_norm_epsilon=1e-12, rotary_emb_base=300.0,
    activation_function="swiglu", causal=False, qkv_proj_bias=False, mlp_fc1_bias=False, mlp_fc2_bias=False, prenorm=False,
    rotary_emb_fraction=1.0, rotary_emb_interleaved=False, rotary_emb_scale_base=None)}  # fmt: skip


class JinaBert(torch.nn.Module):
    """BERT without positions, with ALiBi both ways and GEGLU."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.model = transformers.BertModel(config, add_pooling_layer=False)
        del self.model.embeddings.position_embeddings
        for layer in self.model.encoder.layer:
            layer.gated_layers = torch.nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
            layer.wo = torch.nn.Linear(config.intermediate_size, config.hidden_size)
            layer.layernorm = torch.nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
            del layer.intermediate, layer.output

    def tensors(self):
        """Named as in the published files."""
        state = self.model.state_dict()
        moved = [f".{name}." for name in ("gated_layers", "wo", "layernorm")]
        rename = lambda name: next((name.replace(part, f".mlp{part}") for part in moved if part in name), name)  # noqa: E731
        return {rename(name): tensor.contiguous() for name, tensor in state.items()}

    def forward(self, ids):
        heads, d_head = self.config.num_attention_heads, self.config.hidden_size // self.config.num_attention_heads
        below = 2 ** math.floor(math.log2(heads))
        slopes = lambda n: [2 ** (-8 * i / n) for i in range(1, n + 1)]  # noqa: E731
        slopes = torch.tensor((slopes(below) + slopes(2 * below)[::2])[:heads], dtype=torch.float64)
        at = torch.arange(ids.shape[1])
        bias = -slopes[:, None, None] * (at[:, None] - at[None, :]).abs().double()
        embeddings = self.model.embeddings
        x = embeddings.LayerNorm(embeddings.word_embeddings(ids) + embeddings.token_type_embeddings.weight[0])
        for layer in self.model.encoder.layer:
            attention = layer.attention.self
            q, k, v = (
                part(x).view(*ids.shape, heads, d_head).transpose(1, 2) for part in (attention.query, attention.key, attention.value)
            )
            weights = (q @ k.transpose(2, 3) / math.sqrt(d_head) + bias).softmax(-1)
            attended = (weights @ v).transpose(1, 2).reshape(x.shape)
            x = layer.attention.output.LayerNorm(x + layer.attention.output.dense(attended))
            gate, up = layer.gated_layers(x).chunk(2, dim=-1)
            x = layer.layernorm(x + layer.wo(torch.nn.functional.gelu(gate) * up))
        return x


# The words of the model that has a tokenizer, as many as it has embeddings.
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a the is small bird king ##let tax return sing ##s never sits still , . ! ? ##ing" \
    " b c d e f g h i ##a ##b ##c ##d ##e ##f ##g ##h".split()  # fmt: skip


def save_tokenizer(folder):
    """WordPiece with BERT's frame, and what sentence-transformers keeps beside a model."""
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(WORDS[:5])
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True, **named}))
    stages = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"} for i, (path, kind) in enumerate(stages)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 16, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


def tokens_for(config):
    """Random tokens. The padding token, which RoBERTa counts at no position, is among them where there is no GGUF, which lacks its row."""
    generator = torch.Generator().manual_seed(7)
    if config.model_type == "xlm-roberta":
        return torch.randint(0, config.vocab_size, (POSITIONS,), generator=generator, dtype=torch.int32)
    tokens = torch.randint(0, config.vocab_size - 1, (POSITIONS,), generator=generator, dtype=torch.int32)
    return tokens + (tokens >= config.pad_token_id).int()


def save_hidden(folder, run, tokens):
    rows, hidden = [], []
    for length in LENGTHS:
        with torch.no_grad():
            states = run(tokens[None, :length].long())[0]
        positions = sorted({*range(0, length, 25), length - 1})
        rows += [(length, position) for position in positions]
        hidden.append(states[positions])
    hidden = torch.cat(hidden).float()
    assert hidden.isfinite().all()
    # The last text is the longest: what comes late must depend on what comes first, and on where it stands.
    path = folder / "hidden.safetensors"
    save_file({"tokens": tokens, "rows": torch.tensor(rows, dtype=torch.int32), "hidden": hidden.contiguous()}, path)
    path.chmod(0o644)


def make(name):
    kind, sizes, dtype = MODELS[name]
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    generator = torch.Generator().manual_seed(0)
    if kind == "JinaBert":
        config = transformers.BertConfig(**sizes)
        model = JinaBert(config).double()
        randomise(model, generator)
        folder.mkdir()
        save_file({key: value.to(dtype) for key, value in model.tensors().items()}, folder / "model.safetensors", {"format": "pt"})
        config.architectures, config.dtype = ["JinaBertModel"], dtype
        config.save_pretrained(folder)
        model = model.to(dtype).double().eval()
        run = model
    else:
        model_class = getattr(transformers, kind)
        stem = next(kind.removesuffix(end) for end in ("EncoderModel", "LMHeadModel", "Model", "ForMaskedLM") if kind.endswith(end))
        config = getattr(transformers, stem + "Config")(**sizes)
        model = model_class(config).double()
        (make_t5.randomise if "T5" in kind else randomise)(model, generator)
        model.to(dtype).save_pretrained(folder)
        exact = {"dtype" if transformers.__version__ >= "5" else "torch_dtype": torch.float64}
        model = model_class.from_pretrained(folder, **exact, attn_implementation="eager").double().eval()
        base = getattr(model, model.base_model_prefix, model)
        run = lambda ids: base(ids).last_hidden_state  # noqa: E731
    save_hidden(folder, run, tokens_for(config))
    if name == "bert":
        save_tokenizer(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    print(f"{name}: {sum(file.stat().st_size for file in folder.iterdir())} bytes")


def convert(name):
    """GGUF by llama.cpp's converter; without a vocabulary where the model has none."""
    conversion = importlib.import_module("conversion")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        shutil.copytree(OUT / name, folder)
        (folder / "hidden.safetensors").unlink()
        config = json.loads((folder / "config.json").read_text()) | PUBLISHED.get(name, {})
        (folder / "config.json").write_text(json.dumps(config))
        weights = load_file(folder / "model.safetensors")
        save_file({key: value.float() for key, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})
        model_class = conversion.get_model_class(config["architectures"][0])
        whole = (folder / "tokenizer.json").exists()
        if not whole:
            # Nomic's class asks this file for the kind of its tokenizer.
            (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "WordPiece", "vocab": {}}, "added_tokens": []}))

        def no_vocabulary(self):
            self.gguf_writer.add_tokenizer_model("none")
            self.gguf_writer.add_token_type_count(config.get("type_vocab_size", 1))

        if whole:
            # The converter knows pre-tokenizers by what they make of a text in many scripts; this one cuts as all of BERT's do.
            model_class.get_vocab_base_pre = lambda self, tokenizer: "bert-bge"
        else:
            model_class.set_vocab = no_vocabulary
        target = OUT / f"{name}.gguf"
        with torch.inference_mode():
            model_class(folder, gguf.LlamaFileType.MOSTLY_F16, target, model_name=f"kinglet test {name}").write()
    print(f"{target.name}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gguf", action="store_true", help="convert as well")
    parser.add_argument("names", nargs="*", default=[*MODELS])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for name in chosen.names:
        if name.startswith("bert-shaw") and transformers.__version__ >= "5":
            print(f"{name}: left as it is, needs transformers 4")
            continue
        make(name)
        if chosen.gguf and name in GGUF:
            convert(name)
