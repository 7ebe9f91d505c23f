"""Makes tests/fixtures/models/llama/schemes.safetensors: the logits of that model with another scheme in its own's place.

    python tests/reference/make_schemes.py

`tokens` [300], `positions` (every twentieth and the last), and under each scheme's name, as `--position` takes it, `[positions, vocab]` of one
pass in float64. Masks are given to transformers as they are defined; self-extend is the pseudo-code of its paper (Jin et al. 2024,
arXiv:2401.01325, algorithm 1) in the place of transformers' attention. Needs what make.py needs.
"""

import torch
import transformers
from make import OUT, POSITIONS, tokens_for
from safetensors.torch import save_file
from transformers.models.llama import modeling_llama

FOLDER = OUT / "llama"
QUERY, KEY = torch.arange(POSITIONS)[:, None], torch.arange(POSITIONS)[None]
CAUSAL = KEY <= QUERY
MASKS = {
    "file+window:size=23": CAUSAL & (QUERY - KEY < 23),
    "file+chunked:size=37": CAUSAL & (QUERY // 37 == KEY // 37),
    "file+prefix:size=150": CAUSAL | ((QUERY < 150) & (KEY < 150)),
}
SELF_EXTEND = {"rope:self-extend=5,window=33": (5, 33), "rope:self-extend=2,window=200": (2, 200)}
plain_rotation, plain_attention = modeling_llama.apply_rotary_pos_emb, modeling_llama.eager_attention_forward


def model():
    return transformers.LlamaForCausalLM.from_pretrained(FOLDER, dtype=torch.float64, attn_implementation="eager").eval()


def logits(llama, mask=None):
    mask = None if mask is None else torch.zeros(1, 1, *mask.shape, dtype=torch.float64).masked_fill(~mask, -torch.inf)
    with torch.no_grad():
        return llama(tokens_for(llama.config.vocab_size)[None].long(), attention_mask=mask, use_cache=False).logits[0]


def self_extend(llama, group, window):
    """Two score matrices, one with ordinary and one with grouped positions; the second one's from `window` tokens on."""

    def turned(x, positions):
        cos, sin = llama.model.rotary_emb(x, positions[None])
        return plain_rotation(x, x, cos.double(), sin.double())[0]

    def attention(module, query, key, value, mask, scaling, **kwargs):
        key, value = (modeling_llama.repeat_kv(x, module.num_key_value_groups) for x in (key, value))
        own, grouped = torch.arange(POSITIONS), torch.arange(POSITIONS) // group
        near = turned(query, own) @ turned(key, own).transpose(2, 3)
        far = turned(query, grouped + window - window // group) @ turned(key, grouped).transpose(2, 3)
        scores = torch.where(QUERY - KEY < window, near, far) * scaling
        weights = scores.masked_fill(~CAUSAL, -torch.inf).softmax(-1)
        return (weights @ value).transpose(1, 2).contiguous(), weights

    modeling_llama.apply_rotary_pos_emb = lambda q, k, *_: (q, k)
    modeling_llama.eager_attention_forward = attention
    try:
        return logits(llama)
    finally:
        modeling_llama.apply_rotary_pos_emb, modeling_llama.eager_attention_forward = plain_rotation, plain_attention


positions = torch.tensor([*range(0, POSITIONS, 20), POSITIONS - 1], dtype=torch.int32)
own = logits(model())
# With a window that is never left, the attention of the paper is the one of transformers, whose softmax is in float32.
assert (self_extend(model(), 4, POSITIONS) - own).abs().max() < 1e-4
all_logits = {name: logits(model(), mask) for name, mask in MASKS.items()}
all_logits |= {name: self_extend(model(), *sizes) for name, sizes in SELF_EXTEND.items()}
for name, found in all_logits.items():
    assert found.isfinite().all() and (found[-1] - own[-1]).abs().max() > 0.1, name
rows = {name: found[positions.long()].float().contiguous() for name, found in all_logits.items()}
path = FOLDER / "schemes.safetensors"
save_file({"tokens": tokens_for(model().config.vocab_size), "positions": positions, **rows}, path)
path.chmod(0o644)
print(f"{path}: {path.stat().st_size} bytes")
