//! Q5_1: 32 weights of 5 bits with a scale and a minimum, 6 bits per weight.
//!
//! ```text
//! byte 0   d    f16        scale
//!      2   m    f16        minimum
//!      4   qh   u32        bit i is the highest bit of weight i
//!      8   qs   16 bytes   low 4 bits: weight i in the low half of byte i, weight 16 + i in the high half
//! w = d · q + m
//! ```

use super::fit::range;
use super::layout::{bytes_at, f16_at, gather_fifth_bits, nibbles, put_f16, put_nibbles, with_fifth_bits};
use super::{Decode, Format, HALF_MAX, Quantize, Unpacked32};

pub(super) const FORMAT: Format = Format {
    id: 7,
    name: "Q5_1",
    block_len: 32,
    block_bytes: 24,
    decode: Decode::Blocks(unpack),
    quantize: Some(Quantize { block: quantize, largest: HALF_MAX }),
};

fn unpack(block: &[u8], _: usize) -> Unpacked32 {
    let q = with_fifth_bits(nibbles(bytes_at(block, 8)), u32::from_le_bytes(*bytes_at(block, 4)));
    Unpacked32 { sub_min: [1; 2], min: f16_at(block, 2), ..Unpacked32::symmetric(q, 0, f16_at(block, 0)) }
}

/// The least weight becomes 0, the greatest 31.
fn quantize(weights: &[f32], block: &mut [u8]) {
    let (least, greatest) = range(weights);
    let d = (greatest - least) / 31.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let q: [u8; 32] = std::array::from_fn(|i| (((weights[i] - least) * inverse + 0.5) as u8).min(31));
    put_f16(block, 0, d);
    put_f16(block, 2, least);
    block[4..8].copy_from_slice(&gather_fifth_bits(&q).to_le_bytes());
    put_nibbles(block, 8, |i| q[i] & 15);
}
