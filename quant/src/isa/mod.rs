//! Instruction-set levels: the same few dozen primitives for each, so that a kernel is written once and compiled for every level. The
//! vectors of x86 are in `ymm.rs` and `zmm.rs`; a level's own file says how it multiplies bytes and which features it needs. A level's
//! *token* ([`Isa`]) can be had only on a CPU that has the level; that makes its primitives safe to call.
//!
//! A kernel is a struct with its operands that implements [`Op`]; [`Level::run`] compiles its body once for each level and calls
//! the right one. Everything a body calls is `#[inline(always)]`, so that it ends up inside the one function that has the level's
//! features switched on (the pattern of the crates pulp and fearless_simd).
//!
//! ```
//! use kinglet_quant::isa::{Isa, Level, Op};
//!
//! struct Sum<'a>(&'a [f32]);
//!
//! impl Op for Sum<'_> {
//!     type Output = f32;
//!     #[inline(always)]
//!     fn run<I: Isa>(self, isa: I) -> f32 {
//!         let mut sum = isa.splat(0.0);
//!         for x in self.0.chunks(I::LANES) {
//!             sum = isa.add(sum, isa.load_partial(x, 0.0));
//!         }
//!         isa.reduce_add(sum)
//!     }
//! }
//!
//! let level = Level::detect().unwrap();
//! assert_eq!(level.run(Sum(&[1.0; 100])), 100.0);
//! ```

#[cfg(target_arch = "aarch64")]
mod asimd;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod bytes;
#[cfg(target_arch = "aarch64")]
mod dotprod;
mod float;
#[cfg(target_arch = "aarch64")]
mod i8mm;
#[cfg(target_arch = "aarch64")]
mod instructions;
mod level;
#[cfg(target_arch = "aarch64")]
mod neon;
mod rows;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod ymm;
#[cfg(target_arch = "x86_64")]
mod zmm;

pub use level::{Level, LevelError, converts_apart};
pub use rows::Rows;
pub use scalar::Scalar;
#[cfg(target_arch = "aarch64")]
pub use {asimd::Neon, dotprod::DotProd, i8mm::I8mm};
#[cfg(target_arch = "x86_64")]
pub use {avx_vnni::AvxVnni, avx2::Avx2, avx512::Avx512, avx512_vnni::Avx512Vnni};

use half::{bf16, f16};

/// Bytes in a cache line.
pub const LINE: usize = 64;

/// A computation that is compiled once for every level.
pub trait Op {
    /// What it computes.
    type Output;

    /// The body. Mark it `#[inline(always)]`, and what it calls too.
    fn run<I: Isa>(self, isa: I) -> Self::Output;
}

