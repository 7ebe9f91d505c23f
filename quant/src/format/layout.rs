//! Reading the small fields of a block: a half float, a run of bytes, 4-bit values in ggml's order. Every format's `unpack` is
//! written over these, so that a format's file holds only what is its own.

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
pub(super) fn fifth_bits(low: [u8; 32], high: u32) -> [u8; 32] {
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
