//! Q4_K: super-blocks of 256 weights of 4 bits; every 32 weights have a 6-bit scale and a 6-bit minimum, 4.5 bits per weight.
//!
//! ```text
//! byte  0   d        f16         scale of the scales
//!       2   dmin     f16         scale of the minima
//!       4   scales   12 bytes    eight scales and eight minima (see `k_scales`)
//!      16   qs       128 bytes   weight 64·n + l in the low half of byte 32·n + l, weight 64·n + 32 + l in the high half
//! w = (d · scale) · q − dmin · minimum
//! ```

use super::fit::Search;
use super::k_scales;
use super::layout::{half_bytes, put_half_bytes};
use super::{Decode, Format, HALF_MAX, Quantize, Unpacked32};

pub(super) const FORMAT: Format = Format {
    id: 12,
    name: "Q4_K",
    block_len: 256,
    block_bytes: 144,
    decode: Decode::Blocks(unpack),
    quantize: Some(Quantize { block: quantize, largest: HALF_MAX }),
};

fn unpack(block: &[u8], sub: usize) -> Unpacked32 {
    k_scales::unpacked(block, sub, half_bytes(&block[16..], sub))
}

fn quantize(weights: &[f32], block: &mut [u8]) {
    let q = k_scales::fit(weights, Search { max_q: 15, start: -1.0, steps: 20 }, block);
    put_half_bytes(&mut block[16..], |sub, l| q[sub][l]);
}
