//! Unpacking with a lane for each row: one block of each of `LANES` rows becomes vectors of small integers, four consecutive weights
//! of a row in each lane, with the rows' scales and minima as vectors beside them. Each format is a file; decode and prefill use the
//! same code, so they compute the same bits.
//!
//! [`Rows::quads`] turns bytes so that a lane is a row. What is left of a format is lane-wise arithmetic that reads like its layout.

/// The block with each of the values: written out, as LLVM finds a loop over vectors in two registers (ARM) too long to unroll, and then
/// shifts by what a register says and keeps arrays in memory.
macro_rules! written_out {
    ($i:ident in $($value:literal)+ => $block:block) => { $({ let $i = $value; $block })+ };
}

mod iq4_nl;
mod iq4_xs;
mod k_scales;
mod mxfp4;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;

pub(super) use {iq4_nl::Iq4Nl, iq4_xs::Iq4Xs, mxfp4::Mxfp4, q2_k::Q2K, q3_k::Q3K, q4_0::Q4_0, q4_1::Q4_1, q4_k::Q4K};
pub(super) use {q5_0::Q5_0, q5_1::Q5_1, q5_k::Q5K, q6_k::Q6K, q8_0::Q8_0};

use super::activations::pair;
use crate::format::Type;
use crate::isa::{Isa, Rows};
use std::cmp::Ordering;

/// A quantised format's unpacking.
pub(super) trait Lanes {
    /// The format's name and sizes.
    const TYPE: Type;
    /// What is unpacked.
    type Kind: Kind;

    /// Unpacks one block of each row and gives its sub-blocks of 32 weights to `sink`, in order.
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S);

    /// Blocks that [`unpack_group`](Lanes::unpack_group) unpacks.
    const GROUP: usize = 1;

    /// Unpacks `GROUP` consecutive blocks of each row as [`unpack`](Lanes::unpack) would one by one: small blocks leave some of the
    /// sixteen bytes that are turned at a time unused, four of them together don't.
    #[inline(always)]
    fn unpack_group<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        Self::unpack(isa, rows, sink);
    }
}

/// What the multiplication must know about unpacked weights. Formats of one kind share their machine code.
pub(super) trait Kind {
    /// The weights are below 2^BITS and not negative. Where it is 8 they are signed, and moved up by 128 for a level without
    /// [`Isa::SIGNED_BYTES`].
    const BITS: u32;
    /// log₂ of what must be subtracted from a weight.
    const OFFSET: Option<u32>;
    /// 2 where the halves of a sub-block of 32 have factors of the scale (and of the minimum) of their own, else 1.
    const PARTS: usize;
    /// Whether there is a minimum.
    const MIN: bool;
}

/// One scale for 32 weights; `OFFSET` as in [`Kind`].
pub(super) struct Symmetric<const BITS: u32, const OFFSET: u32>;

impl<const BITS: u32, const OFFSET: u32> Kind for Symmetric<BITS, OFFSET> {
    const BITS: u32 = BITS;
    const OFFSET: Option<u32> = Some(OFFSET);
    const PARTS: usize = 1;
    const MIN: bool = false;
}

/// One scale for 32 signed bytes.
pub(super) struct Bytes;

impl Kind for Bytes {
    const BITS: u32 = 8;
    const OFFSET: Option<u32> = None;
    const PARTS: usize = 1;
    const MIN: bool = false;
}

/// A scale and a minimum for 32 weights.
pub(super) struct WithMin<const BITS: u32>;

impl<const BITS: u32> Kind for WithMin<BITS> {
    const BITS: u32 = BITS;
    const OFFSET: Option<u32> = None;
    const PARTS: usize = 1;
    const MIN: bool = true;
}

/// Factors of the scale for 16 weights; `OFFSET` as in [`Kind`].
pub(super) struct Symmetric16<const BITS: u32, const OFFSET: u32>;

impl<const BITS: u32, const OFFSET: u32> Kind for Symmetric16<BITS, OFFSET> {
    const BITS: u32 = BITS;
    const OFFSET: Option<u32> = Some(OFFSET);
    const PARTS: usize = 2;
    const MIN: bool = false;
}

/// Factors of the scale and of the minimum for 16 weights.
pub(super) struct WithMin16<const BITS: u32>;

impl<const BITS: u32> Kind for WithMin16<BITS> {
    const BITS: u32 = BITS;
    const OFFSET: Option<u32> = None;
    const PARTS: usize = 2;
    const MIN: bool = true;
}

/// 32 consecutive weights of each of `LANES` rows.
pub(super) struct Lanes32<I: Isa> {
    /// Weights `4t .. 4t + 4` in vector `t`.
    pub(super) q: [I::I; 8],
    /// What the integers are multiplied with.
    pub(super) scale: I::F,
    /// What is added to each weight; where halves have factors, what is subtracted times those.
    pub(super) min: I::F,
    /// The halves' factors of the scale, 16 bits each; zeros where a format has none.
    pub(super) factors: I::I,
    /// The same of the minimum.
    pub(super) min_factors: I::I,
}

