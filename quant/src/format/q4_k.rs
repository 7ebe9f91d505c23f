//! Q4_K: super-blocks of 256 weights of 4 bits; every 32 weights have a 6-bit scale and a 6-bit minimum, 4.5 bits per weight.
//!
//! ```text
//! byte  0   d        f16         scale of the scales
//!       2   dmin     f16         scale of the minima
//!       4   scales   12 bytes    eight scales and eight minima (see `k_scales`)
//!      16   qs       128 bytes   weight 64·n + l in the low half of byte 32·n + l, weight 64·n + 32 + l in the high half
//! w = (d · scale) · q − dmin · minimum
//! ```

use super::k_scales::scale_min;
use super::layout::{bytes_at, f16_at, half_bytes};
use super::{Decode, Format, Unpacked32};

pub(super) const FORMAT: Format = Format { id: 12, name: "Q4_K", block_len: 256, block_bytes: 144, decode: Decode::Blocks(unpack) };

fn unpack(block: &[u8], sub: usize) -> Unpacked32 {
    let (scale, min) = scale_min(bytes_at(block, 4), sub);
    Unpacked32 {
        q: half_bytes(&block[16..], sub),
        offset: 0,
        scale: f16_at(block, 0),
        sub_scale: [scale.into(); 2],
        sub_min: [min.into(); 2],
        min: -f16_at(block, 2),
    }
}
