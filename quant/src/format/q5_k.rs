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

use super::fit::Search;
use super::k_scales;
use super::layout::{bytes_at, half_bytes, put_half_bytes};
use super::{Decode, Format, HALF_MAX, Quantize, Unpacked32};

pub(super) const FORMAT: Format = Format {
    id: 13,
    name: "Q5_K",
    block_len: 256,
    block_bytes: 176,
    decode: Decode::Blocks(unpack),
    quantize: Some(Quantize { block: quantize, largest: HALF_MAX }),
};

fn unpack(block: &[u8], sub: usize) -> Unpacked32 {
    let low = half_bytes(&block[48..], sub);
    let high = bytes_at::<32>(block, 16);
    k_scales::unpacked(block, sub, std::array::from_fn(|l| low[l] | ((high[l] >> sub) & 1) << 4))
}

fn quantize(weights: &[f32], block: &mut [u8]) {
    let q = k_scales::fit(weights, Search { max_q: 31, start: -0.5, steps: 15 }, block);
    for (l, high) in block[16..48].iter_mut().enumerate() {
        *high = (0..8).fold(0, |bits, sub| bits | (q[sub][l] >> 4) << sub);
    }
    put_half_bytes(&mut block[48..], |sub, l| q[sub][l] & 15);
}
