//! Q5_K: super-blocks of 256 weights of 5 bits; every 32 weights have a 6-bit scale and a 6-bit minimum, 5.5 bits per weight.
//!
//! ```text
//! byte  0   d        f16         scale of the scales
//!       2   dmin     f16         scale of the minima
//!       4   scales   12 bytes    eight scales and eight minima (see `k_scales`)
//!      16   qh       32 bytes    bit s of byte l is the highest bit of weight 32·s + l
//!      48   qs       128 bytes   low 4 bits, as in Q4_K
//! w = (d · scale) · q − dmin · minimum
//! ```

use super::k_scales::scale_min;
use super::layout::{bytes_at, f16_at, half_bytes};
use super::{Decode, Format, Unpacked32};

pub(super) const FORMAT: Format = Format { id: 13, name: "Q5_K", block_len: 256, block_bytes: 176, decode: Decode::Blocks(unpack) };

fn unpack(block: &[u8], sub: usize) -> Unpacked32 {
    let (scale, min) = scale_min(bytes_at(block, 4), sub);
    let low = half_bytes(&block[48..], sub);
    let high = bytes_at::<32>(block, 16);
    Unpacked32 {
        q: std::array::from_fn(|l| low[l] | ((high[l] >> sub) & 1) << 4),
        offset: 0,
        scale: f16_at(block, 0),
        sub_scale: [scale.into(); 2],
        sub_min: [min.into(); 2],
        min: -f16_at(block, 2),
    }
}
