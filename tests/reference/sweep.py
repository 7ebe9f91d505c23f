"""Compares kinglet with transformers over random configurations of each family, as somebody who checks kinglet from outside would.

    python tests/reference/sweep.py [--kinglet PROGRAM] [--count N] [--seed S] [FAMILY ...]
    PYTHONPATH=LLAMA_CPP:LLAMA_CPP/gguf-py python tests/reference/sweep.py --gguf …

Each case is a folder as transformers' `save_pretrained` writes it, of a tiny random model (make.py's large weights) whose sizes and
options are drawn at random; then keys of its `config.json` are left out or spelled as transformers 4 did, and transformers reads the
folder again in float64. 300 positions through `kinglet logits --reference` may differ by 1e-3, or by as much as transformers in float32
does; its angles are of float32 in either, so that a rotation through large angles may exceed that a little. A case is one line only where
something is wrong: `WRONG` where numbers differ, `REFUSED` with kinglet's words where it does not read the folder, `THEIRS` where
transformers itself fails. Such folders stay in `--scratch`.

With `--gguf` kinglet reads what llama.cpp's converter makes of the folder (sweep_gguf.py), of options that it has words for; then the keys
that are left out and spelled as before are GGUF's, and q, k and v may lie in one tensor.
"""

import argparse
import collections
import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import sweep_gguf
import torch
import transformers
from make import POSITIONS, mend, randomise
from safetensors.torch import load_file
from sweep_families import FAMILIES, Draw

ROOT = Path(__file__).resolve().parent.parent.parent
BOUND = 1e-3


def without_some_keys(d, settings):
    """What the configuration class assumes of keys that are missing, kinglet must assume too. Sizes stay: their defaults are large."""
    kept = {"model_type", "architectures", "vocab_size", "pad_token_id", "layer_types", "attn_config", "num_local_experts", "num_experts",
        "moe_intermediate_size", "word_embed_proj_dim", "decoder_start_token_id", "rope_parameters", "feed_forward_proj"}  # fmt: skip
    sizes = ("size", "dim", "layers", "layer", "heads", "head", "inner", "positions", "embd", "embeddings", "model", "kv", "ff", "seq_len")
    keys = [key for key in settings if key not in kept and not key.endswith(sizes) and d.flip(0.1)]
    for key in keys:
        del settings[key]
    return keys


def as_before_5(d, settings):
    """The rotation as transformers 4 spelled it."""
    rope = settings.get("rope_parameters")
    # Transformers reads OLMo 3's base for the first kind of layer only.
    if not rope or settings["model_type"] == "olmo3" or not d.flip(0.3):
        return []
    del settings["rope_parameters"]
    sliding = rope.get("sliding_attention") or {}
    full = dict(rope.get("full_attention") or rope)
    theta, share = full.pop("rope_theta", None), full.pop("partial_rotary_factor", None)
    model_type = settings["model_type"]
    if model_type == "gpt_neox":
        settings |= {key: value for key, value in (("rotary_emb_base", theta), ("rotary_pct", share)) if value is not None}
    elif model_type == "modernbert":
        settings |= {key: value for key, value in (("global_rope_theta", theta), ("local_rope_theta", sliding.get("rope_theta"))) if value}
    else:
        settings |= {key: value for key, value in (("rope_theta", theta), ("partial_rotary_factor", share)) if value is not None}
        if sliding:
            settings["rope_local_base_freq"] = sliding.get("rope_theta", 10000.0)
    if full.get("rope_type", "default") != "default":
        settings["rope_scaling"] = full
        # The older word is lost on classes with a rotation for each kind of layer.
        if d.flip() and not sliding:
            full["type"] = full.pop("rope_type")
    else:
        settings["rope_scaling"] = None
    return ["rope_parameters -> old"]


