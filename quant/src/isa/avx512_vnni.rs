//! AVX-512 with VNNI (Intel Ice Lake, AMD Zen 4 and later): byte dot products into 32 bits, sixteen at a time.
//!
//! SAFETY of every intrinsic here: see `zmm.rs`, and a [`Dpbusd`] exists only where [`Dpbusd::new`] has seen AVX-512 VNNI.

use super::bytes::ByteProducts;
use super::zmm::Zmm;
use super::{Isa, Level, Op};
use std::arch::x86_64::*;

/// Proof that the CPU has AVX-512 F, BW, VL, DQ, VNNI, and what [`Avx2`](super::Avx2) has.
pub type Avx512Vnni = Zmm<Dpbusd>;

/// Products by the `vpdpbusd` of AVX-512 VNNI.
#[derive(Debug, Clone, Copy)]
pub struct Dpbusd(());

impl ByteProducts<__m512i> for Dpbusd {
    const LEVEL: Level = Level::Avx512Vnni;
    const COLUMNS: usize = 5;

    #[inline(always)]
    fn new() -> Option<Self> {
        is_x86_feature_detected!("avx512vnni").then_some(Dpbusd(()))
    }

    #[inline(always)]
    fn vectorize<I: Isa, O: Op>(self, isa: I, op: O) -> O::Output {
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        fn with_features<I: Isa, O: Op>(isa: I, op: O) -> O::Output {
            op.run(isa)
        }
        unsafe { with_features(isa, op) }
    }

    #[inline(always)]
    fn dot(self, _: u32, sum: __m512i, weights: __m512i, activations: i32) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sum, weights, _mm512_set1_epi32(activations)) }
    }

    // The halves' sums side by side, where they are of 16 bits.
    #[inline(always)]
    fn weigh(self, bits: u32, total: __m512i, sum: __m512i, factors: __m512i, part: usize) -> __m512i {
        unsafe {
            match (bits > 4, part) {
                (false, 0) => sum,
                (false, _) => {
                    let both = _mm512_mask_blend_epi16(0xaaaa_aaaa, total, _mm512_slli_epi32::<16>(sum));
                    _mm512_dpwssd_epi32(_mm512_setzero_si512(), both, factors)
                }
                (true, 0) => _mm512_mullo_epi32(sum, _mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(factors))),
                (true, _) => _mm512_add_epi32(total, _mm512_mullo_epi32(sum, _mm512_srai_epi32::<16>(factors))),
            }
        }
    }
}
