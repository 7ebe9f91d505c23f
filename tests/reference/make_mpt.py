"""Makes mpt-normed.gguf of tests/fixtures/models: an MPT as no converter of today writes one and llama.cpp reads.

    python tests/reference/make_mpt.py

All queries and all keys are normed (SEA-LION's `qk_ln`), a learned position is added to each token beside ALiBi, and the biases of q, k and
v lie apart though their matrices are one tensor. transformers has none of that: here it is hooked onto its class, in float64.
"""

import argparse

import gguf
import torch
import transformers
from make import OUT, randomise, save_expected, tokens_for

NAME, WIDTH, HEADS, LENGTH, LAYERS = "mpt-normed", 12, 3, 304, 1


class Normed(torch.nn.Module):
    """transformers' MPT with what it lacks."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.model = transformers.MptForCausalLM(config).double()
        self.positions = torch.nn.Embedding(LENGTH, WIDTH)
        self.biases = torch.nn.ModuleList(torch.nn.Linear(1, 3 * WIDTH) for _ in range(LAYERS))
        self.norms = torch.nn.ModuleList(
            torch.nn.ModuleList(torch.nn.LayerNorm(WIDTH, eps=config.layer_norm_epsilon) for _ in "qk") for _ in range(LAYERS)
        )
        self.model.transformer.wte.register_forward_hook(lambda _, ids, x: x + self.positions.weight[: ids[0].shape[1]])
        for block, bias, norms in zip(self.model.transformer.blocks, self.biases, self.norms):
            block.attn.Wqkv.register_forward_hook(lambda _, __, x, bias=bias.bias, norms=norms: self.normed(x + bias, *norms))

    @staticmethod
    def normed(qkv, q_norm, k_norm):
        q, k, v = qkv.chunk(3, dim=-1)
        return torch.cat([q_norm(q), k_norm(k), v], dim=-1)

    def forward(self, ids, use_cache):
        return self.model(ids, use_cache=use_cache)

    def tensors(self):
        """Named as in GGUF."""
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.MPT, LAYERS)
        for name, weight in self.model.named_parameters():
            yield names.get_name(name, try_suffixes=(".weight",)), weight
        yield "position_embd.weight", self.positions.weight
        for layer in range(LAYERS):
            stem = f"blk.{layer}.attn_"
            yield from ((f"{stem}{part}.bias", bias) for part, bias in zip("qkv", self.biases[layer].bias.chunk(3)))
            for part, norm in zip("qk", self.norms[layer]):
                yield f"{stem}{part}_norm.weight", norm.weight
                yield f"{stem}{part}_norm.bias", norm.bias


def main():
    config = transformers.MptConfig(
        d_model=WIDTH, n_layers=LAYERS, n_heads=HEADS, max_seq_len=LENGTH, vocab_size=40, bos_token_id=None, eos_token_id=None
    )
    model = Normed(config).double()
    randomise(model, torch.Generator().manual_seed(0))
    path = OUT / f"{NAME}.gguf"
    writer = gguf.GGUFWriter(path, "mpt")
    writer.add_context_length(LENGTH)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(4 * WIDTH)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    writer.add_max_alibi_bias(config.attn_config.alibi_bias_max)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("none")
    for name, weight in model.tensors():
        kept = weight.detach().to(torch.float32 if weight.dim() == 1 else torch.float16)
        weight.data.copy_(kept)
        writer.add_tensor(name, kept.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_expected(OUT / f"{NAME}.expected.safetensors", model, tokens_for(config.vocab_size))
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    main()
