//! The level that every CPU has: vectors are arrays of 8, operations are loops. It is slow (without FMA hardware `mul_add` is a
//! function call) and is there so that everything runs everywhere, with the same bits. The larger operations stay functions: inlined, they
//! would be half of the crate's machine code.

use super::{Isa, Level, Op, Rows};
use half::{bf16, f16};
use std::array::from_fn;

/// Proof of nothing.
#[derive(Debug, Clone, Copy)]
pub struct Scalar;

type F = [f32; 8];
type I = [i32; 8];

impl Isa for Scalar {
    const LEVEL: Level = Level::Scalar;
    const LANES: usize = 8;
    const SIGNED_BYTES: bool = true;
    const COLUMNS: usize = 1;
    const CHAINS: usize = 1;
    type F = F;
    type Mask = [bool; 8];
    type I = I;
    type Sum = I;

    #[inline]
    fn vectorize<O: Op>(self, op: O) -> O::Output {
        fn outlined<O: Op>(isa: Scalar, op: O) -> O::Output {
            op.run(isa)
        }
        outlined(self, op)
    }

    #[inline]
    fn splat(self, x: f32) -> F {
        [x; 8]
    }

    #[inline]
    fn load(self, x: &[f32]) -> F {
        *x.first_chunk().expect("8 lanes")
    }

    #[inline]
    fn store(self, out: &mut [f32], x: F) {
        *out.first_chunk_mut().expect("8 lanes") = x;
    }

    #[inline]
    fn load_f16(self, x: &[f16]) -> F {
        x.first_chunk::<8>().expect("8 lanes").map(f16::to_f32)
    }

    #[inline]
    fn store_f16(self, out: &mut [f16], x: F) {
        *out.first_chunk_mut().expect("8 lanes") = x.map(f16::from_f32);
    }

    #[inline]
    fn load_bf16(self, x: &[bf16]) -> F {
        x.first_chunk::<8>().expect("8 lanes").map(bf16::to_f32)
    }

    #[inline]
    fn load_i8(self, x: &[i8]) -> I {
        x.first_chunk::<8>().expect("8 lanes").map(i32::from)
    }

    #[inline]
    fn load_u8(self, x: &[u8]) -> I {
        x.first_chunk::<8>().expect("8 lanes").map(i32::from)
    }

    #[inline]
    fn load_f32_bytes(self, x: &[u8]) -> F {
        let x = x.first_chunk::<32>().expect("8 lanes").as_chunks::<4>().0;
        from_fn(|i| f32::from_le_bytes(x[i]))
    }

    #[inline]
    fn load_f16_bytes(self, x: &[u8]) -> F {
        let x = x.first_chunk::<16>().expect("8 lanes").as_chunks::<2>().0;
        from_fn(|i| f16::from_le_bytes(x[i]).to_f32())
    }

    #[inline]
    fn load_bf16_bytes(self, x: &[u8]) -> F {
        let x = x.first_chunk::<16>().expect("8 lanes").as_chunks::<2>().0;
        from_fn(|i| bf16::from_le_bytes(x[i]).to_f32())
    }

    #[inline]
    fn add(self, a: F, b: F) -> F {
        from_fn(|i| a[i] + b[i])
    }

    #[inline]
    fn sub(self, a: F, b: F) -> F {
        from_fn(|i| a[i] - b[i])
    }

    #[inline]
    fn mul(self, a: F, b: F) -> F {
        from_fn(|i| a[i] * b[i])
    }

    #[inline]
    fn div(self, a: F, b: F) -> F {
        from_fn(|i| a[i] / b[i])
    }

    #[inline(never)]
    fn mul_add(self, a: F, b: F, c: F) -> F {
        from_fn(|i| a[i].mul_add(b[i], c[i]))
    }

    #[inline]
    fn neg_mul_add(self, a: F, b: F, c: F) -> F {
        from_fn(|i| (-a[i]).mul_add(b[i], c[i]))
    }

    #[inline]
    fn max(self, a: F, b: F) -> F {
        from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline]
    fn min(self, a: F, b: F) -> F {
        from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline]
    fn abs(self, a: F) -> F {
        a.map(f32::abs)
    }

    #[inline]
    fn copysign(self, a: F, b: F) -> F {
        from_fn(|i| a[i].copysign(b[i]))
    }

    #[inline]
    fn sqrt(self, a: F) -> F {
        a.map(f32::sqrt)
    }

    #[inline]
    fn round(self, a: F) -> F {
        a.map(f32::round_ties_even)
    }

    #[inline]
    fn pow2i(self, n: F) -> F {
        n.map(|n| f32::from_bits((n as i32).wrapping_add(127).wrapping_shl(23) as u32))
    }

    #[inline]
    fn less(self, a: F, b: F) -> [bool; 8] {
        from_fn(|i| a[i] < b[i])
    }

    #[inline]
    fn select(self, mask: [bool; 8], a: F, b: F) -> F {
        from_fn(|i| if mask[i] { a[i] } else { b[i] })
    }

    #[inline]
    fn reduce_add(self, a: F) -> f32 {
        let b: [f32; 4] = from_fn(|i| a[i] + a[i + 4]);
        (b[0] + b[2]) + (b[1] + b[3])
    }

    #[inline]
    fn reduce_max(self, a: F) -> f32 {
        let max = |a: f32, b: f32| if a > b { a } else { b };
        let b: [f32; 4] = from_fn(|i| max(a[i], a[i + 4]));
        max(max(b[0], b[2]), max(b[1], b[3]))
    }

