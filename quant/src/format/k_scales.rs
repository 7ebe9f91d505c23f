//! The 16 bytes that begin a super-block of Q4_K and Q5_K: scale of the scales, scale of the minima, and eight scales and eight minima
//! of 6 bits each. Reading them, and fitting them to 256 weights.
//!
//! ```text
//! byte 0  d     f16
//!      2  dmin  f16
//!      4  bits 7–6: high bits of scales 4–7,   bits 5–0: scales 0–3
//!      8  bits 7–6: high bits of minima 4–7,   bits 5–0: minima 0–3
//!     12  bits 7–4: low bits of minima 4–7,    bits 3–0: low bits of scales 4–7
//! ```

use super::Unpacked32;
use super::fit::{self, Search};
use super::layout::{bytes_at, f16_at};
use half::f16;

/// Sub-block `sub` (0–7) whose integers are `q`, with the scale and minimum that the block's first 16 bytes give it.
pub(super) fn unpacked(block: &[u8], sub: usize, q: [u8; 32]) -> Unpacked32 {
    let (scale, min) = scale_min(bytes_at(block, 4), sub);
    Unpacked32 { q, offset: 0, scale: f16_at(block, 0), sub_scale: [scale.into(); 2], sub_min: [min.into(); 2], min: -f16_at(block, 2) }
}

/// Scale and minimum of sub-block `j` (0–7).
fn scale_min(packed: &[u8; 12], j: usize) -> (u8, u8) {
    if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        let low = packed[j + 4];
        ((low & 15) | ((packed[j - 4] >> 6) << 4), (low >> 4) | ((packed[j] >> 6) << 4))
    }
}

/// The inverse of [`scale_min`].
fn pack(scales: &[u8; 8], mins: &[u8; 8]) -> [u8; 12] {
    std::array::from_fn(|i| match i {
        0..4 => scales[i] | (scales[i + 4] >> 4) << 6,
        4..8 => mins[i - 4] | (mins[i] >> 4) << 6,
        _ => (scales[i - 4] & 15) | (mins[i - 4] & 15) << 4,
    })
}

/// The first 16 bytes of `block` for 256 weights, and the integers that go with them.
pub(super) fn fit(weights: &[f32], search: Search, block: &mut [u8]) -> [[u8; 32]; 8] {
    let subs: [&[f32; 32]; 8] = std::array::from_fn(|j| weights[32 * j..].first_chunk().expect("a super-block is 256 weights"));
    let fitted = subs.map(|sub| fit::affine(sub, search));
    let (d, scales) = six_bits(fitted.map(|f| f.scale));
    let (dmin, mins) = six_bits(fitted.map(|f| f.min));
    block[..2].copy_from_slice(&d.to_le_bytes());
    block[2..4].copy_from_slice(&dmin.to_le_bytes());
    block[4..16].copy_from_slice(&pack(&scales, &mins));

    // The scales have been rounded, so the integers are chosen anew for what will be read back.
    std::array::from_fn(|j| {
        let (scale, min) = (d.to_f32() * f32::from(scales[j]), dmin.to_f32() * f32::from(mins[j]));
        // What a zero scale multiplies is without effect.
        if scale == 0.0 { [0; 32] } else { subs[j].map(|w| fit::nearest((w + min) / scale, 0, search.max_q) as u8) }
    })
}

/// Eight values, none negative, as integers up to 63 and their common scale.
fn six_bits(values: [f32; 8]) -> (f16, [u8; 8]) {
    let (_, greatest) = fit::range(&values);
    let greatest = greatest.max(0.0);
    let inverse = if greatest > 0.0 { 63.0 / greatest } else { 0.0 };
    (f16::from_f32(greatest / 63.0), values.map(|v| fit::nearest(inverse * v, 0, 63) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_scales_and_minima_read_back() {
        let scales = [0, 1, 62, 63, 16, 47, 15, 48];
        let mins = [63, 0, 5, 31, 32, 33, 1, 62];
        let packed = pack(&scales, &mins);
        for j in 0..8 {
            assert_eq!(scale_min(&packed, j), (scales[j], mins[j]), "{j}");
        }
    }
}
