//! Q5_1: 32 weights of 5 bits with a scale and a minimum, 6 bits per weight.
//!
//! ```text
//! byte 0   d    f16        scale
//!      2   m    f16        minimum
//!      4   qh   u32        bit i is the highest bit of weight i
//!      8   qs   16 bytes   low 4 bits: weight i in the low half of byte i, weight 16 + i in the high half
//! w = d · q + m
//! ```

use super::layout::{bytes_at, f16_at, fifth_bits, nibbles};
use super::{Decode, Format, Unpacked32};

pub(super) const FORMAT: Format = Format { id: 7, name: "Q5_1", block_len: 32, block_bytes: 24, decode: Decode::Blocks(unpack) };

fn unpack(block: &[u8], _: usize) -> Unpacked32 {
    let q = fifth_bits(nibbles(bytes_at(block, 8)), u32::from_le_bytes(*bytes_at(block, 4)));
    Unpacked32 { sub_min: [1; 2], min: f16_at(block, 2), ..Unpacked32::symmetric(q, 0, f16_at(block, 0)) }
}
