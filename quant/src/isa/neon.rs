//! ARM's 128-bit vectors (NEON, which every 64-bit ARM CPU has), two of them for 8 lanes: a kernel's tile then has as many rows as on
//! x86, and half of the 32 registers for its sums. The levels that have them differ in how they multiply bytes ([`ByteProducts`]).
//!
//! SAFETY of every intrinsic here: NEON is part of the target. Loads and stores go through array references of their full size.

use super::bytes::ByteProducts;
use super::instructions::{fetch_lines, from_half, from_upper_half, in_order, to_half, turned};
use super::{Isa, Level, Op, Rows};
use half::{bf16, f16};
use std::arch::aarch64::*;

/// What `B` proves.
#[derive(Debug, Clone, Copy)]
pub struct Vectors<B>(B);

impl<B: ByteProducts<int32x4x2_t>> Vectors<B> {
    /// The token, where the CPU has the features.
    #[inline]
    pub fn new() -> Option<Self> {
        B::new().map(Vectors)
    }
}

/// An intrinsic of f32, on both halves.
macro_rules! floats {
    ($f:ident($($x:ident),+)) => { unsafe { float32x4x2_t($f($($x.0),+), $f($($x.1),+)) } };
}

/// An intrinsic of 32-bit integers, on both halves.
macro_rules! integers {
    ($f:ident($($x:ident),+)) => { unsafe { int32x4x2_t($f($($x.0),+), $f($($x.1),+)) } };
}

/// Eight half floats.
#[inline(always)]
fn from_halves(x: uint16x8_t) -> float32x4x2_t {
    unsafe { float32x4x2_t(from_half(vget_low_u16(x)), from_upper_half(x)) }
}

/// Eight bfloat16: the upper halves of f32.
#[inline(always)]
fn from_brain(x: uint16x8_t) -> float32x4x2_t {
    unsafe {
        let (low, high) = (vshll_n_u16::<16>(vget_low_u16(x)), vshll_high_n_u16::<16>(x));
        float32x4x2_t(vreinterpretq_f32_u32(low), vreinterpretq_f32_u32(high))
    }
}

impl<B: ByteProducts<int32x4x2_t>> Isa for Vectors<B> {
    const LEVEL: Level = B::LEVEL;
    const LANES: usize = 8;
    const SIGNED_BYTES: bool = B::SIGNED_BYTES;
    const COLUMNS: usize = B::COLUMNS;
    const CHAINS: usize = B::CHAINS;
    type F = float32x4x2_t;
    type Mask = uint32x4x2_t;
    type I = int32x4x2_t;
    type Sum = int32x4x2_t;

