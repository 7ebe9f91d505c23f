#!/usr/bin/env python3
"""Makes tests/fixtures/: blocks of every format and what others' code makes of them.

    <format>.blocks      random blocks, and blocks with extreme scales and all bits set or clear
    <format>.f32         their weights, by the gguf Python package
    weights.f32          eight rows of 256 weights of different character (see `rows`)
    <format>.quantized   the rows as quantised by llama.cpp's C code (by the gguf package for F16 and BF16)

The C code is ggml-quants.c of a llama.cpp checkout, compiled on the spot with the flags of a default build (no fused multiply-add):

    pip install gguf==0.19.0
    python3 make_formats.py PATH/TO/llama.cpp
"""

import ctypes
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf import quants

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"

# Where the f16 fields of a block are.
HALF_FIELDS = {
    T.F32: [], T.F16: [0], T.BF16: [], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0], T.IQ4_XS: [0], T.MXFP4: [],
}
# Written by llama.cpp's `quantize_row_<name>_ref`.
BY_C = {T.Q4_0: "q4_0", T.Q4_1: "q4_1", T.Q5_0: "q5_0", T.Q5_1: "q5_1", T.Q8_0: "q8_0", T.Q4_K: "q4_K", T.Q5_K: "q5_K", T.Q6_K: "q6_K"}
BY_GGUF = [T.F16, T.BF16]

# Largest, smallest, largest subnormal, smallest subnormal halves, both signs, zeros, one.
EXTREME_HALVES = [0x7BFF, 0xFBFF, 0x0400, 0x8400, 0x03FF, 0x83FF, 0x0001, 0x8001, 0x0000, 0x8000, 0x3C00]


def blocks(ty, rng):
    """[n, block bytes] u8: four random blocks, then a block of ones, zeros or random bits for each extreme scale."""
    size = GGML_QUANT_SIZES[ty][1]
    random = rng.integers(0, 256, (4, size), dtype=np.uint8)
    put_halves(random, HALF_FIELDS[ty], rng.normal(0, 0.01, (4, 2)).astype(np.float16).view(np.uint16))
    extreme = rng.integers(0, 256, (len(EXTREME_HALVES), size), dtype=np.uint8)
    extreme[0::3] = 0xFF
    extreme[1::3] = 0x00
    halves = np.array(EXTREME_HALVES, dtype=np.uint16)
    put_halves(extreme, HALF_FIELDS[ty], np.stack([halves, np.roll(halves, 3)], axis=1))
    if ty == T.MXFP4:  # an exponent, not a half: the two subnormal ones, the smallest normal, one, the largest
        extreme[:, 0] = [0, 1, 2, 127, 255, 254, 0, 1, 2, 128, 200]
    return np.concatenate([random, extreme])


def put_halves(blocks, fields, halves):
    for k, at in enumerate(fields):
        blocks[:, at : at + 2] = halves[:, k : k + 1].view(np.uint8).reshape(-1, 2)


def floats(ty, rng):
    """[n, bytes] of the plain types: random numbers of all sizes, zeros, subnormals, the largest."""
    bits = {T.F32: 32, T.F16: 16, T.BF16: 16}[ty]
    unsigned = np.uint32 if bits == 32 else np.uint16
    exponent = {T.F32: 0x7F800000, T.F16: 0x7C00, T.BF16: 0x7F80}[ty]
    random = rng.integers(0, 1 << bits, 200, dtype=np.uint64).astype(unsigned)
    random = np.where(random & exponent == exponent, random ^ (exponent & -exponent), random)  # no infinity, no NaN
    sign = 1 << (bits - 1)
    extreme = [m | s for s in (0, sign) for m in (0, 1, exponent - 1, exponent & -exponent, (exponent & -exponent) - 1)]
    return np.concatenate([random.astype(unsigned), np.array(extreme, dtype=unsigned)]).view(np.uint8)


def rows(rng):
    """Rows as they come in models, and rows that break careless code."""
    gauss = rng.normal(0, 0.02, (2, 256))
    heavy = rng.standard_t(2, 256) * 0.01
    positive = rng.uniform(0.5, 1.5, 256)
    outlier = np.where(np.arange(256) == 77, 30.0, rng.normal(0, 0.01, 256))
    parts = np.concatenate([np.zeros(64), np.full(64, 0.25), np.full(64, -0.25), np.tile([1e-9, -1e-9], 32)])
    large = rng.uniform(-60000, 60000, 256)
    small = rng.normal(0, 1e-6, 256)
    return np.concatenate([gauss, np.stack([heavy, positive, outlier, parts, large, small])]).astype(np.float32)


def compile_ggml(llama_cpp, folder):
    src = pathlib.Path(llama_cpp) / "ggml" / "src"
    out = pathlib.Path(folder) / "libggml-quants.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O3", "-DNDEBUG", "-D_GNU_SOURCE", "-std=gnu11", f"-I{src}", f"-I{src.parent / 'include'}",
         "-o", out, src / "ggml-quants.c", "-lm"],
        check=True,
    )
    return ctypes.CDLL(str(out), mode=ctypes.RTLD_LOCAL | 1)  # 1: bind lazily, most of ggml is not there


def quantize_by_c(ggml, ty, weights):
    block_len, block_bytes = GGML_QUANT_SIZES[ty]
    out = np.zeros(weights.size // block_len * block_bytes, dtype=np.uint8)
    quantize = ggml[f"quantize_row_{BY_C[ty]}_ref"]
    quantize.restype = None
    quantize(weights.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(weights.size))
    return out


def main(llama_cpp):
    FIXTURES.mkdir(exist_ok=True)
    rng = np.random.default_rng(20)
    weights = rows(rng)
    (FIXTURES / "weights.f32").write_bytes(weights.tobytes())
    with tempfile.TemporaryDirectory() as folder, np.errstate(over="ignore"):
        ggml = compile_ggml(llama_cpp, folder)
        for ty in HALF_FIELDS:
            name = ty.name.lower()
            stored = floats(ty, rng) if ty in (T.F32, T.F16, T.BF16) else blocks(ty, rng).reshape(-1)
            (FIXTURES / f"{name}.blocks").write_bytes(stored.tobytes())
            (FIXTURES / f"{name}.f32").write_bytes(quants.dequantize(stored, ty).astype(np.float32).tobytes())
            if ty in BY_C:
                (FIXTURES / f"{name}.quantized").write_bytes(quantize_by_c(ggml, ty, weights).tobytes())
            elif ty in BY_GGUF:
                (FIXTURES / f"{name}.quantized").write_bytes(quants.quantize(weights, ty).tobytes())
            if ty in BY_C and ty not in (T.Q4_K, T.Q5_K, T.Q6_K):
                same = np.mean(quants.quantize(weights, ty).reshape(-1) == quantize_by_c(ggml, ty, weights))
                print(f"{ty.name}: {same:.2%} of the bytes are the same by the gguf package")


if __name__ == "__main__":
    main(sys.argv[1])
