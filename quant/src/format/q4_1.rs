//! Q4_1: 32 weights of 4 bits with a scale and a minimum, 5 bits per weight.
//!
//! ```text
//! byte 0   d    f16        scale
//!      2   m    f16        minimum
//!      4   qs   16 bytes   weight i in the low half of byte i, weight 16 + i in the high half
//! w = d · q + m
//! ```

use super::fit::range;
use super::layout::{bytes_at, f16_at, nibbles, put_f16, put_nibbles};
use super::{Decode, Format, HALF_MAX, Quantize, Unpacked32};

pub(super) const FORMAT: Format = Format {
    id: 3,
    name: "Q4_1",
    block_len: 32,
    block_bytes: 20,
    decode: Decode::Blocks(unpack),
    quantize: Some(Quantize { block: quantize, largest: HALF_MAX }),
};

fn unpack(block: &[u8], _: usize) -> Unpacked32 {
    Unpacked32 { sub_min: [1; 2], min: f16_at(block, 2), ..Unpacked32::symmetric(nibbles(bytes_at(block, 4)), 0, f16_at(block, 0)) }
}

/// The least weight becomes 0, the greatest 15.
fn quantize(weights: &[f32], block: &mut [u8]) {
    let (least, greatest) = range(weights);
    let d = (greatest - least) / 15.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    put_f16(block, 0, d);
    put_f16(block, 2, least);
    put_nibbles(block, 4, |i| (((weights[i] - least) * inverse + 0.5) as u8).min(15));
}
