"""Makes tests/fixtures/text/: small vocabulary-only GGUF files of every kind of tokenizer, a tokenizer.json, chat templates, and what
other programs make of them.

    python tests/reference/make_text.py LLAMA_TOKENIZE

LLAMA_TOKENIZE is llama.cpp's program of that name. Needs gguf, tokenizers, sentencepiece, transformers and jinja2.
"""

import ast
import datetime
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import unicodedata

import gguf
import sentencepiece
import tokenizers
import transformers.utils.chat_template_utils as hf
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

from nasty import PIECES

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "text"
TYPE = gguf.TokenType
ENGLISH = [
    "The quick brown fox jumps over the lazy dog. It's not what they'd said: we've 12 of 345 things, and 6789 more!\n",
    "In the beginning there was a tokenizer, and the tokenizer was with the model; without it nothing was said that was said.\n",
    "    for i in range(10):\n        print(i, end=' ')\n\n\treturn self.value + other.value\n\n",
] * 3

# Expressions that llama.cpp approximates: here the `tokenizers` crate with the model's own expression is the reference.
CASED = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+%s|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*%s|"
CONTRACTION = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?"
OWN_EXPRESSIONS = {
    "tekken": CASED % ("", "") + r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "gpt-4o": CASED % (CONTRACTION, CONTRACTION) + r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "kimi-k2": r"[\p{Han}]+|"
    + (CASED % (CONTRACTION, CONTRACTION)).replace(r"\p{M}]", r"\p{M}&&[^\p{Han}]]")
    + r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
LLAMA_CPP = ["default", "gpt-2", "llama-bpe", "smollm", "qwen2", "qwen35", "deepseek-llm", "deepseek-v3", "falcon", "bloom", "superbpe"]


def llama_cpp(vocabulary, special):
    """llama.cpp's ids for every piece."""
    ids = []
    for piece in PIECES:
        with tempfile.NamedTemporaryFile(suffix=".txt") as text:
            text.write(piece.encode())
            text.flush()
            command = [sys.argv[1], "-m", str(vocabulary), "-f", text.name, "--ids", "--no-bos", "--no-escape", "--log-disable"]
            command += [] if special else ["--no-parse-special"]
            ids.append(ast.literal_eval(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()))
    return ids


def write_expected(name, plain, match, source):
    """One JSON file per vocabulary, a line per piece; `match` only where it differs."""
    lines = [json.dumps({"plain": p} if p == m else {"plain": p, "match": m}, separators=(",", ":")) for p, m in zip(plain, match)]
    (OUT / f"{name}.json").write_text('{"source":%s,"pieces":[\n%s\n]}\n' % (json.dumps(source), ",\n".join(lines)))


def writer(name, architecture, model):
    w = gguf.GGUFWriter(OUT / f"{name}.gguf", architecture)
    w.add_name(name)
    w.add_context_length(64)
    w.add_embedding_length(32)
    w.add_block_count(1)
    w.add_feed_forward_length(32)
    w.add_head_count(1)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_layer_norm_eps(1e-5)
    w.add_tokenizer_model(model)
    return w


def close(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()


def byte_level_vocabulary():
    """Merges that were learned without a pre-tokenizer, so that they cross words wherever the rules let them."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=256 + 240, initial_alphabet=alphabet, show_progress=False, max_token_length=12)
    tokenizer.train_from_iterator(ENGLISH + PIECES * 2, trainer)
    parsed = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(parsed["vocab"], key=parsed["vocab"].get)
    merges = [tuple(merge) for merge in parsed["merges"]]
    return tokens, merges


def bpe(tokens, merges):
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    user_defined = ["<table>", "\n\n\n"]
    texts = tokens + special + user_defined
    types = [TYPE.NORMAL] * len(tokens) + [TYPE.CONTROL] * len(special) + [TYPE.USER_DEFINED] * len(user_defined)
    for pre in LLAMA_CPP + list(OWN_EXPRESSIONS):
        w = writer(f"bpe-{pre}", "llama", "gpt2")
        w.add_tokenizer_pre(pre)
        w.add_token_list(texts)
        w.add_token_types(types)
        w.add_token_merges([" ".join(merge) for merge in merges])
        w.add_bos_token_id(len(tokens))
        w.add_eos_token_id(len(tokens) + 2)
        close(w)
    for pre in LLAMA_CPP:
        path = OUT / f"bpe-{pre}.gguf"
        write_expected(f"bpe-{pre}", llama_cpp(path, False), llama_cpp(path, True), "llama.cpp")
    for pre, expression in OWN_EXPRESSIONS.items():
        vocab = {text: i for i, text in enumerate(tokens)}
        tokenizer = tokenizers.Tokenizer(models.BPE(vocab, merges, ignore_merges=pre == "tekken"))
        split = pre_tokenizers.Split(Regex(expression), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        tokenizer.add_special_tokens([tokenizers.AddedToken(text, normalized=False) for text in special])
        tokenizer.add_tokens([tokenizers.AddedToken(text, normalized=False) for text in user_defined])
        match = [tokenizer.encode(piece).ids for piece in PIECES]
        tokenizer.encode_special_tokens = True
        write_expected(f"bpe-{pre}", [tokenizer.encode(piece).ids for piece in PIECES], match, "tokenizers")


def sentencepiece_model(kind, **options):
    model = io.BytesIO()
    corpus = [line for text in ENGLISH + PIECES * 2 for line in text.split("\n") if line]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_writer=model, model_type=kind, minloglevel=2, hard_vocab_limit=False, **options
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()), model.getvalue()


def protobuf_field(message, wanted):
    """The first field of this number, which must be bytes or a message."""

    def varint(at):
        value = shift = 0
        while True:
            value |= (message[at] & 0x7F) << shift
            shift += 7
            at += 1
            if message[at - 1] < 0x80:
                return value, at

    at = 0
    while at < len(message):
        key, at = varint(at)
        size, start = {0: lambda: (varint(at)[1] - at, at), 1: lambda: (8, at), 2: lambda: varint(at), 5: lambda: (4, at)}[key & 7]()
        if key >> 3 == wanted:
            return message[start : start + size]
        at = start + size
    raise KeyError(wanted)


def sentencepiece_tokens(model):
    texts = [model.id_to_piece(i) for i in range(len(model))]
    scores = [model.get_score(i) for i in range(len(model))]
    types = [
        TYPE.UNKNOWN if model.is_unknown(i)
        else TYPE.CONTROL if model.is_control(i)
        else TYPE.BYTE if model.is_byte(i)
        else TYPE.UNUSED if model.is_unused(i)
        else TYPE.NORMAL
        for i in range(len(model))
    ]
    return texts, scores, types


def spm():
    model, _ = sentencepiece_model("bpe", vocab_size=256 + 360, byte_fallback=True, normalization_rule_name="identity",
                                   remove_extra_whitespaces=False, character_coverage=0.98)  # fmt: skip
    texts, scores, types = sentencepiece_tokens(model)
    texts += ["<start_of_turn>", "<end_of_turn>", "  ", "   ", "\n\n", "<table>"]
    scores += [-1000.0] * 6
    types += [TYPE.CONTROL] * 2 + [TYPE.USER_DEFINED] * 4
    for name, prefix in [("spm", True), ("spm-without-prefix", False)]:
        w = writer(name, "llama", "llama")
        w.add_token_list(texts)
        w.add_token_scores(scores)
        w.add_token_types(types)
        w.add_add_space_prefix(prefix)
        close(w)
        path = OUT / f"{name}.gguf"
        write_expected(name, llama_cpp(path, False), llama_cpp(path, True), "llama.cpp")


def unigram():
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        # Some of NFKC: a whole NFKC map has 240 kB.
        for source, target in [("ﬁ", "fi"), ("Ⅷ", "VIII"), ("½", "1/2"), ("²", "2"), ("\u3000", " "), ("\t", " "), ("\n", " "), ("\u00a0", " "),
                               ("e\u0301", "é"), ("a\u0308", "ä"), ("…", "..."), ("™", "TM"), ("ｆ", "f"), ("\u200b", "")]:  # fmt: skip
            rules.write(" ".join(f"{ord(c):X}" for c in source) + "\t" + " ".join(f"{ord(c):X}" for c in target) + "\n")
        rules.flush()
        model, proto = sentencepiece_model("unigram", vocab_size=400, normalization_rule_tsv=rules.name, character_coverage=0.98,
                                           user_defined_symbols=["<table>"])  # fmt: skip
    # ModelProto.normalizer_spec.precompiled_charsmap
    charsmap = protobuf_field(protobuf_field(proto, 3), 2)
    texts, scores, types = sentencepiece_tokens(model)
    types[texts.index("<table>")] = TYPE.USER_DEFINED
    w = writer("unigram", "t5", "t5")
    w.add_token_list(texts)
    w.add_token_scores(scores)
    w.add_token_types(types)
    w.add_unk_token_id(model.unk_id())
    w.add_eos_token_id(model.eos_id())
    # SentencePiece's defaults, with which the model was trained.
    w.add_add_space_prefix(True)
    w.add_remove_extra_whitespaces(True)
    w.add_precompiled_charsmap(charsmap)
    close(w)
    path = OUT / "unigram.gguf"
    write_expected("unigram", llama_cpp(path, False), llama_cpp(path, True), "llama.cpp")


def wordpiece():
    tokenizer = tokenizers.BertWordPieceTokenizer()
    tokenizer.train_from_iterator(ENGLISH + PIECES, vocab_size=500, show_progress=False)
    vocab = tokenizer.get_vocab()
    texts = sorted(vocab, key=vocab.get)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # As llama.cpp's converter writes them.
    spelled = [text if text in special else text[2:] if text.startswith("##") else "▁" + text for text in texts]
    w = writer("wordpiece", "bert", "bert")
    w.add_token_list(spelled)
    w.add_token_types([TYPE.CONTROL if text in special else TYPE.NORMAL for text in texts])
    w.add_bos_token_id(vocab["[CLS]"])
    w.add_unk_token_id(vocab["[UNK]"])
    w.add_sep_token_id(vocab["[SEP]"])
    w.add_pad_token_id(vocab["[PAD]"])
    w.add_token_type_count(2)
    w.add_causal_attention(False)
    close(w)
    # llama.cpp ends every BERT prompt with [SEP]; the tokenizer's ids are those before it.
    path = OUT / "wordpiece.gguf"
    expected = [[ids[:-1] if ids[-1:] == [vocab["[SEP]"]] else ids for ids in llama_cpp(path, special)] for special in (False, True)]
    # BERT takes characters apart (NFD, Hangul too) and drops the marks of category Mn, and so do the vocabularies that were trained with it;
    # llama.cpp leaves Hangul whole, drops marks of category Mc too, and takes the control character U+0085 for a space.
    for i, piece in enumerate(PIECES):
        if any("\uac00" <= c <= "\ud7a3" or unicodedata.category(c) == "Mc" or c == "\x85" for c in piece):
            ids = tokenizer.encode(piece, add_special_tokens=False).ids
            expected = [[*row[:i], ids, *row[i + 1:]] for row in expected]
    write_expected("wordpiece", *expected, "llama.cpp; Hangul, marks and U+0085 by tokenizers")


def folder(tokens, merges):
    """A tokenizer.json, as of a Llama 3, beside a model without a tokenizer: bytes, BOS from the post-processor, several ends."""
    out = OUT / "folder"
    out.mkdir(exist_ok=True)
    close(writer("folder/model", "llama", "none"))
    tokenizer = tokenizers.Tokenizer(models.BPE({text: i for i, text in enumerate(tokens)}, merges, ignore_merges=True))
    llama3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(llama3), "isolated"), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|begin|>", "<|eot|>", "<|end|>"])
    tokenizer.add_tokens(["<table>"])
    begin = tokenizer.token_to_id("<|begin|>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", begin)])
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    template = "{{ bos_token }}{% for m in messages %}<|eot|>{{ m.role }}:{{ m.content }}{% endfor %}"
    config = {"bos_token": "<|begin|>", "eos_token": {"content": "<|end|>"}, "chat_template": template}
    (out / "tokenizer_config.json").write_text(json.dumps(config))
    ends = [tokenizer.token_to_id(text) for text in ("<|eot|>", "<|end|>")]
    (out / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    match = [tokenizer.encode(piece, add_special_tokens=False).ids for piece in PIECES]
    tokenizer.encode_special_tokens = True
    plain = [tokenizer.encode(piece, add_special_tokens=False).ids for piece in PIECES]
    write_expected("folder/expected", plain, match, "tokenizers")


CONVERSATIONS = {
    "question": [{"role": "user", "content": "Hello, how are you? "}],
    "system": [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": " What's 2+2?\n"},
        {"role": "assistant", "content": '<think>\nhm\n</think>\n\n4, "arr" & <b>!'},
        {"role": "user", "content": "Why? 漢字 🦜"},
    ],
    "turns": [{"role": role, "content": text} for role, text in [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]],
    "disorder": [{"role": role, "content": text} for role, text in [("assistant", "x"), ("user", "y"), ("user", "z")]],
}


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 6, 8, 5, 9)


def chat():
    hf.datetime = Clock
    cases = []
    for path in sorted((OUT / "chat").glob("*.jinja")):
        template = hf._compile_jinja_template(path.read_text())
        for name, messages in CONVERSATIONS.items():
            for generate in (True, False):
                try:
                    text = template.render(messages=messages, tools=None, documents=None, add_generation_prompt=generate,
                                           bos_token="<s>", eos_token="</s>")  # fmt: skip
                    result = {"text": text}
                except Exception as error:
                    result = {"error": str(error)}
                cases.append({"template": path.stem, "conversation": name, "generate": generate, **result})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    conversations = json.dumps(CONVERSATIONS, ensure_ascii=False)
    (OUT / "chat" / "expected.json").write_text('{"conversations":%s,\n"cases":[\n%s\n]}\n' % (conversations, lines))


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "pieces.json").write_text(json.dumps(PIECES, ensure_ascii=True, indent=0) + "\n")
    byte_level = byte_level_vocabulary()
    bpe(*byte_level)
    spm()
    unigram()
    wordpiece()
    folder(*byte_level)
    chat()
