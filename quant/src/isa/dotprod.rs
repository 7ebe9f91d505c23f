//! NEON with byte dot products (ARMv8.2 and later: Cortex-A55, A76, Neoverse N1, Apple M1; Raspberry Pi 5): `sdot` multiplies and adds
//! four bytes in each lane, with four bytes of another register's choice.
//!
//! SAFETY: a [`Sdot`] exists only where [`Sdot::new`] has seen the feature. The instruction is written out, as its intrinsic is not
//! stable; it touches nothing but its operands.

use super::bytes::ByteProducts;
use super::neon::Vectors;
use super::{Isa, Level, Op};
use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

/// Proof that the CPU has byte dot products.
pub type DotProd = Vectors<Sdot>;

/// Products by `sdot`.
#[derive(Debug, Clone, Copy)]
pub struct Sdot(());

impl ByteProducts<int32x4x2_t> for Sdot {
    const LEVEL: Level = Level::DotProd;
    const SIGNED_BYTES: bool = true;
    const COLUMNS: usize = 4;
    // A sum goes on from one `sdot` to the next in a cycle (Neoverse N2), and a second one is to be added in the end.
    const CHAINS: usize = 1;

    #[inline(always)]
    fn new() -> Option<Self> {
        is_aarch64_feature_detected!("dotprod").then_some(Sdot(()))
    }

    #[inline(always)]
    fn vectorize<I: Isa, O: Op>(self, isa: I, op: O) -> O::Output {
        #[target_feature(enable = "dotprod")]
        fn with_features<I: Isa, O: Op>(isa: I, op: O) -> O::Output {
            op.run(isa)
        }
        unsafe { with_features(isa, op) }
    }

    #[inline(always)]
    fn dot(self, _: u32, sum: int32x4x2_t, weights: int32x4x2_t, activations: i32) -> int32x4x2_t {
        // As an f32 they are loaded to where `sdot` wants them.
        let activations = f32::from_bits(activations as u32);
        unsafe { int32x4x2_t(sdot(sum.0, weights.0, activations), sdot(sum.1, weights.1, activations)) }
    }
}

/// `sum` and the products of its lanes' four bytes with the four bytes of `activations`.
#[inline]
#[target_feature(enable = "dotprod")]
fn sdot(mut sum: int32x4_t, weights: int32x4_t, activations: f32) -> int32x4_t {
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {weights:v}.16b, {activations:v}.4b[0]",
            sum = inout(vreg) sum,
            weights = in(vreg) weights,
            activations = in(vreg) activations,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}
