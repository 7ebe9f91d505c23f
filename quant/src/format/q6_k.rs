//! Q6_K: super-blocks of 256 weights of 6 bits; every 16 weights have a signed 8-bit scale, 6.5625 bits per weight.
//!
//! ```text
//! byte   0   ql       128 bytes   low 4 bits: of weights 128·n + 32·k + l in half k / 2 of byte 64·n + 32·(k % 2) + l
//!      128   qh       64 bytes    high 2 bits: of weights 128·n + 32·k + l in bits 2k, 2k + 1 of byte 32·n + l
//!      192   scales   16 × i8     of 16 weights each
//!      208   d        f16         scale of the scales
//! w = (d · scale) · (q − 32)
//! ```

use super::fit;
use super::layout::{bytes_at, crumbs, f16_at, put_f16};
use super::{Decode, Format, HALF_MAX, Quantize, Unpacked32};

pub(super) const FORMAT: Format = Format {
    id: 14,
    name: "Q6_K",
    block_len: 256,
    block_bytes: 210,
    decode: Decode::Blocks(unpack),
    quantize: Some(Quantize { block: quantize, largest: HALF_MAX }),
};

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

fn quantize(weights: &[f32], block: &mut [u8]) {
    let subs = weights.as_chunks::<16>().0;
    let mut fitted = [0.0; 16];
    for (scale, sub) in fitted.iter_mut().zip(subs) {
        *scale = fit::symmetric(sub, 32);
    }
    let largest = fit::largest(&fitted);
    block.fill(0);
    if largest.abs() < fit::NEGLIGIBLE {
        return;
    }
    let inverse = -128.0 / largest;
    put_f16(block, 208, 1.0 / inverse);
    let d = f16_at(block, 208);

    let mut q = [0u8; 256];
    for j in 0..16 {
        let stored = fit::nearest(inverse * fitted[j], -128, 127) as i8;
        block[192 + j] = stored as u8;
        let scale = d * f32::from(stored);
        for (q, w) in q[16 * j..].iter_mut().zip(&subs[j]) {
            // What a zero scale multiplies is without effect.
            *q = if scale == 0.0 { 32 } else { (fit::nearest(w / scale, -32, 31) + 32) as u8 };
        }
    }
    for n in 0..2 {
        for l in 0..32 {
            let four: [u8; 4] = std::array::from_fn(|k| q[128 * n + 32 * k + l]);
            block[64 * n + l] = (four[0] & 15) | (four[2] & 15) << 4;
            block[64 * n + 32 + l] = (four[1] & 15) | (four[3] & 15) << 4;
            block[128 + 32 * n + l] = (0..4).fold(0, |bits, k| bits | (four[k] >> 4) << (2 * k));
        }
    }
}
