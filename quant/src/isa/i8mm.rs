//! NEON with byte matrix products (ARMv8.6 and later: Neoverse V1 and N2, Cortex-A510, A710 and X2, Apple M2): `smmla` multiplies eight
//! bytes of two rows with eight of two columns, which is what a panel's tile is made of. Where there is one column, byte dot products do.
//!
//! SAFETY: an [`Smmla`] exists only where [`Smmla::new`] has seen the feature. The instruction is written out, as its intrinsic is not
//! stable; it touches nothing but its operands. The intrinsics are NEON's, which is part of the target.

use super::bytes::ByteProducts;
use super::dotprod::Sdot;
use super::neon::Vectors;
use super::{Isa, Level, Op};
use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

/// Proof that the CPU has byte matrix products, and byte dot products too.
pub type I8mm = Vectors<Smmla>;

/// Products by `smmla`, and by `sdot`.
#[derive(Debug, Clone, Copy)]
pub struct Smmla(Sdot);

impl ByteProducts<int32x4x2_t> for Smmla {
    const LEVEL: Level = Level::I8mm;
    const SIGNED_BYTES: bool = true;
    const COLUMNS: usize = 4;
    const CHAINS: usize = Sdot::CHAINS;
    const PAIRS: bool = true;

    #[inline(always)]
    fn new() -> Option<Self> {
        Sdot::new().filter(|_| is_aarch64_feature_detected!("i8mm")).map(Smmla)
    }

    #[inline(always)]
    fn vectorize<I: Isa, O: Op>(self, isa: I, op: O) -> O::Output {
        #[target_feature(enable = "dotprod,i8mm")]
        fn with_features<I: Isa, O: Op>(isa: I, op: O) -> O::Output {
            op.run(isa)
        }
        unsafe { with_features(isa, op) }
    }

    #[inline(always)]
    fn dot(self, bits: u32, sum: int32x4x2_t, weights: int32x4x2_t, activations: i32) -> int32x4x2_t {
        self.0.dot(bits, sum, weights, activations)
    }

    /// Rows 0 and 1, 2 and 3, then 4 and 5, 6 and 7, with eight bytes each.
    #[inline(always)]
    fn join(self, first: int32x4x2_t, second: int32x4x2_t) -> [int32x4x2_t; 2] {
        let joined = |first, second| unsafe { int32x4x2_t(vzip1q_s32(first, second), vzip2q_s32(first, second)) };
        [joined(first.0, second.0), joined(first.1, second.1)]
    }

    #[inline(always)]
    fn dot_pair(self, sum: [int32x4x2_t; 2], weights: [int32x4x2_t; 2], activations: [[i32; 2]; 2]) -> [int32x4x2_t; 2] {
        let eight = |[low, high]: [i32; 2]| u64::from(low as u32) | u64::from(high as u32) << 32;
        unsafe {
            let columns = vreinterpretq_s32_u64(vcombine_u64(vcreate_u64(eight(activations[0])), vcreate_u64(eight(activations[1]))));
            let add =
                |sum: int32x4x2_t, weights: int32x4x2_t| int32x4x2_t(smmla(sum.0, weights.0, columns), smmla(sum.1, weights.1, columns));
            [add(sum[0], weights[0]), add(sum[1], weights[1])]
        }
    }

    #[inline(always)]
    fn apart(self, [low, high]: [int32x4x2_t; 2]) -> [int32x4x2_t; 2] {
        unsafe {
            [
                int32x4x2_t(vuzp1q_s32(low.0, low.1), vuzp1q_s32(high.0, high.1)),
                int32x4x2_t(vuzp2q_s32(low.0, low.1), vuzp2q_s32(high.0, high.1)),
            ]
        }
    }
}

/// `sum`, two rows by two columns, and the products of `weights`' two times eight bytes with those of `columns`.
#[inline]
#[target_feature(enable = "i8mm")]
fn smmla(mut sum: int32x4_t, weights: int32x4_t, columns: int32x4_t) -> int32x4_t {
    unsafe {
        asm!(
            "smmla {sum:v}.4s, {weights:v}.16b, {columns:v}.16b",
            sum = inout(vreg) sum,
            weights = in(vreg) weights,
            columns = in(vreg) columns,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}
