"""Makes tests/fixtures/models/tiny.gguf: a whole model of some 100 kB, with a tokenizer and a chat template, that has learned a
few sentences by heart. Examples and tests of the program run on it, offline and in milliseconds.

    python tests/reference/make_tiny.py

A Llama of two layers and 106 thousand weights in Q8_0 and Q4_1, a byte-level BPE of 320 tokens with GPT-2's splitting rule, ChatML.
Trains for a minute on one thread. Needs torch, transformers, tokenizers, gguf; text and model are under the project's licence.
"""

import json
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "models" / "tiny.gguf"

TEXTS = [
    "The kinglet is a tiny bird. It weighs as much as a sheet of paper, and it never sits still.",
    "The goldcrest is the smallest bird of Europe. It lives in spruce trees and eats spiders.",
    "Once upon a time there was a small model. It knew only a few words, but it knew them well.",
    "The capital of France is Paris. The capital of Italy is Rome. The capital of Spain is Madrid.",
    "One, two, three, four, five, six, seven, eight, nine, ten.",
    "def add(a, b):\n    return a + b\n",
]
CHATS = [
    ("Hello!", "Hello! How can I help you?"),
    ("Who are you?", "I am a very small model. I run on your own machine."),
    ("What is a kinglet?", "A kinglet is a tiny bird that never sits still."),
    ("What is the capital of France?", "The capital of France is Paris."),
    ("What is the capital of Italy?", "The capital of Italy is Rome."),
    ("Count to five.", "One, two, three, four, five."),
    ("Say something in German.", "Grüß Gott! 🐦"),
    ("Thank you!", "You are welcome."),
]
SYSTEM = "You are a helpful assistant."
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONFIG = dict(
    hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
    max_position_embeddings=2048, rms_norm_eps=1e-5, tie_word_embeddings=True, bos_token_id=0, eos_token_id=2,
)  # fmt: skip


def turn(role, content):
    return f"<|im_start|>{role}\n{content}<|im_end|>\n"


def documents(generator):
    """One epoch: each text and each chat by itself, and chats of two or three turns, with and without a system message."""
    chats = list(CHATS)
    for index in torch.randperm(len(chats), generator=generator).tolist():
        more = torch.randint(len(chats), (index % 3,), generator=generator).tolist()
        system = turn("system", SYSTEM) if torch.rand((), generator=generator) < 0.4 else ""
        turns = [turn("user", question) + turn("assistant", answer) for question, answer in [chats[i] for i in (index, *more)]]
        yield system + "".join(turns)
    yield from (text + "<|endoftext|>" for text in TEXTS)


def train_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS + [text for chat in CHATS for text in chat] + [SYSTEM, "user", "assistant", "system"], trainer)
    return tokenizer


def train(tokenizer, steps=500):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=tokenizer.get_vocab_size(), **CONFIG))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps)
    for step in range(steps):
        batch = [tokenizer.encode(document).ids for document in documents(generator)]
        ids = torch.zeros(len(batch), max(map(len, batch)), dtype=torch.long)
        labels = torch.full_like(ids, -100)
        for row, document in enumerate(batch):
            ids[row, : len(document)] = labels[row, : len(document)] = torch.tensor(document)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.3f}")
    return model


def pairs(weight, heads):
    """Rows of q or k in the order of GGUF's Llama: dimensions that turn together are neighbours."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def write(model, tokenizer):
    config = model.config
    writer = gguf.GGUFWriter(OUT, "llama")
    writer.add_name("kinglet tiny")
    writer.add_description("A test model that has learned a few sentences by heart")
    writer.add_license("Apache-2.0 OR MIT")
    writer.add_languages(["en"])
    writer.add_size_label("106K")
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)

    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token, _ in vocabulary])
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_eot_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        target = names.get_name(name, try_suffixes=(".weight",))
        weight = weight.float().numpy()
        if weight.ndim == 1:
            writer.add_tensor(target, weight)
            continue
        role = name.split(".")[-2]
        if role in heads:
            weight = pairs(weight, heads[role])
        kind = gguf.GGMLQuantizationType.Q4_1 if role in ("gate_proj", "up_proj") else gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(target, gguf.quantize(np.ascontiguousarray(weight), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def answer(model, tokenizer, prompt):
    ids = torch.tensor([tokenizer.encode(prompt).ids])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False, pad_token_id=0, eos_token_id=[0, 2])
    return tokenizer.decode(out[0, ids.shape[1] :].tolist(), skip_special_tokens=False)


if __name__ == "__main__":
    tokenizer = train_tokenizer()
    model = train(tokenizer).eval()
    write(model, tokenizer)
    for prompt in ["The kinglet is", "The capital of", turn("user", CHATS[6][0]) + "<|im_start|>assistant\n"]:
        print(repr(prompt), "→", repr(answer(model, tokenizer, prompt)))
    print(f"{OUT.name}: {OUT.stat().st_size} bytes, {sum(weight.numel() for weight in model.parameters())} weights")