class Case:
    """One random model of a family, and what transformers computes for it."""

    def __init__(self, family, seed, folder, as_gguf=False):
        self.d = d = Draw(f"{family} {seed}")
        kind, options, *classes = FAMILIES[family]
        self.kind, self.folder, self.name = kind, folder, f"{family} {seed}"
        self.changes = []
        if as_gguf:
            classes = [name for name in classes if name not in sweep_gguf.UNKNOWN]
        class_name = d.choice(classes or [f"{kind.removesuffix('Text')}ForCausalLM"])
        self.model_class = getattr(transformers, class_name)
        config_class = getattr(transformers, f"{kind}Config")
        self.options = sweep_gguf.SAID[family](d, options(d)) if as_gguf else options(d)
        shutil.rmtree(folder, ignore_errors=True)
        config_class(**self.options).save_pretrained(folder)
        settings = json.loads((folder / "config.json").read_text())
        self.changes = [] if as_gguf else [*without_some_keys(d, settings), *as_before_5(d, settings)]
        settings["architectures"] = [class_name]
        text = json.dumps(settings, indent=1)
        (folder / "config.json").write_text(text)
        self.config = config_class.from_pretrained(folder)
        model = self.model_class(self.config).double()
        if "T5" in kind:
            import make_t5

            make_t5.randomise(model, torch.Generator().manual_seed(seed))
        else:
            randomise(model, torch.Generator().manual_seed(seed))
        self.hidden = not hasattr(model, "lm_head") and not hasattr(model, "embed_out") and not hasattr(model, "lm_loss")
        self.hidden |= any(part in class_name for part in ("MaskedLM", "Encoder")) or self.options.get("attn_type") == "bi"
        dtype, tied = d.of(torch.float32, torch.float16, torch.bfloat16), getattr(self.config, "tie_word_embeddings", True)
        saved = model.to(dtype)
        if tied and not as_gguf and not self.hidden and "T5" not in kind and d.flip(0.15):
            saved = saved.base_model
            self.changes.append("base class")
        sharded = d.flip(0.15)
        saved.save_pretrained(folder, **(dict(max_shard_size="2KB") if sharded else {}))
        self.changes += ["shards"] if sharded else []
        (folder / "config.json").write_text(text)
        (folder / "generation_config.json").unlink(missing_ok=True)
        rng = random.Random(seed)
        self.tokens = [rng.randrange(self.config.vocab_size) for _ in range(POSITIONS)]
        self.text = [rng.randrange(self.config.vocab_size) for _ in range(rng.choice([1, 7, 90, 300]))]
        self.path = folder
        if as_gguf:
            # The converter cuts the padding's position off.
            other = {self.config.pad_token_id: 2} if "oberta" in class_name.lower() else {}
            self.tokens = [other.get(token, token) for token in self.tokens]
            self.path = folder / "model.gguf"
            self.changes += sweep_gguf.convert(d, folder, self.path, dtype)

    def theirs(self, dtype):
        """What transformers computes, and how near a router was to another choice."""
        attention = "sdpa" if getattr(self.config, "alibi", False) else "eager"
        extra = dict(experts_implementation="eager") if "Moe" in self.kind or self.kind == "Mixtral" else {}
        model = self.model_class.from_pretrained(self.folder, dtype=dtype, attn_implementation=attention, **extra)
        # Buffers in a type of their own stay so.
        model = mend(model.double() if dtype == torch.float64 else model).eval()
        margins = []

        def watch(module, inputs, outputs):
            ranked = outputs[0].sort(dim=-1, descending=True).values
            if ranked.shape[-1] > module.top_k:
                margins.append((ranked[:, module.top_k - 1] - ranked[:, module.top_k]).min().item())

        for module in model.modules():
            if type(module).__name__.endswith("TopKRouter"):
                module.register_forward_hook(watch)
        ids = torch.tensor([self.tokens])
        torch.set_default_dtype(dtype if self.kind == "XGLM" else torch.float32)
        with torch.no_grad():
            if self.hidden:
                base = getattr(model, model.base_model_prefix, model)
                base = base.encoder if "T5" in self.kind else base
                out = base(ids).last_hidden_state[0]
            elif "T5" in self.kind:
                out = model(input_ids=torch.tensor([self.text]), decoder_input_ids=ids, use_cache=False).logits[0]
            else:
                out = model(ids, use_cache=False).logits[0]
        torch.set_default_dtype(torch.float32)
        return out.double(), min(margins, default=1.0)

    def kinglets(self, program):
        """What kinglet computes, or its words."""
        out = self.folder / "out.safetensors"
        command = [program, "logits", "-m", self.path, "--reference", "--threads", "1", "-o", out]
        listed = lambda ids: ",".join(map(str, ids))  # noqa: E731
        if not self.hidden and "T5" in self.kind:
            command += ["--tokens", listed(self.text), "--decoder-tokens", listed(self.tokens)]
        else:
            command += ["--tokens", listed(self.tokens)]
        command += ["--hidden"] if self.hidden else []
        run = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if run.returncode:
            return " ".join(run.stderr.split())
        return next(iter(load_file(out).values())).double()


def check(family, seed, program, folder, as_gguf):
    """One word on a case, and what there is to say."""
    try:
        case = Case(family, seed, folder, as_gguf)
        exact, margin = case.theirs(torch.float64)
    except Exception as error:  # noqa: BLE001
        return "THEIRS", "".join(traceback.format_exception_only(error)).strip()[:200]
    finally:
        torch.set_default_dtype(torch.float32)
    if margin < 1e-4 or not exact.isfinite().all():
        return "skipped", ""
    found = case.kinglets(program)
    about = f"{case.changes} {case.options}"
    if isinstance(found, str):
        return "REFUSED", f"{found}\n    {about}"
    if found.shape != exact.shape:
        return "WRONG", f"shape {list(found.shape)} for {list(exact.shape)}\n    {about}"
    difference = (found - exact).abs().max().item()
    if difference <= BOUND:
        return "same", ""
    with contextlib.suppress(Exception):
        rounding = (case.theirs(torch.float32)[0] - exact).abs().max().item()
        if difference <= 4 * rounding:
            return "rounding", ""
        return "WRONG", f"{difference:.1e} of {exact.std():.1e}, f32 {rounding:.1e}\n    {about}"
    return "WRONG", f"{difference:.1e} of {exact.std():.1e}\n    {about}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinglet", type=Path, default=ROOT / "target/release/kinglet")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "kinglet-sweep")
    parser.add_argument("--gguf", action="store_true", help="as llama.cpp's converter writes the folders")
    parser.add_argument("families", nargs="*")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    wrong = 0
    for family in arguments.families or (sweep_gguf.SAID if arguments.gguf else FAMILIES):
        verdicts = collections.Counter()
        for seed in range(arguments.seed, arguments.seed + arguments.count):
            folder = arguments.scratch / f"{family}-{seed}"
            verdict, words = check(family, seed, arguments.kinglet, folder, arguments.gguf)
            verdicts[verdict] += 1
            wrong += verdict == "WRONG"
            if verdict.isupper():
                print(f"{verdict} {family} {seed}: {words}", flush=True)
            else:
                shutil.rmtree(folder, ignore_errors=True)
        print(f"{family}: {', '.join(f'{n} {verdict}' for verdict, n in sorted(verdicts.items()))}", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
