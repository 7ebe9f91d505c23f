//! IQ4_XS: super-blocks of 256 weights that index IQ4_NL's table; every 32 weights have a signed 6-bit scale, 4.25 bits per weight.
//!
//! ```text
//! byte 0   d          f16         scale of the scales
//!      2   scales_h   u16         high 2 bits of the eight scales, the first one lowest
//!      4   scales_l   4 bytes     low 4 bits: scale s in half s % 2 of byte s / 2
//!      8   qs         128 bytes   for every 32 weights 16 bytes, as in IQ4_NL
//! w = (d · (scale − 32)) · table[q]
//! ```

use super::iq4_nl::{OFFSET, TABLE};
use super::layout::{bytes_at, f16_at, nibbles};
use super::{Decode, Format, Unpacked32};

pub(super) const FORMAT: Format =
    Format { id: 23, name: "IQ4_XS", block_len: 256, block_bytes: 136, decode: Decode::Blocks(unpack), quantize: None };

fn unpack(block: &[u8], sub: usize) -> Unpacked32 {
    let high = (u16::from_le_bytes(*bytes_at(block, 2)) >> (2 * sub)) & 3;
    let low = (block[4 + sub / 2] >> (4 * (sub % 2))) & 15;
    let q = nibbles(bytes_at(block, 8 + 16 * sub)).map(|index| TABLE[usize::from(index)]);
    let scale = i32::from(low) + 16 * i32::from(high) - 32;
    Unpacked32 { sub_scale: [scale; 2], ..Unpacked32::symmetric(q, OFFSET, f16_at(block, 0)) }
}