/// Proof that the CPU has a level, and the level's primitives: vectors of [`LANES`](Isa::LANES) × 32 bits.
///
/// All arithmetic is IEEE single precision, rounded to nearest even, and [`mul_add`](Isa::mul_add) rounds once: the same operations in
/// the same order give the same bits on every level.
pub trait Isa: Copy + Send + Sync + 'static {
    /// Which level this is.
    const LEVEL: Level;
    /// f32 in a vector: 8 or 16.
    const LANES: usize;
    /// Whether [`dot`](Isa::dot) takes 8-bit weights as signed numbers.
    const SIGNED_BYTES: bool;
    /// Columns of activations that a kernel multiplies at a time: as many as the registers hold sums for, two vectors of rows each.
    const COLUMNS: usize;
    /// Sums that a kernel of one or two outputs keeps apart for each, so that a [`dot`](Isa::dot) need not wait for the last one.
    const CHAINS: usize;
    /// A vector of f32.
    type F: Copy + Send + Sync;
    /// The outcome of a comparison, lane by lane.
    type Mask: Copy;
    /// A vector of `LANES` × 32 bits: integers, or four bytes in each lane (the byte at the lowest address first).
    type I: Copy + Send + Sync;
    /// A running sum of byte products, `LANES` wide; how wide its integers are is the level's own affair.
    type Sum: Copy;

    /// Runs `op` with the level's instructions.
    fn vectorize<O: Op>(self, op: O) -> O::Output;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F;
    /// The first `LANES` of `x`; panics where there are fewer.
    fn load(self, x: &[f32]) -> Self::F;
    /// Stores to the first `LANES` of `out`; panics where there are fewer.
    fn store(self, out: &mut [f32], x: Self::F);
    /// The first `LANES` of `x`, converted exactly.
    fn load_f16(self, x: &[f16]) -> Self::F;
    /// Rounded to nearest even.
    fn store_f16(self, out: &mut [f16], x: Self::F);
    /// The first `LANES` of `x`, converted exactly.
    fn load_bf16(self, x: &[bf16]) -> Self::F;

    /// The first `LANES` of `x`, with their sign.
    fn load_i8(self, x: &[i8]) -> Self::I;
    /// The first `LANES` of `x`, with zeros above.
    fn load_u8(self, x: &[u8]) -> Self::I;

    /// The first `LANES` little-endian f32 of `x`, at any address.
    fn load_f32_bytes(self, x: &[u8]) -> Self::F;
    /// The first `LANES` little-endian half floats of `x`, at any address.
    fn load_f16_bytes(self, x: &[u8]) -> Self::F;
    /// The first `LANES` little-endian bfloat16 of `x`, at any address.
    fn load_bf16_bytes(self, x: &[u8]) -> Self::F;

    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a × b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a ÷ b`
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a × b + c`, rounded once.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `sum`, one of a tile's: a level of few registers keeps the compiler from computing the tile in another order, which would need more.
    #[inline(always)]
    fn in_order(self, sum: Self::F) -> Self::F {
        sum
    }
    /// `c − a × b`, rounded once.
    fn neg_mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `if a > b { a } else { b }`: `b` where one is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `if a < b { a } else { b }`: `b` where one is NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `|a|`
    fn abs(self, a: Self::F) -> Self::F;
    /// The magnitude of `a` with the sign of `b`.
    fn copysign(self, a: Self::F, b: Self::F) -> Self::F;
    /// `√a`
    fn sqrt(self, a: Self::F) -> Self::F;
    /// To the nearest integer, halves to even.
    fn round(self, a: Self::F) -> Self::F;
    /// 2ⁿ for integers `n` in −126..=127, 0 for −127; anything for others.
    fn pow2i(self, n: Self::F) -> Self::F;
    /// `x · 2ⁿ`, ∞ where that is too large, 0 for `n` = −126, for `x` from ½ to 2 and integers `n` in −126..=128.
    #[inline(always)]
    fn scale_by_power(self, x: Self::F, n: Self::F) -> Self::F {
        float::scale_by_power(self, x, n)
    }
    /// `a < b`; false where one is NaN.
    fn less(self, a: Self::F, b: Self::F) -> Self::Mask;
    /// `if mask { a } else { b }`
    fn select(self, mask: Self::Mask, a: Self::F, b: Self::F) -> Self::F;
    /// The sum of all lanes: the upper half is added to the lower until one lane is left.
    fn reduce_add(self, a: Self::F) -> f32;
    /// The largest lane, in [`reduce_add`](Isa::reduce_add)'s order with [`max`](Isa::max)'s rule (lower half is `a`).
    fn reduce_max(self, a: Self::F) -> f32;

    /// `x` in every lane.
    fn splat_i32(self, x: i32) -> Self::I;
    /// The first `LANES` of `x`; panics where there are fewer.
    fn load_i32(self, x: &[i32]) -> Self::I;
    /// Stores to the first `LANES` of `out`; panics where there are fewer.
    fn store_i32(self, out: &mut [i32], x: Self::I);
    /// Stores to the first `LANES` of `out`; numbers beyond an i8 become its nearest one.
    fn store_i8(self, out: &mut [i8], x: Self::I);
    /// Lane `i` of result `t` is the four bytes from `at + 4t` on of row `i`: 16 bytes of each of `LANES` rows, turned so that a lane is
    /// a row. Panics where the window ends before, or has fewer rows.
    fn transpose(self, rows: Rows<'_>, at: usize) -> [Self::I; 4];
    /// `a & b`
    fn and(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a | b`
    fn or(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a ^ b`
    fn xor(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a + b`, wrapping.
    fn add_i32(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a << n`, lane by lane; `n` below 32.
    fn shl(self, a: Self::I, n: u32) -> Self::I;
    /// `a >> n` with zeros, lane by lane; `n` below 32.
    fn shr(self, a: Self::I, n: u32) -> Self::I;
    /// `a >> n` with zeros, byte by byte; `n` below 8.
    #[inline(always)]
    fn shr_bytes(self, a: Self::I, n: u32) -> Self::I {
        self.and(self.shr(a, n), self.splat_i32(i32::from_le_bytes([255 >> n; 4])))
    }
    /// `a >> n` with the sign, lane by lane; `n` below 32.
    fn sar(self, a: Self::I, n: u32) -> Self::I;
    /// Byte by byte `table[index]`; each byte of `index` is below 16.
    fn lookup(self, table: &[u8; 16], index: Self::I) -> Self::I;
    /// `a`, whose bytes are below 16, with 16 added to byte `i` of a lane where bit `4t + i` of that lane of `bits` is set.
    fn add_sixteens(self, a: Self::I, bits: Self::I, t: u32) -> Self::I;
    /// Lane by lane the upper 16 bits of `low` and above them the lower 16 bits of `high`: what lies across two dwords of a row.
    fn across(self, low: Self::I, high: Self::I) -> Self::I;
    /// The two lower or the two upper bytes of each lane as two numbers of 16 bits.
    fn pairs(self, a: Self::I, upper: bool) -> Self::I;
    /// `a + b` of two 16-bit numbers in each lane, wrapping.
    fn add_i16(self, a: Self::I, b: Self::I) -> Self::I;
    /// Lane by lane the sum of the products of two 16-bit numbers.
    fn dot_i16(self, a: Self::I, b: Self::I) -> Self::I;
    /// Integers to floats.
    fn to_f32(self, a: Self::I) -> Self::F;
    /// Floats to the nearest integers, halves to even; anything for those beyond an i32.
    fn to_i32(self, a: Self::F) -> Self::I;
    /// The floats' bits.
    fn to_bits(self, a: Self::F) -> Self::I;
    /// The lanes' bits as floats.
    fn bits_to_f32(self, a: Self::I) -> Self::F;
    /// The lower 16 bits of each lane, which are a half float, as f32.
    fn f16_to_f32(self, a: Self::I) -> Self::F;
    /// The lower and the upper 16 bits of each lane, which are half floats, as f32.
    fn f16s_to_f32(self, a: Self::I) -> (Self::F, Self::F);
    /// The wrapping sum of all lanes.
    fn reduce_i32(self, a: Self::I) -> i32;

    /// How many [`dot`](Isa::dot)s of unsigned weights of `bits` bits a [`Sum`](Isa::Sum) takes before it must be
    /// [`finish`](Isa::finish)ed: 2, 4 or 8.
    fn steps(bits: u32) -> usize;
    /// A sum to which [`steps`](Isa::steps) products may be added, and that will be finished into `total`.
    fn start(self, bits: u32, total: Self::I) -> Self::Sum;
    /// Adds Σ over 4 bytes of `weights × activations` in each lane: `weights` are unsigned and below 2^bits (8-bit ones may be signed,
    /// see [`SIGNED_BYTES`](Isa::SIGNED_BYTES)), `activations` four signed bytes, the same for every lane, none of them −128.
    fn dot(self, bits: u32, sum: Self::Sum, weights: Self::I, activations: i32) -> Self::Sum;
    /// `total`, as given to [`start`](Isa::start), plus the products that were added since.
    fn finish(self, bits: u32, total: Self::I, sum: Self::Sum) -> Self::I;

    /// Whether the sums of weights below 7 bits are of 32 bits and begin with the total that they are [`start`](Isa::start)ed with.
    const WIDE: bool;
    /// Where the two halves of some weights, of 6 bits at most, have factors of 16 bits each: `total` plus the products times the half's
    /// factor (`part` 0 or 1). Called for the first half and then for the second one, of which each level makes what it does best: only
    /// what the last call returns is the total.
    fn weigh(self, bits: u32, total: Self::I, sum: Self::Sum, factors: Self::I, part: usize) -> Self::I;

    /// Whether many columns are multiplied two at a time, with [`dot_pair`](Isa::dot_pair); such a level has
    /// [`SIGNED_BYTES`](Isa::SIGNED_BYTES).
    const PAIRS: bool = false;
    /// The weights of two [`dot`](Isa::dot)s, as [`dot_pair`](Isa::dot_pair) wants them.
    #[inline(always)]
    fn join(self, first: Self::I, second: Self::I) -> [Self::I; 2] {
        [first, second]
    }
    /// Adds Σ over 8 bytes of joined `weights × activations` for two columns. What the sums' lanes mean is the level's own affair.
    #[inline(always)]
    fn dot_pair(self, sum: [Self::I; 2], weights: [Self::I; 2], activations: [[i32; 2]; 2]) -> [Self::I; 2] {
        let of = |c: usize| {
            let first = self.finish(8, sum[c], self.dot(8, self.start(8, sum[c]), weights[0], activations[c][0]));
            self.finish(8, first, self.dot(8, self.start(8, first), weights[1], activations[c][1]))
        };
        [of(0), of(1)]
    }
    /// The sums of each of the two columns: a lane is a row.
    #[inline(always)]
    fn apart(self, sum: [Self::I; 2]) -> [Self::I; 2] {
        sum
    }

    /// Begins to load `lines` cache lines of `bytes` from `at` on: into the first cache where `near`, else the second. Nothing is read,
    /// so they may lie beyond.
    fn prefetch(self, bytes: &[u8], at: usize, lines: usize, near: bool);

    /// Up to `LANES` of `x`, and `fill` in the lanes that are left.
    #[inline(always)]
    fn load_partial(self, x: &[f32], fill: f32) -> Self::F {
        if x.len() >= Self::LANES {
            return self.load(x);
        }
        let mut padded = [fill; 16];
        padded[..x.len()].copy_from_slice(x);
        self.load(&padded)
    }

    /// Stores the first `out.len()` lanes, `LANES` at most.
    #[inline(always)]
    fn store_partial(self, out: &mut [f32], x: Self::F) {
        if out.len() >= Self::LANES {
            return self.store(out, x);
        }
        let mut padded = [0.0; 16];
        self.store(&mut padded, x);
        let n = out.len();
        out.copy_from_slice(&padded[..n]);
    }

    /// eˣ within 1 ulp; 0 below −86.99 (where it is at most 1.7·10⁻³⁸), ∞ above 88.7, NaN for NaN.
    #[inline(always)]
    fn exp(self, x: Self::F) -> Self::F {
        float::exp(self, x)
    }

    /// 2ˣ for `x` up to 127, within 1 ulp; 0 below −126, NaN for NaN.
    #[inline(always)]
    fn exp2(self, x: Self::F) -> Self::F {
        float::exp2(self, x)
    }

    /// tanh x within 2 ulp; NaN for NaN.
    #[inline(always)]
    fn tanh(self, x: Self::F) -> Self::F {
        float::tanh(self, x)
    }

    /// 1 / (1 + e⁻ˣ) within 3 ulp; NaN for NaN.
    #[inline(always)]
    fn sigmoid(self, x: Self::F) -> Self::F {
        float::sigmoid(self, x)
    }
}
