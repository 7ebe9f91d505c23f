//! The one shape that every quantised format has for a kernel: 32 weights as small unsigned integers with an offset, a float scale
//! and, for some formats, a minimum. `dequantize` is built on it, and the SIMD kernels' unpacking is tested against it.

use super::Type;

/// 32 consecutive weights of a row. For weight `i`, with `h = i / 16`:
///
/// `w[i] = (scale · sub_scale[h]) · (q[i] − offset) + min · sub_min[h]`
///
/// each operation rounded to f32 in this order. Formats without integer sub-scales have `[1, 1]`; those with one sub-scale for 32
/// weights have it twice; only Q2_K, Q3_K and Q6_K have two that differ. A format without a minimum has [`Unpacked32::NO_MIN`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unpacked32 {
    /// The stored integers, or a table's values moved up so that none is negative.
    pub q: [u8; 32],
    /// What to subtract from each of `q`; the same for all blocks of a format.
    pub offset: i32,
    /// The block's (super-block's) scale as stored.
    pub scale: f32,
    /// Integer factors of `scale`, for weights 0–15 and 16–31.
    pub sub_scale: [i32; 2],
    /// Integer factors of `min`, for weights 0–15 and 16–31.
    pub sub_min: [i32; 2],
    /// The block's minimum with its sign: `m` of Q4_1 and Q5_1, `−dmin` of the K-quants.
    pub min: f32,
}

impl Unpacked32 {
    /// The minimum of formats that have none: −0, because adding it changes no number, not even the sign of a zero.
    pub const NO_MIN: f32 = -0.0;

    /// `q` with `scale` and nothing else: the symmetric 32-weight formats.
    pub(super) fn symmetric(q: [u8; 32], offset: i32, scale: f32) -> Self {
        Unpacked32 { q, offset, scale, sub_scale: [1; 2], sub_min: [0; 2], min: Self::NO_MIN }
    }

    /// Weight `i` as the integer that the scales multiply.
    pub fn int(&self, i: usize) -> i32 {
        i32::from(self.q[i]) - self.offset
    }

    /// The 32 weights.
    pub fn weights(&self) -> [f32; 32] {
        let scale = self.sub_scale.map(|sub| self.scale * sub as f32);
        let min = self.sub_min.map(|sub| self.min * sub as f32);
        std::array::from_fn(|i| scale[i / 16] * self.int(i) as f32 + min[i / 16])
    }
}

/// Weights `32 · block32 ..` of a row that lies in `row` as `ty`; `None` where `ty` is a plain float type, or the row ends before.
///
/// ```
/// use kinglet_quant::{Type, format::unpack};
/// let mut block = [0x98; 18]; // a Q4_0 block: f16 scale, then 16 bytes of two 4-bit values
/// block[..2].copy_from_slice(&0x3c00u16.to_le_bytes()); // 1.0
/// let unpacked = unpack(Type::Q4_0, &block, 0).unwrap();
/// assert_eq!((unpacked.int(0), unpacked.int(16), unpacked.scale), (0, 1, 1.0));
/// ```
pub fn unpack(ty: Type, row: &[u8], block32: usize) -> Option<Unpacked32> {
    let format = ty.format();
    let super::Decode::Blocks(unpack) = format.decode else { return None };
    let subs = format.block_len / 32;
    let block = row.chunks_exact(format.block_bytes).nth(block32 / subs)?;
    Some(unpack(block, block32 % subs))
}