    #[inline(always)]
    fn vectorize<O: Op>(self, op: O) -> O::Output {
        self.0.vectorize(self, op)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4x2_t {
        unsafe { float32x4x2_t(vdupq_n_f32(x), vdupq_n_f32(x)) }
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> float32x4x2_t {
        let x: &[f32; 8] = x.first_chunk().expect("8 lanes");
        unsafe { float32x4x2_t(vld1q_f32(x.as_ptr()), vld1q_f32(x.as_ptr().add(4))) }
    }

    #[inline(always)]
    fn store(self, out: &mut [f32], x: float32x4x2_t) {
        let out: &mut [f32; 8] = out.first_chunk_mut().expect("8 lanes");
        unsafe {
            vst1q_f32(out.as_mut_ptr(), x.0);
            vst1q_f32(out.as_mut_ptr().add(4), x.1);
        }
    }

    #[inline(always)]
    fn load_f16(self, x: &[f16]) -> float32x4x2_t {
        let x: &[f16; 8] = x.first_chunk().expect("8 lanes");
        unsafe { from_halves(vld1q_u16(x.as_ptr().cast())) }
    }

    #[inline(always)]
    fn store_f16(self, out: &mut [f16], x: float32x4x2_t) {
        let out: &mut [f16; 8] = out.first_chunk_mut().expect("8 lanes");
        unsafe { vst1q_u16(out.as_mut_ptr().cast(), vcombine_u16(to_half(x.0), to_half(x.1))) }
    }

    #[inline(always)]
    fn load_bf16(self, x: &[bf16]) -> float32x4x2_t {
        let x: &[bf16; 8] = x.first_chunk().expect("8 lanes");
        unsafe { from_brain(vld1q_u16(x.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_i8(self, x: &[i8]) -> int32x4x2_t {
        let x: &[i8; 8] = x.first_chunk().expect("8 lanes");
        unsafe {
            let words = vmovl_s8(vld1_s8(x.as_ptr()));
            int32x4x2_t(vmovl_s16(vget_low_s16(words)), vmovl_high_s16(words))
        }
    }

    #[inline(always)]
    fn load_u8(self, x: &[u8]) -> int32x4x2_t {
        let x: &[u8; 8] = x.first_chunk().expect("8 lanes");
        unsafe {
            let words = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(x.as_ptr())));
            int32x4x2_t(vmovl_s16(vget_low_s16(words)), vmovl_high_s16(words))
        }
    }

    #[inline(always)]
    fn load_f32_bytes(self, x: &[u8]) -> float32x4x2_t {
        let x: &[u8; 32] = x.first_chunk().expect("8 lanes");
        unsafe {
            let (low, high) = (vld1q_u8(x.as_ptr()), vld1q_u8(x.as_ptr().add(16)));
            float32x4x2_t(vreinterpretq_f32_u8(low), vreinterpretq_f32_u8(high))
        }
    }

    #[inline(always)]
    fn load_f16_bytes(self, x: &[u8]) -> float32x4x2_t {
        let x: &[u8; 16] = x.first_chunk().expect("8 lanes");
        unsafe { from_halves(vreinterpretq_u16_u8(vld1q_u8(x.as_ptr()))) }
    }

    #[inline(always)]
    fn load_bf16_bytes(self, x: &[u8]) -> float32x4x2_t {
        let x: &[u8; 16] = x.first_chunk().expect("8 lanes");
        unsafe { from_brain(vreinterpretq_u16_u8(vld1q_u8(x.as_ptr()))) }
    }

    #[inline(always)]
    fn add(self, a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        floats!(vaddq_f32(a, b))
    }

    #[inline(always)]
    fn sub(self, a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        floats!(vsubq_f32(a, b))
    }

    #[inline(always)]
    fn mul(self, a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        floats!(vmulq_f32(a, b))
    }

    #[inline(always)]
    fn div(self, a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        floats!(vdivq_f32(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: float32x4x2_t, b: float32x4x2_t, c: float32x4x2_t) -> float32x4x2_t {
        floats!(vfmaq_f32(c, a, b))
    }

    #[inline(always)]
    fn in_order(self, sum: float32x4x2_t) -> float32x4x2_t {
        in_order(sum)
    }

    #[inline(always)]
    fn neg_mul_add(self, a: float32x4x2_t, b: float32x4x2_t, c: float32x4x2_t) -> float32x4x2_t {
        floats!(vfmsq_f32(c, a, b))
    }

    #[inline(always)]
    fn max(self, a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        self.select(self.less(b, a), a, b)
    }

    #[inline(always)]
    fn min(self, a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        self.select(self.less(a, b), a, b)
    }

    #[inline(always)]
    fn abs(self, a: float32x4x2_t) -> float32x4x2_t {
        floats!(vabsq_f32(a))
    }

    #[inline(always)]
    fn copysign(self, a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        let sign = unsafe { vdupq_n_u32(1 << 31) };
        self.select(uint32x4x2_t(sign, sign), b, a)
    }

    #[inline(always)]
    fn sqrt(self, a: float32x4x2_t) -> float32x4x2_t {
        floats!(vsqrtq_f32(a))
    }

    #[inline(always)]
    fn round(self, a: float32x4x2_t) -> float32x4x2_t {
        floats!(vrndnq_f32(a))
    }

    #[inline(always)]
    fn pow2i(self, n: float32x4x2_t) -> float32x4x2_t {
        self.bits_to_f32(self.shl(self.add_i32(self.to_i32(n), self.splat_i32(127)), 23))
    }

    #[inline(always)]
    fn less(self, a: float32x4x2_t, b: float32x4x2_t) -> uint32x4x2_t {
        unsafe { uint32x4x2_t(vcltq_f32(a.0, b.0), vcltq_f32(a.1, b.1)) }
    }

    #[inline(always)]
    fn select(self, mask: uint32x4x2_t, a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        floats!(vbslq_f32(mask, a, b))
    }

    #[inline(always)]
    fn reduce_add(self, a: float32x4x2_t) -> f32 {
        unsafe {
            let b = vaddq_f32(a.0, a.1);
            vpadds_f32(vadd_f32(vget_low_f32(b), vget_high_f32(b)))
        }
    }

    #[inline(always)]
    fn reduce_max(self, a: float32x4x2_t) -> f32 {
        unsafe {
            let b = vbslq_f32(vcgtq_f32(a.0, a.1), a.0, a.1);
            let (low, high) = (vget_low_f32(b), vget_high_f32(b));
            let c = vbsl_f32(vcgt_f32(low, high), low, high);
            let (first, second) = (vget_lane_f32::<0>(c), vget_lane_f32::<1>(c));
            if first > second { first } else { second }
        }
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> int32x4x2_t {
        unsafe { int32x4x2_t(vdupq_n_s32(x), vdupq_n_s32(x)) }
    }

    #[inline(always)]
    fn load_i32(self, x: &[i32]) -> int32x4x2_t {
        let x: &[i32; 8] = x.first_chunk().expect("8 lanes");
        unsafe { int32x4x2_t(vld1q_s32(x.as_ptr()), vld1q_s32(x.as_ptr().add(4))) }
    }

    #[inline(always)]
    fn store_i32(self, out: &mut [i32], x: int32x4x2_t) {
        let out: &mut [i32; 8] = out.first_chunk_mut().expect("8 lanes");
        unsafe {
            vst1q_s32(out.as_mut_ptr(), x.0);
            vst1q_s32(out.as_mut_ptr().add(4), x.1);
        }
    }

    #[inline(always)]
    fn store_i8(self, out: &mut [i8], x: int32x4x2_t) {
        let out: &mut [i8; 8] = out.first_chunk_mut().expect("8 lanes");
        unsafe { vst1_s8(out.as_mut_ptr(), vqmovn_s16(vcombine_s16(vqmovn_s32(x.0), vqmovn_s32(x.1)))) }
    }

    #[inline(always)]
    fn transpose(self, rows: Rows<'_>, at: usize) -> [int32x4x2_t; 4] {
        let (start, stride) = rows.start(Self::LANES, at, 16);
        unsafe {
            let row = |row: usize| vreinterpretq_s32_u8(vld1q_u8(start.add(row * stride)));
            let low = turned([row(0), row(1), row(2), row(3)]);
            let high = turned([row(4), row(5), row(6), row(7)]);
            [int32x4x2_t(low[0], high[0]), int32x4x2_t(low[1], high[1]), int32x4x2_t(low[2], high[2]), int32x4x2_t(low[3], high[3])]
        }
    }

    #[inline(always)]
    fn and(self, a: int32x4x2_t, b: int32x4x2_t) -> int32x4x2_t {
        integers!(vandq_s32(a, b))
    }

    #[inline(always)]
    fn or(self, a: int32x4x2_t, b: int32x4x2_t) -> int32x4x2_t {
        integers!(vorrq_s32(a, b))
    }

    #[inline(always)]
    fn xor(self, a: int32x4x2_t, b: int32x4x2_t) -> int32x4x2_t {
        integers!(veorq_s32(a, b))
    }

    #[inline(always)]
    fn add_i32(self, a: int32x4x2_t, b: int32x4x2_t) -> int32x4x2_t {
        integers!(vaddq_s32(a, b))
    }

    #[inline(always)]
    fn shl(self, a: int32x4x2_t, n: u32) -> int32x4x2_t {
        let n = self.splat_i32(n as i32);
        integers!(vshlq_s32(a, n))
    }

    #[inline(always)]
    fn shr(self, a: int32x4x2_t, n: u32) -> int32x4x2_t {
        unsafe {
            let n = vdupq_n_s32(-(n as i32));
            let shifted = |a| vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), n));
            int32x4x2_t(shifted(a.0), shifted(a.1))
        }
    }

    #[inline(always)]
    fn shr_bytes(self, a: int32x4x2_t, n: u32) -> int32x4x2_t {
        unsafe {
            let n = vdupq_n_s8(-(n as i8));
            let shifted = |a| vreinterpretq_s32_u8(vshlq_u8(vreinterpretq_u8_s32(a), n));
            int32x4x2_t(shifted(a.0), shifted(a.1))
        }
    }

    #[inline(always)]
    fn sar(self, a: int32x4x2_t, n: u32) -> int32x4x2_t {
        let n = self.splat_i32(-(n as i32));
        integers!(vshlq_s32(a, n))
    }

    #[inline(always)]
    fn lookup(self, table: &[u8; 16], index: int32x4x2_t) -> int32x4x2_t {
        unsafe {
            let table = vld1q_u8(table.as_ptr());
            let found = |index| vreinterpretq_s32_u8(vqtbl1q_u8(table, vreinterpretq_u8_s32(index)));
            int32x4x2_t(found(index.0), found(index.1))
        }
    }

    #[inline(always)]
    fn add_sixteens(self, a: int32x4x2_t, bits: int32x4x2_t, t: u32) -> int32x4x2_t {
        // The byte that holds bits 4t … 4t + 3 in all four bytes of its lane, then one bit of it for each.
        let bit: u32 = if t.is_multiple_of(2) { 0x0804_0201 } else { 0x8040_2010 };
        unsafe {
            let lanes = vreinterpretq_u8_u32(vld1q_u32([0, 0x0404_0404, 0x0808_0808, 0x0c0c_0c0c].as_ptr()));
            let byte = vaddq_u8(lanes, vdupq_n_u8((t / 2) as u8));
            let bit = vreinterpretq_u8_u32(vdupq_n_u32(bit));
            let added = |a, bits| {
                let set = vtstq_u8(vqtbl1q_u8(vreinterpretq_u8_s32(bits), byte), bit);
                vreinterpretq_s32_u8(vorrq_u8(vreinterpretq_u8_s32(a), vandq_u8(set, vdupq_n_u8(16))))
            };
            int32x4x2_t(added(a.0, bits.0), added(a.1, bits.1))
        }
    }

    #[inline(always)]
    fn across(self, low: int32x4x2_t, high: int32x4x2_t) -> int32x4x2_t {
        let low = self.shr(low, 16);
        unsafe { int32x4x2_t(vsliq_n_s32::<16>(low.0, high.0), vsliq_n_s32::<16>(low.1, high.1)) }
    }

    #[inline(always)]
    fn pairs(self, a: int32x4x2_t, upper: bool) -> int32x4x2_t {
        unsafe {
            // Beyond the register are zeros.
            let lower = vld1q_u32([0xff01_ff00, 0xff05_ff04, 0xff09_ff08, 0xff0d_ff0c].as_ptr());
            let bytes = vreinterpretq_u8_u32(vaddq_u32(lower, vdupq_n_u32(if upper { 0x0002_0002 } else { 0 })));
            let found = |a| vreinterpretq_s32_u8(vqtbl1q_u8(vreinterpretq_u8_s32(a), bytes));
            int32x4x2_t(found(a.0), found(a.1))
        }
    }

    #[inline(always)]
    fn add_i16(self, a: int32x4x2_t, b: int32x4x2_t) -> int32x4x2_t {
        let added = |a, b| unsafe { vreinterpretq_s32_s16(vaddq_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b))) };
        int32x4x2_t(added(a.0, b.0), added(a.1, b.1))
    }

    #[inline(always)]
    fn dot_i16(self, a: int32x4x2_t, b: int32x4x2_t) -> int32x4x2_t {
        let dot = |a, b| unsafe {
            let (a, b) = (vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
            vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b))
        };
        int32x4x2_t(dot(a.0, b.0), dot(a.1, b.1))
    }

    #[inline(always)]
    fn to_f32(self, a: int32x4x2_t) -> float32x4x2_t {
        floats!(vcvtq_f32_s32(a))
    }

    #[inline(always)]
    fn to_i32(self, a: float32x4x2_t) -> int32x4x2_t {
        integers!(vcvtnq_s32_f32(a))
    }

    #[inline(always)]
    fn to_bits(self, a: float32x4x2_t) -> int32x4x2_t {
        unsafe { int32x4x2_t(vreinterpretq_s32_f32(a.0), vreinterpretq_s32_f32(a.1)) }
    }

    #[inline(always)]
    fn bits_to_f32(self, a: int32x4x2_t) -> float32x4x2_t {
        floats!(vreinterpretq_f32_s32(a))
    }

    #[inline(always)]
    fn f16_to_f32(self, a: int32x4x2_t) -> float32x4x2_t {
        let half = |a| unsafe { from_half(vmovn_u32(vreinterpretq_u32_s32(a))) };
        float32x4x2_t(half(a.0), half(a.1))
    }

    #[inline(always)]
    fn f16s_to_f32(self, a: int32x4x2_t) -> (float32x4x2_t, float32x4x2_t) {
        let upper = |a| unsafe { from_half(vshrn_n_u32::<16>(vreinterpretq_u32_s32(a))) };
        (self.f16_to_f32(a), float32x4x2_t(upper(a.0), upper(a.1)))
    }

    #[inline(always)]
    fn reduce_i32(self, a: int32x4x2_t) -> i32 {
        unsafe { vaddvq_s32(vaddq_s32(a.0, a.1)) }
    }

    #[inline(always)]
    fn steps(bits: u32) -> usize {
        B::steps(bits)
    }

    #[inline(always)]
    fn start(self, bits: u32, total: int32x4x2_t) -> int32x4x2_t {
        self.0.start(bits, total)
    }

    #[inline(always)]
    fn dot(self, bits: u32, sum: int32x4x2_t, weights: int32x4x2_t, activations: i32) -> int32x4x2_t {
        self.0.dot(bits, sum, weights, activations)
    }

    #[inline(always)]
    fn finish(self, bits: u32, total: int32x4x2_t, sum: int32x4x2_t) -> int32x4x2_t {
        self.0.finish(bits, total, sum)
    }

    const WIDE: bool = true;

    #[inline(always)]
    fn weigh(self, _: u32, total: int32x4x2_t, sum: int32x4x2_t, factors: int32x4x2_t, part: usize) -> int32x4x2_t {
        let weighed = |total, sum, factors| unsafe {
            let factors = if part == 1 { factors } else { vshlq_n_s32::<16>(factors) };
            vmlaq_s32(total, sum, vshrq_n_s32::<16>(factors))
        };
        int32x4x2_t(weighed(total.0, sum.0, factors.0), weighed(total.1, sum.1, factors.1))
    }

    const PAIRS: bool = B::PAIRS;

    #[inline(always)]
    fn join(self, first: int32x4x2_t, second: int32x4x2_t) -> [int32x4x2_t; 2] {
        self.0.join(first, second)
    }

    #[inline(always)]
    fn dot_pair(self, sum: [int32x4x2_t; 2], weights: [int32x4x2_t; 2], activations: [[i32; 2]; 2]) -> [int32x4x2_t; 2] {
        self.0.dot_pair(sum, weights, activations)
    }

    #[inline(always)]
    fn apart(self, sum: [int32x4x2_t; 2]) -> [int32x4x2_t; 2] {
        self.0.apart(sum)
    }

    #[inline(always)]
    fn prefetch(self, bytes: &[u8], at: usize, lines: usize, near: bool) {
        let (mut line, mut left) = (bytes.as_ptr().wrapping_add(at), lines);
        while left > 0 {
            fetch_lines(line, left, near);
            (line, left) = (line.wrapping_add(4 * 64), left.saturating_sub(4));
        }
    }
}
