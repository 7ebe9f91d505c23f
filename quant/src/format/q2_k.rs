//! Q2_K: super-blocks of 256 weights of 2 bits; every 16 weights have a 4-bit scale and a 4-bit minimum, 2.625 bits per weight.
//!
//! ```text
//! byte  0   scales   16 bytes   of 16 weights each: scale in the low half, minimum in the high half
//!      16   qs       64 bytes   weight 128·n + 32·k + l in bits 2k, 2k + 1 of byte 32·n + l
//!      80   d        f16        scale of the scales
//!      82   dmin     f16        scale of the minima
//! w = (d · scale) · q − dmin · minimum
//! ```

use super::layout::{crumbs, f16_at};
use super::{Decode, Format, Unpacked32};

pub(super) const FORMAT: Format =
    Format { id: 10, name: "Q2_K", block_len: 256, block_bytes: 84, decode: Decode::Blocks(unpack), quantize: None };

fn unpack(block: &[u8], sub: usize) -> Unpacked32 {
    let packed = [block[2 * sub], block[2 * sub + 1]];
    Unpacked32 {
        q: crumbs(&block[16..80], sub),
        offset: 0,
        scale: f16_at(block, 80),
        sub_scale: packed.map(|b| i32::from(b & 15)),
        sub_min: packed.map(|b| i32::from(b >> 4)),
        min: -f16_at(block, 82),
    }
}
