//! NEON without byte dot products (Cortex-A53 to A73: Raspberry Pi 3 and 4): bytes are multiplied to 16 bits, two products are added
//! there, and pairs of those to the sum.
//!
//! SAFETY of every intrinsic here: NEON is part of the target. The instructions that are written out touch nothing but their operands.

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
        add_products(sum, weights, unsafe { vdupq_n_s32(activations) })
    }
}

/// `sum` and the products of its lanes' four bytes with those of `activations`. Two products are at most 2 × 127 × 128 in magnitude, below
/// 2^15. Written out in one piece: of intrinsics the compiler makes other products where it knows that weights are not negative, and
/// it takes those of several sums at once, for which there are too few registers (Q5_K: 44 instructions for 32 weights).
#[inline(always)]
fn add_products(sum: int32x4x2_t, weights: int32x4x2_t, activations: int32x4_t) -> int32x4x2_t {
    let int32x4x2_t(mut first, mut second) = sum;
    unsafe {
        asm!(
            "smull {a:v}.8h, {v:v}.8b, {x:v}.8b",
            "smull {b:v}.8h, {w:v}.8b, {x:v}.8b",
            "smull2 {c:v}.8h, {v:v}.16b, {x:v}.16b",
            "smull2 {d:v}.8h, {w:v}.16b, {x:v}.16b",
            "addp {a:v}.8h, {a:v}.8h, {c:v}.8h",
            "addp {b:v}.8h, {b:v}.8h, {d:v}.8h",
            "sadalp {first:v}.4s, {a:v}.8h",
            "sadalp {second:v}.4s, {b:v}.8h",
            first = inout(vreg) first,
            second = inout(vreg) second,
            v = in(vreg) weights.0,
            w = in(vreg) weights.1,
            x = in(vreg) activations,
            a = out(vreg) _,
            b = out(vreg) _,
            c = out(vreg) _,
            d = out(vreg) _,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    int32x4x2_t(first, second)
}
