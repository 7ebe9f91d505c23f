//! F32, F16 and BF16: a weight is a number of its own, little-endian, without blocks. Widening to f32 is exact, narrowing rounds to
//! the nearest (ties to even).

use super::{Decode, Format, HALF_MAX, Quantize};
use half::{bf16, f16};

pub(super) const F32: Format = Format {
    id: 0,
    name: "F32",
    block_len: 1,
    block_bytes: 4,
    decode: Decode::Floats(|bytes, out| widen(bytes, out, f32::from_le_bytes)),
    quantize: Some(Quantize { block: |w, out| out.copy_from_slice(&w[0].to_le_bytes()), largest: f32::MAX }),
};

pub(super) const F16: Format = Format {
    id: 1,
    name: "F16",
    block_len: 1,
    block_bytes: 2,
    decode: Decode::Floats(|bytes, out| widen(bytes, out, |b| f16::from_le_bytes(b).to_f32())),
    quantize: Some(Quantize { block: |w, out| out.copy_from_slice(&f16::from_f32(w[0]).to_le_bytes()), largest: HALF_MAX }),
};

pub(super) const BF16: Format = Format {
    id: 30,
    name: "BF16",
    block_len: 1,
    block_bytes: 2,
    decode: Decode::Floats(|bytes, out| widen(bytes, out, |b| bf16::from_le_bytes(b).to_f32())),
    quantize: Some(Quantize {
        block: |w, out| out.copy_from_slice(&bf16::from_f32(w[0]).to_le_bytes()),
        largest: bf16::MAX.to_f32_const(),
    }),
};

fn widen<const N: usize>(bytes: &[u8], out: &mut [f32], one: impl Fn([u8; N]) -> f32) {
    for (weight, &stored) in out.iter_mut().zip(bytes.as_chunks().0) {
        *weight = one(stored);
    }
}
