//! Q3_K: super-blocks of 256 weights of 3 bits; every 16 weights have a signed 6-bit scale, 3.4375 bits per weight.
//!
//! ```text
//! byte   0   hmask    32 bytes   bit s of byte l is the highest bit of weight 32·s + l
//!       32   qs       64 bytes   low 2 bits: weight 128·n + 32·k + l in bits 2k, 2k + 1 of byte 32·n + l
//!       96   scales   12 bytes   of 16 weights each: low 4 bits of scale j in byte j % 8 (half j / 8),
//!                                high 2 bits in byte 8 + j % 4 (bits 2·(j / 4) on)
//!      108   d        f16        scale of the scales
//! w = (d · (scale − 32)) · (q − 4)
//! ```

use super::layout::{bytes_at, crumbs, f16_at};
use super::{Decode, Format, Unpacked32};

pub(super) const FORMAT: Format =
    Format { id: 11, name: "Q3_K", block_len: 256, block_bytes: 110, decode: Decode::Blocks(unpack), quantize: None };

fn unpack(block: &[u8], sub: usize) -> Unpacked32 {
    let low = crumbs(&block[32..96], sub);
    let high = bytes_at::<32>(block, 0);
    let scales = bytes_at(block, 96);
    Unpacked32 {
        q: std::array::from_fn(|l| low[l] | ((high[l] >> sub) & 1) << 2),
        sub_scale: [scale(scales, 2 * sub), scale(scales, 2 * sub + 1)],
        ..Unpacked32::symmetric([0; 32], 4, f16_at(block, 108))
    }
}

/// Scale of 16-weight sub-block `j` (0–15).
fn scale(packed: &[u8; 12], j: usize) -> i32 {
    let low = (packed[j % 8] >> (4 * (j / 8))) & 15;
    let high = (packed[8 + j % 4] >> (2 * (j / 4))) & 3;
    i32::from(low | high << 4) - 32
}
