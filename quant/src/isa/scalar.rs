//! The level that every CPU has: vectors are arrays of 8, operations are loops. It is slow (without FMA hardware `mul_add` is a
//! function call) and is there so that everything runs everywhere, with the same bits.

use super::{Isa, Level, Op};
use half::{bf16, f16};
use std::array::from_fn;

/// Proof of nothing.
#[derive(Debug, Clone, Copy)]
pub struct Scalar;

type F = [f32; 8];

impl Isa for Scalar {
    const LEVEL: Level = Level::Scalar;
    const LANES: usize = 8;
    type F = F;
    type Mask = [bool; 8];

    #[inline(always)]
    fn vectorize<O: Op>(self, op: O) -> O::Output {
        op.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        [x; 8]
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> F {
        *x.first_chunk().expect("8 lanes")
    }

    #[inline(always)]
    fn store(self, out: &mut [f32], x: F) {
        *out.first_chunk_mut().expect("8 lanes") = x;
    }

    #[inline(always)]
    fn load_f16(self, x: &[f16]) -> F {
        x.first_chunk::<8>().expect("8 lanes").map(f16::to_f32)
    }

    #[inline(always)]
    fn store_f16(self, out: &mut [f16], x: F) {
        *out.first_chunk_mut().expect("8 lanes") = x.map(f16::from_f32);
    }

    #[inline(always)]
    fn load_bf16(self, x: &[bf16]) -> F {
        x.first_chunk::<8>().expect("8 lanes").map(bf16::to_f32)
    }

    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        from_fn(|i| a[i] / b[i])
    }

    #[inline(always)]
    fn mul_add(self, a: F, b: F, c: F) -> F {
        from_fn(|i| a[i].mul_add(b[i], c[i]))
    }

    #[inline(always)]
    fn neg_mul_add(self, a: F, b: F, c: F) -> F {
        from_fn(|i| (-a[i]).mul_add(b[i], c[i]))
    }

    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn min(self, a: F, b: F) -> F {
        from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn abs(self, a: F) -> F {
        a.map(f32::abs)
    }

    #[inline(always)]
    fn copysign(self, a: F, b: F) -> F {
        from_fn(|i| a[i].copysign(b[i]))
    }

    #[inline(always)]
    fn sqrt(self, a: F) -> F {
        a.map(f32::sqrt)
    }

    #[inline(always)]
    fn round(self, a: F) -> F {
        a.map(f32::round_ties_even)
    }

    #[inline(always)]
    fn floor(self, a: F) -> F {
        a.map(f32::floor)
    }

    #[inline(always)]
    fn pow2i(self, n: F) -> F {
        n.map(|n| f32::from_bits((n as i32).wrapping_add(127).wrapping_shl(23) as u32))
    }

    #[inline(always)]
    fn less(self, a: F, b: F) -> [bool; 8] {
        from_fn(|i| a[i] < b[i])
    }

    #[inline(always)]
    fn select(self, mask: [bool; 8], a: F, b: F) -> F {
        from_fn(|i| if mask[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn reduce_add(self, a: F) -> f32 {
        let b: [f32; 4] = from_fn(|i| a[i] + a[i + 4]);
        (b[0] + b[2]) + (b[1] + b[3])
    }

    #[inline(always)]
    fn reduce_max(self, a: F) -> f32 {
        let max = |a: f32, b: f32| if a > b { a } else { b };
        let b: [f32; 4] = from_fn(|i| max(a[i], a[i + 4]));
        max(max(b[0], b[2]), max(b[1], b[3]))
    }
}
