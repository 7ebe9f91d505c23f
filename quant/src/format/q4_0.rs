//! Q4_0: 32 weights of 4 bits with one scale, 4.5 bits per weight.
//!
//! ```text
//! byte 0   d    f16        scale
//!      2   qs   16 bytes   weight i in the low half of byte i, weight 16 + i in the high half
//! w = d · (q − 8)
//! ```

use super::layout::{bytes_at, f16_at, nibbles};
use super::{Decode, Format, Unpacked32};

pub(super) const FORMAT: Format = Format { id: 2, name: "Q4_0", block_len: 32, block_bytes: 18, decode: Decode::Blocks(unpack) };

fn unpack(block: &[u8], _: usize) -> Unpacked32 {
    Unpacked32::symmetric(nibbles(bytes_at(block, 2)), 8, f16_at(block, 0))
}
