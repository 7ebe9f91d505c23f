//! Q4_0: 32 weights of 4 bits with one scale, 4.5 bits per weight.
//!
//! ```text
//! byte 0   d    f16        scale
//!      2   qs   16 bytes   weight i in the low half of byte i, weight 16 + i in the high half
//! w = d · (q − 8)
//! ```

use super::fit::largest;
use super::layout::{bytes_at, f16_at, nibbles, put_f16, put_nibbles};
use super::{Decode, Format, HALF_MAX, Quantize, Unpacked32};

pub(super) const FORMAT: Format = Format {
    id: 2,
    name: "Q4_0",
    block_len: 32,
    block_bytes: 18,
    decode: Decode::Blocks(unpack),
    quantize: Some(Quantize { block: quantize, largest: HALF_MAX }),
};

fn unpack(block: &[u8], _: usize) -> Unpacked32 {
    Unpacked32::symmetric(nibbles(bytes_at(block, 2)), 8, f16_at(block, 0))
}

/// The weight of the largest magnitude becomes exactly −8.
fn quantize(weights: &[f32], block: &mut [u8]) {
    let d = largest(weights) / -8.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    put_f16(block, 0, d);
    put_nibbles(block, 2, |i| ((weights[i] * inverse + 8.5) as u8).min(15));
}
