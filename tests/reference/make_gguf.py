"""Writes the small model files that tests/malformed reads, with the gguf and safetensors packages: every kind of value and array, a
nested array, quantised tensors, a model split into three files, and a Hugging Face folder with shards.

    python tests/reference/make_gguf.py
"""

import json
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGUFValueType as V
from safetensors.numpy import save_file

HERE = Path(__file__).parent / "files"


def values(n, start=0):
    """Small exact numbers: k/8 for k = start, start + 1 …"""
    return ((np.arange(n) + start) % 64).astype(np.float32) / 8


def small():
    w = gguf.GGUFWriter(HERE / "small.gguf", "llama")
    w.add_key_value("kind.u8", 200, V.UINT8)
    w.add_key_value("kind.i8", -100, V.INT8)
    w.add_key_value("kind.u16", 60000, V.UINT16)
    w.add_key_value("kind.i16", -30000, V.INT16)
    w.add_key_value("kind.u32", 4000000000, V.UINT32)
    w.add_key_value("kind.i32", -2000000000, V.INT32)
    w.add_key_value("kind.f32", 0.1, V.FLOAT32)
    w.add_key_value("kind.bool", True, V.BOOL)
    w.add_key_value("kind.text", "Zaunkönig 🐦", V.STRING)
    w.add_key_value("kind.u64", 2**63 + 5, V.UINT64)
    w.add_key_value("kind.i64", -(2**62), V.INT64)
    w.add_key_value("kind.f64", 0.1, V.FLOAT64)
    w.add_key_value("kind.words", ["a", "", "naïve", "<|end|>"], V.ARRAY)
    w.add_key_value("kind.floats", [0.5, -1.25], V.ARRAY)
    w.add_key_value("kind.ints", [3, -1, 2], V.ARRAY, sub_type=V.INT32)
    w.add_key_value("kind.longs", [2**40, 7], V.ARRAY, sub_type=V.UINT64)
    w.add_key_value("kind.bools", [True, False, True], V.ARRAY)
    w.add_key_value("kind.nested", [[1, 2], [3]], V.ARRAY)
    w.add_tensor("vector", values(5))
    w.add_tensor("half", values(12, 3).astype(np.float16).reshape(3, 4))
    w.add_tensor("cube", values(24).reshape(2, 3, 4))
    w.add_tensor("q8", gguf.quants.quantize(values(128).reshape(2, 64), T.Q8_0), raw_dtype=T.Q8_0)
    w.add_tensor("q4", gguf.quants.quantize(values(64).reshape(1, 64), T.Q4_0), raw_dtype=T.Q4_0)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def split():
    w = gguf.GGUFWriter(HERE / "split.gguf", "llama", split_max_tensors=2)
    for i in range(5):
        w.add_tensor(f"tensor.{i}", values(4, i).reshape(2, 2))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def folder():
    out = HERE / "folder"
    out.mkdir(exist_ok=True)
    one = {"embed.weight": values(12).reshape(4, 3), "norm.weight": values(3, 9).astype(np.float16)}
    two = {"head.weight": values(12, 5).reshape(4, 3), "position_ids": np.arange(6, dtype=np.int64)}
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for name, tensors in zip(names, [one, two]):
        save_file(tensors, out / name, metadata={"format": "pt"})
    weight_map = {tensor: name for name, tensors in zip(names, [one, two]) for tensor in tensors}
    (out / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 126}, "weight_map": weight_map}))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 3,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "sliding_window": None,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
        "layer_types": ["sliding_attention", "full_attention"],
    }
    (out / "config.json").write_text(json.dumps(config, indent=1))


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    small()
    split()
    folder()
