//! F32, F16 and BF16: a weight is a number of its own, little-endian, without blocks. Widening to f32 is exact.

use super::{Decode, Format};
use half::{bf16, f16};

pub(super) const F32: Format =
    Format { id: 0, name: "F32", block_len: 1, block_bytes: 4, decode: Decode::Floats(|bytes, out| widen(bytes, out, f32::from_le_bytes)) };

pub(super) const F16: Format = Format {
    id: 1,
    name: "F16",
    block_len: 1,
    block_bytes: 2,
    decode: Decode::Floats(|bytes, out| widen(bytes, out, |b| f16::from_le_bytes(b).to_f32())),
};

pub(super) const BF16: Format = Format {
    id: 30,
    name: "BF16",
    block_len: 1,
    block_bytes: 2,
    decode: Decode::Floats(|bytes, out| widen(bytes, out, |b| bf16::from_le_bytes(b).to_f32())),
};

fn widen<const N: usize>(bytes: &[u8], out: &mut [f32], one: impl Fn([u8; N]) -> f32) {
    for (weight, &stored) in out.iter_mut().zip(bytes.as_chunks().0) {
        *weight = one(stored);
    }
}
