//! Q8_0: 32 weights of 8 bits with one scale, 8.5 bits per weight.
//!
//! ```text
//! byte 0   d    f16        scale
//!      2   qs   32 × i8    weights in order
//! w = d · q
//! ```

use super::layout::{bytes_at, f16_at};
use super::{Decode, Format, Unpacked32};

pub(super) const FORMAT: Format = Format { id: 8, name: "Q8_0", block_len: 32, block_bytes: 34, decode: Decode::Blocks(unpack) };

fn unpack(block: &[u8], _: usize) -> Unpacked32 {
    // Flipping the sign bit of a two's-complement byte adds 128.
    Unpacked32::symmetric(bytes_at::<32>(block, 2).map(|q| q ^ 0x80), 128, f16_at(block, 0))
}
