//! The small fields of a block, read and written: a half float, a run of bytes, 2-, 4- and 5-bit values in ggml's order. Every
//! format is written over these, so that its file holds only what is its own.

use half::f16;

/// The `N` bytes of `block` from `at` on.
///
/// # Panics
/// Where the block is shorter; the sizes are checked before a format's functions are called.
pub(super) fn bytes_at<const N: usize>(block: &[u8], at: usize) -> &[u8; N] {
    block[at..].first_chunk().expect("a block has the bytes its layout names")
}

/// The half float at byte `at`.
pub(super) fn f16_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes(*bytes_at(block, at)).to_f32()
}

/// 32 values of 4 bits out of 16 bytes: the low halves are values 0–15, the high halves 16–31.
pub(super) fn nibbles(packed: &[u8; 16]) -> [u8; 32] {
    std::array::from_fn(|i| if i < 16 { packed[i] & 15 } else { packed[i - 16] >> 4 })
}

/// `low` with bit `i` of `high` as the fifth bit of value `i`.
pub(super) fn with_fifth_bits(low: [u8; 32], high: u32) -> [u8; 32] {
    std::array::from_fn(|i| low[i] | (((high >> i) & 1) as u8) << 4)
}

/// The 2-bit values of sub-block `sub` (0–7) of a super-block: bits `2·(sub % 4)` of 32 bytes that four sub-blocks share.
pub(super) fn crumbs(packed: &[u8], sub: usize) -> [u8; 32] {
    bytes_at::<32>(packed, 32 * (sub / 4)).map(|b| (b >> (2 * (sub % 4))) & 3)
}

/// The 4-bit values of sub-block `sub` (0–7) of a super-block: one half of 32 bytes that two sub-blocks share.
pub(super) fn half_bytes(packed: &[u8], sub: usize) -> [u8; 32] {
    bytes_at::<32>(packed, 32 * (sub / 2)).map(|b| (b >> (4 * (sub % 2))) & 15)
}

/// Writes `value`, rounded to a half float, at byte `at`.
pub(super) fn put_f16(block: &mut [u8], at: usize, value: f32) {
    block[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
}

/// Writes 16 bytes from byte `at` on: the inverse of [`nibbles`], of the values `q(0)` … `q(31)`.
pub(super) fn put_nibbles(block: &mut [u8], at: usize, q: impl Fn(usize) -> u8) {
    for (i, byte) in block[at..at + 16].iter_mut().enumerate() {
        *byte = q(i) | q(16 + i) << 4;
    }
}

/// The inverse of [`with_fifth_bits`]: bit `i` is the fifth bit of value `i`.
pub(super) fn gather_fifth_bits(q: &[u8; 32]) -> u32 {
    q.iter().rev().fold(0, |bits, &q| bits << 1 | u32::from(q >> 4))
}

/// Writes 128 bytes: the inverse of [`half_bytes`] for the eight sub-blocks, of the values `q(sub, l)`.
pub(super) fn put_half_bytes(packed: &mut [u8], q: impl Fn(usize, usize) -> u8) {
    for (i, byte) in packed[..128].iter_mut().enumerate() {
        let (pair, l) = (i / 32, i % 32);
        *byte = q(2 * pair, l) | q(2 * pair + 1, l) << 4;
    }
}
