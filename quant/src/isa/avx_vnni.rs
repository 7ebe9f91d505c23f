//! AVX-VNNI (Intel from Alder Lake, AMD from Zen 5): 256-bit vectors with byte dot products, for CPUs that have no AVX-512.
//!
//! SAFETY of every intrinsic here: see `ymm.rs`, and a [`Dpbusd`] exists only where [`Dpbusd::new`] has seen AVX-VNNI.

use super::bytes::ByteProducts;
use super::ymm::Ymm;
use super::{Isa, Level, Op};
use std::arch::x86_64::*;

/// Proof that the CPU has AVX-VNNI, and what [`Avx2`](super::Avx2) has.
pub type AvxVnni = Ymm<Dpbusd>;

/// Products by the `vpdpbusd` of AVX-VNNI.
#[derive(Debug, Clone, Copy)]
pub struct Dpbusd(());

impl ByteProducts<__m256i> for Dpbusd {
    const LEVEL: Level = Level::AvxVnni;
    const COLUMNS: usize = 4;

    #[inline(always)]
    fn new() -> Option<Self> {
        is_x86_feature_detected!("avxvnni").then_some(Dpbusd(()))
    }

    #[inline(always)]
    fn vectorize<I: Isa, O: Op>(self, isa: I, op: O) -> O::Output {
        #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
        fn with_features<I: Isa, O: Op>(isa: I, op: O) -> O::Output {
            op.run(isa)
        }
        unsafe { with_features(isa, op) }
    }

    #[inline(always)]
    fn dot(self, _: u32, sum: __m256i, weights: __m256i, activations: i32) -> __m256i {
        unsafe { _mm256_dpbusd_avx_epi32(sum, weights, _mm256_set1_epi32(activations)) }
    }

    #[inline(always)]
    fn weigh(self, bits: u32, total: __m256i, sum: __m256i, factors: __m256i, part: usize) -> __m256i {
        unsafe { weighed(bits, total, sum, factors, part) }
    }
}

/// The halves' sums side by side, where they are of 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn weighed(bits: u32, total: __m256i, sum: __m256i, factors: __m256i, part: usize) -> __m256i {
    match (bits > 4, part) {
        (false, 0) => sum,
        (false, _) => _mm256_madd_epi16(_mm256_blend_epi16::<0b1010_1010>(total, _mm256_slli_epi32::<16>(sum)), factors),
        (true, 0) => _mm256_mullo_epi32(sum, _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(factors))),
        (true, _) => _mm256_add_epi32(total, _mm256_mullo_epi32(sum, _mm256_srai_epi32::<16>(factors))),
    }
}

/// What the level computes, for machines that can't: `vpdpbusd` written out, all else as it is.
#[cfg(test)]
pub(super) mod model {
    use super::*;

    pub(in super::super) type AvxVnniModel = Ymm<DpbusdModel>;

    #[derive(Clone, Copy)]
    pub(in super::super) struct DpbusdModel(());

    impl ByteProducts<__m256i> for DpbusdModel {
        const LEVEL: Level = Dpbusd::LEVEL;
        const COLUMNS: usize = Dpbusd::COLUMNS;

        fn new() -> Option<Self> {
            Some(DpbusdModel(()))
        }

        fn vectorize<I: Isa, O: Op>(self, isa: I, op: O) -> O::Output {
            super::super::avx2::Maddubs::new().expect("needs nothing").vectorize(isa, op)
        }

        /// Intel's definition of `vpdpbusd`: the four products are added to the sum, wrapping.
        #[inline(always)]
        fn dot(self, _: u32, sum: __m256i, weights: __m256i, activations: i32) -> __m256i {
            let lanes = |x: __m256i| unsafe { std::mem::transmute::<__m256i, [i32; 8]>(x) };
            let (mut sum, weights) = (lanes(sum), lanes(weights));
            for (lane, sum) in sum.iter_mut().enumerate() {
                for (w, a) in weights[lane].to_le_bytes().into_iter().zip(activations.to_le_bytes()) {
                    *sum = sum.wrapping_add(i32::from(w) * i32::from(a as i8));
                }
            }
            unsafe { std::mem::transmute(sum) }
        }

        #[inline(always)]
        fn weigh(self, bits: u32, total: __m256i, sum: __m256i, factors: __m256i, part: usize) -> __m256i {
            unsafe { weighed(bits, total, sum, factors, part) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AvxVnni, model::AvxVnniModel};
    use crate::isa::{Avx2, Level};
    use crate::{Activations, ColumnsMut, Input, InputKind, Matrix, Scratch, Type, Write, multiply, wants};

    fn product(level: Level, w: &Matrix<'_>, x: &[f32]) -> Vec<f32> {
        let batch = x.len() / w.cols();
        let mut activations = Activations::new();
        activations.quantize(level, x, w.cols());
        let input = if wants(w.ty()) == InputKind::Dense { Input::Dense(x) } else { Input::Quantised(&activations) };
        let mut out = vec![0.0; batch * w.rows()];
        let batch = crate::Batch { input, rows: None };
        multiply(level, w, batch, Write::Set, &mut ColumnsMut::new(&mut out, w.rows()), &mut Scratch::new());
        out
    }

    #[test]
    fn a_product_has_the_bits_of_avx2_whether_the_cpu_has_the_level_or_not() {
        if Avx2::new().is_none() {
            return eprintln!("not run: this CPU has no AVX2");
        }
        if AvxVnni::new().is_none() {
            assert!(AvxVnniModel::new().is_some() && !Level::available().contains(&Level::AvxVnni));
            eprintln!("not run natively: this CPU has no AVX-VNNI; its vpdpbusd is written out");
        }
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 40) as u32
        };
        let (rows, cols) = (37, 512);
        for &ty in Type::ALL {
            // Any bytes: where a half float is none, both levels say so.
            let bytes: Vec<u8> = (0..ty.bytes_for(rows * cols).unwrap()).map(|_| random() as u8).collect();
            let w = Matrix::new(ty, rows, cols, &bytes).unwrap();
            for batch in [1, 2, 4, 5, 13] {
                let x: Vec<f32> = (0..batch * cols).map(|_| random() as f32 / (1 << 23) as f32 - 1.0).collect();
                let (want, got) = (product(Level::Avx2, &w, &x), product(Level::AvxVnni, &w, &x));
                let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
                assert!(want.iter().zip(&got).all(same), "{ty:?} × {batch}");
            }
        }
    }
}
