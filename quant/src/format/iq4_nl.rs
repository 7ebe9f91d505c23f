//! IQ4_NL: 32 weights of 4 bits that index a table of 16 unevenly spaced values, with one scale, 4.5 bits per weight.
//!
//! ```text
//! byte 0   d    f16        scale
//!      2   qs   16 bytes   weight i in the low half of byte i, weight 16 + i in the high half
//! w = d · table[q]
//! ```

use super::layout::{bytes_at, f16_at, nibbles};
use super::{Decode, Format, Unpacked32};

pub(super) const FORMAT: Format =
    Format { id: 20, name: "IQ4_NL", block_len: 32, block_bytes: 18, decode: Decode::Blocks(unpack), quantize: None };

/// The values, plus 128: −127, −104, −83, −65, −49, −35, −22, −10, 1, 13, 25, 38, 53, 69, 89, 113. Denser around zero, where most
/// weights are.
pub(crate) const TABLE: [u8; 16] = [1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241];

/// What [`TABLE`] is moved up by.
pub(super) const OFFSET: i32 = 128;

fn unpack(block: &[u8], _: usize) -> Unpacked32 {
    let q = nibbles(bytes_at(block, 2)).map(|index| TABLE[usize::from(index)]);
    Unpacked32::symmetric(q, OFFSET, f16_at(block, 0))
}
