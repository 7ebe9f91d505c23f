//! Q8_0: 32 weights of 8 bits with one scale, 8.5 bits per weight.
//!
//! ```text
//! byte 0   d    f16        scale
//!      2   qs   32 × i8    weights in order
//! w = d · q
//! ```

use super::fit::largest;
use super::layout::{bytes_at, f16_at, put_f16};
use super::{Decode, Format, HALF_MAX, Quantize, Unpacked32};

pub(super) const FORMAT: Format = Format {
    id: 8,
    name: "Q8_0",
    block_len: 32,
    block_bytes: 34,
    decode: Decode::Blocks(unpack),
    quantize: Some(Quantize { block: quantize, largest: HALF_MAX }),
};

fn unpack(block: &[u8], _: usize) -> Unpacked32 {
    // Flipping the sign bit of a two's-complement byte adds 128.
    Unpacked32::symmetric(bytes_at::<32>(block, 2).map(|q| q ^ 0x80), 128, f16_at(block, 0))
}

/// The weight of the largest magnitude becomes ±127; −128 is never used.
fn quantize(weights: &[f32], block: &mut [u8]) {
    let d = largest(weights).abs() / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    put_f16(block, 0, d);
    for (q, w) in block[2..].iter_mut().zip(weights) {
        *q = (w * inverse).round() as i8 as u8;
    }
}