/// Where unpacked weights go: into the panel of prefill, or at once into the sums of decode.
pub(super) trait Sink<I: Isa> {
    /// Takes the next 32 weights of the rows.
    fn take(&mut self, isa: I, weights: Lanes32<I>);
}

impl Rows<'_> {
    /// The 16 bytes from `at` on of each row: vector `t` has bytes `at + 4t ..` of row `i` in lane `i`.
    #[inline(always)]
    fn quads<I: Isa>(self, isa: I, at: usize) -> [I::I; 4] {
        isa.transpose(self, at)
    }

    /// The 32 bytes from `at` on of each row.
    #[inline(always)]
    fn octets<I: Isa>(self, isa: I, at: usize) -> [I::I; 8] {
        let ([a, b, c, d], [e, f, g, h]) = (self.quads(isa, at), self.quads(isa, at + 16));
        [a, b, c, d, e, f, g, h]
    }
}

/// `x` in all four bytes.
const fn bytes(x: u8) -> i32 {
    i32::from_le_bytes([x; 4])
}

/// Bits `shift .. shift + 4` of each byte, for shifts up to 4.
#[inline(always)]
fn nibble<I: Isa>(isa: I, x: I::I, shift: u32) -> I::I {
    moved(isa, x, shift, 0, 15)
}

/// 32 values of 4 bits out of 16 bytes: the low halves are values 0–15, the high halves 16–31.
#[inline(always)]
fn nibbles<I: Isa>(isa: I, packed: [I::I; 4]) -> [I::I; 8] {
    let mut q = [packed[0]; 8];
    for t in 0..4 {
        q[t] = nibble(isa, packed[t], 0);
        q[t + 4] = nibble(isa, packed[t], 4);
    }
    q
}

/// The bits of each byte that `mask` has, after bit `from` was moved to place `to`; the bits that are wanted must stay in their byte.
#[inline(always)]
fn moved<I: Isa>(isa: I, x: I::I, from: u32, to: u32, mask: u8) -> I::I {
    // The uppermost bits need no mask where bytes can be shifted.
    if to < from && mask == 255 >> (from - to) {
        return isa.shr_bytes(x, from - to);
    }
    let moved = match to.cmp(&from) {
        Ordering::Less => isa.shr(x, from - to),
        Ordering::Equal => x,
        Ordering::Greater => isa.shl(x, to - from),
    };
    isa.and(moved, isa.splat_i32(bytes(mask)))
}

/// The scales (in the lower halves of the lanes) and the sixteen bytes of two blocks of 18. Nine dwords of a row: the first block's bytes
/// begin in the middle of a dword, the second one's with a dword.
#[inline(always)]
fn two_of_18<I: Isa>(isa: I, [a, b, c, d, e, f, g, h, i]: [I::I; 9]) -> [(I::I, [I::I; 4]); 2] {
    let first = [isa.across(a, b), isa.across(b, c), isa.across(c, d), isa.across(d, e)];
    [(a, first), (isa.shr(e, 16), [f, g, h, i])]
}

/// `q` with 16 added to value `i` where bit `i` of `high` is set.
#[inline(always)]
fn fifth_bits<I: Isa>(isa: I, mut q: [I::I; 8], high: I::I) -> [I::I; 8] {
    for (t, q) in q.iter_mut().enumerate() {
        *q = isa.add_sixteens(*q, high, t as u32);
    }
    q
}

/// `table[q]` for indices below 16.
#[inline(always)]
fn look_up<I: Isa>(isa: I, table: &[u8; 16], mut q: [I::I; 8]) -> [I::I; 8] {
    for q in &mut q {
        *q = isa.lookup(table, *q);
    }
    q
}

/// The lowest byte of each lane as a float.
#[inline(always)]
fn low_byte<I: Isa>(isa: I, x: I::I) -> I::F {
    isa.to_f32(isa.and(x, isa.splat_i32(255)))
}

/// A sub-block with one scale and no minimum.
#[inline(always)]
fn symmetric<I: Isa>(isa: I, q: [I::I; 8], scale: I::F) -> Lanes32<I> {
    affine(isa, q, scale, isa.splat(0.0))
}

/// A sub-block with one scale and one minimum.
#[inline(always)]
fn affine<I: Isa>(isa: I, q: [I::I; 8], scale: I::F, min: I::F) -> Lanes32<I> {
    let none = isa.splat_i32(0);
    Lanes32 { q, scale, min, factors: none, min_factors: none }
}

/// A sub-block whose halves have factors of the scale and no minimum.
#[inline(always)]
fn halves<I: Isa>(isa: I, q: [I::I; 8], scale: I::F, factors: I::I) -> Lanes32<I> {
    Lanes32 { q, scale, min: isa.splat(0.0), factors, min_factors: isa.splat_i32(0) }
}
