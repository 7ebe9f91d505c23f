//! Q6_K: super-blocks of 256 weights of 6 bits; every 16 weights have a signed 8-bit scale, 6.5625 bits per weight.
//!
//! ```text
//! byte   0   ql       128 bytes   low 4 bits: of weights 128·n + 32·k + l in half k / 2 of byte 64·n + 32·(k % 2) + l
//!      128   qh       64 bytes    high 2 bits: of weights 128·n + 32·k + l in bits 2k, 2k + 1 of byte 32·n + l
//!      192   scales   16 × i8     of 16 weights each
//!      208   d        f16         scale of the scales
//! w = (d · scale) · (q − 32)
//! ```

use super::layout::{bytes_at, crumbs, f16_at};
use super::{Decode, Format, Unpacked32};

pub(super) const FORMAT: Format = Format { id: 14, name: "Q6_K", block_len: 256, block_bytes: 210, decode: Decode::Blocks(unpack) };

fn unpack(block: &[u8], sub: usize) -> Unpacked32 {
    let (n, k) = (sub / 4, sub % 4);
    let low = bytes_at::<32>(block, 64 * n + 32 * (k % 2)).map(|b| (b >> (4 * (k / 2))) & 15);
    let high = crumbs(&block[128..192], sub);
    let scales = bytes_at::<2>(block, 192 + 2 * sub);
    Unpacked32 {
        q: std::array::from_fn(|l| low[l] | high[l] << 4),
        sub_scale: scales.map(|s| i32::from(s as i8)),
        ..Unpacked32::symmetric([0; 32], 32, f16_at(block, 208))
    }
}
