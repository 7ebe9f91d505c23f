//! NEON without byte dot products (Cortex-A53 to A73: Raspberry Pi 3 and 4): bytes are multiplied to 16 bits, two products are added
//! there, and pairs of those to the sum.
//!
//! SAFETY of every intrinsic here: NEON is part of the target. The one instruction that is written out touches nothing but its operands.

use super::bytes::ByteProducts;
use super::neon::Vectors;
use super::{Isa, Level, Op};
use std::arch::aarch64::*;
use std::arch::asm;

/// What every 64-bit ARM CPU has.
pub type Neon = Vectors<Smull>;

/// Products by `smull`.
#[derive(Debug, Clone, Copy)]
pub struct Smull(());

impl ByteProducts<int32x4x2_t> for Smull {
    const LEVEL: Level = Level::Neon;
    const SIGNED_BYTES: bool = true;
    const COLUMNS: usize = 4;
    const CHAINS: usize = 1;

    #[inline(always)]
    fn new() -> Option<Self> {
        Some(Smull(()))
    }

    #[inline(always)]
    fn vectorize<I: Isa, O: Op>(self, isa: I, op: O) -> O::Output {
        #[inline(never)]
        fn outlined<I: Isa, O: Op>(isa: I, op: O) -> O::Output {
            op.run(isa)
        }
        outlined(isa, op)
    }

    #[inline(always)]
    fn dot(self, _: u32, sum: int32x4x2_t, weights: int32x4x2_t, activations: i32) -> int32x4x2_t {
        unsafe {
            let activations = vreinterpretq_s8_s32(vdupq_n_s32(activations));
            // Two products are at most 2 × 127 × 128 in magnitude, below 2^15.
            let add = |sum, weights| {
                let weights = vreinterpretq_s8_s32(weights);
                let low = vmull_s8(vget_low_s8(weights), vget_low_s8(activations));
                vpadalq_s16(sum, vpaddq_s16(low, upper_products(weights, activations)))
            };
            int32x4x2_t(add(sum.0, weights.0), add(sum.1, weights.1))
        }
    }
}

/// The products of the upper eight bytes. Of the intrinsic the compiler makes two instructions where `b` repeats itself.
#[inline(always)]
fn upper_products(a: int8x16_t, b: int8x16_t) -> int16x8_t {
    let products: int16x8_t;
    unsafe {
        asm!(
            "smull2 {products:v}.8h, {a:v}.16b, {b:v}.16b",
            products = lateout(vreg) products,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    products
}