    #[inline]
    fn splat_i32(self, x: i32) -> I {
        [x; 8]
    }

    #[inline]
    fn load_i32(self, x: &[i32]) -> I {
        *x.first_chunk().expect("8 lanes")
    }

    #[inline]
    fn store_i32(self, out: &mut [i32], x: I) {
        *out.first_chunk_mut().expect("8 lanes") = x;
    }

    #[inline]
    fn store_i8(self, out: &mut [i8], x: I) {
        *out.first_chunk_mut().expect("8 lanes") = x.map(|x| x.clamp(-128, 127) as i8);
    }

    #[inline(never)]
    fn transpose(self, rows: Rows<'_>, at: usize) -> [I; 4] {
        from_fn(|t| from_fn(|lane| i32::from_le_bytes(rows.four(lane, at + 4 * t))))
    }

    #[inline]
    fn and(self, a: I, b: I) -> I {
        from_fn(|i| a[i] & b[i])
    }

    #[inline]
    fn or(self, a: I, b: I) -> I {
        from_fn(|i| a[i] | b[i])
    }

    #[inline]
    fn xor(self, a: I, b: I) -> I {
        from_fn(|i| a[i] ^ b[i])
    }

    #[inline]
    fn add_i32(self, a: I, b: I) -> I {
        from_fn(|i| a[i].wrapping_add(b[i]))
    }

    #[inline]
    fn shl(self, a: I, n: u32) -> I {
        a.map(|a| a << n)
    }

    #[inline]
    fn shr(self, a: I, n: u32) -> I {
        a.map(|a| (a as u32 >> n) as i32)
    }

    #[inline]
    fn sar(self, a: I, n: u32) -> I {
        a.map(|a| a >> n)
    }

    #[inline(never)]
    fn lookup(self, table: &[u8; 16], index: I) -> I {
        index.map(|index| i32::from_le_bytes(index.to_le_bytes().map(|index| table[usize::from(index & 15)])))
    }

    #[inline(never)]
    fn add_sixteens(self, a: I, bits: I, t: u32) -> I {
        from_fn(|lane| a[lane] + i32::from_le_bytes(from_fn(|i| ((bits[lane] >> (4 * t + i as u32) & 1) as u8) << 4)))
    }

    #[inline]
    fn across(self, low: I, high: I) -> I {
        from_fn(|i| (low[i] as u32 >> 16) as i32 | high[i] << 16)
    }

    #[inline]
    fn pairs(self, a: I, upper: bool) -> I {
        let bytes = |a: i32| if upper { a as u32 >> 16 } else { a as u32 };
        a.map(|a| (bytes(a) & 0xff | (bytes(a) & 0xff00) << 8) as i32)
    }

    #[inline]
    fn add_i16(self, a: I, b: I) -> I {
        from_fn(|i| (a[i] as i16).wrapping_add(b[i] as i16) as u16 as i32 | (a[i] >> 16).wrapping_add(b[i] >> 16) << 16)
    }

    #[inline]
    fn dot_i16(self, a: I, b: I) -> I {
        from_fn(|i| i32::from(a[i] as i16) * i32::from(b[i] as i16) + (a[i] >> 16) * (b[i] >> 16))
    }

    #[inline]
    fn to_f32(self, a: I) -> F {
        a.map(|a| a as f32)
    }

    #[inline]
    fn to_i32(self, a: F) -> I {
        a.map(|a| a.round_ties_even() as i32)
    }

    #[inline]
    fn to_bits(self, a: F) -> I {
        a.map(|a| a.to_bits() as i32)
    }

    #[inline]
    fn bits_to_f32(self, a: I) -> F {
        a.map(|a| f32::from_bits(a as u32))
    }

    #[inline(never)]
    fn f16_to_f32(self, a: I) -> F {
        a.map(|a| f16::from_bits(a as u16).to_f32())
    }

    #[inline]
    fn f16s_to_f32(self, a: I) -> (F, F) {
        (self.f16_to_f32(a), self.f16_to_f32(self.shr(a, 16)))
    }

    #[inline]
    fn reduce_i32(self, a: I) -> i32 {
        a.into_iter().fold(0, i32::wrapping_add)
    }

    #[inline]
    fn steps(_: u32) -> usize {
        8
    }

    #[inline]
    fn start(self, _: u32, total: I) -> I {
        total
    }

    #[inline(never)]
    fn dot(self, _: u32, sum: I, weights: I, activations: i32) -> I {
        let a = activations.to_le_bytes().map(|a| i32::from(a as i8));
        from_fn(|lane| {
            // Smaller weights have no sign bit.
            let w = weights[lane].to_le_bytes().map(|w| i32::from(w as i8));
            sum[lane] + (w[0] * a[0] + w[1] * a[1]) + (w[2] * a[2] + w[3] * a[3])
        })
    }

    #[inline]
    fn finish(self, _: u32, _: I, sum: I) -> I {
        sum
    }

    const WIDE: bool = true;

    #[inline]
    fn weigh(self, _: u32, total: I, sum: I, factors: I, part: usize) -> I {
        from_fn(|i| total[i] + sum[i] * if part == 1 { factors[i] >> 16 } else { i32::from(factors[i] as i16) })
    }

    #[inline]
    fn prefetch(self, _: &[u8], _: usize, _: usize, _: bool) {}
}
