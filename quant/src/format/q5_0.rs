//! Q5_0: 32 weights of 5 bits with one scale, 5.5 bits per weight.
//!
//! ```text
//! byte 0   d    f16        scale
//!      2   qh   u32        bit i is the highest bit of weight i
//!      6   qs   16 bytes   low 4 bits: weight i in the low half of byte i, weight 16 + i in the high half
//! w = d · (q − 16)
//! ```

use super::layout::{bytes_at, f16_at, fifth_bits, nibbles};
use super::{Decode, Format, Unpacked32};

pub(super) const FORMAT: Format = Format { id: 6, name: "Q5_0", block_len: 32, block_bytes: 22, decode: Decode::Blocks(unpack) };

fn unpack(block: &[u8], _: usize) -> Unpacked32 {
    let q = fifth_bits(nibbles(bytes_at(block, 6)), u32::from_le_bytes(*bytes_at(block, 2)));
    Unpacked32::symmetric(q, 16, f16_at(block, 0))
}
