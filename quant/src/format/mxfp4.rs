//! MXFP4: 32 weights as 4-bit floats (E2M1) that share a power of two, 4.25 bits per weight; OCP's microscaling format.
//!
//! ```text
//! byte 0   e    u8         exponent: the scale is 2^(e − 127), stored without a mantissa (E8M0)
//!      1   qs   16 bytes   weight i in the low half of byte i, weight 16 + i in the high half
//! w = 2^(e − 128) · table[q]      the table holds the doubled E2M1 values, which are whole numbers
//! ```

use super::layout::{bytes_at, nibbles};
use super::{Decode, Format, Unpacked32};

pub(super) const FORMAT: Format =
    Format { id: 39, name: "MXFP4", block_len: 32, block_bytes: 17, decode: Decode::Blocks(unpack), quantize: None };

/// The doubled values, plus 12: 0, 1, 2, 3, 4, 6, 8, 12 and the same with a minus.
const TABLE: [u8; 16] = [12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0];

fn unpack(block: &[u8], _: usize) -> Unpacked32 {
    let q = nibbles(bytes_at(block, 1)).map(|index| TABLE[usize::from(index)]);
    Unpacked32::symmetric(q, 12, half_power(block[0]))
}

/// `2^(e − 128)`; the two smallest are subnormal.
fn half_power(e: u8) -> f32 {
    f32::from_bits(if e < 2 { 0x0020_0000 << e } else { (u32::from(e) - 1) << 23 })
}
