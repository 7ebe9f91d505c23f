//! AVX-512 without VNNI (Intel's Skylake-X): what AVX2 does, twice as wide.
//!
//! SAFETY of every intrinsic here: see `zmm.rs`.

use super::bytes::{ByteProducts, TWICE, steps_in_16_bits};
use super::zmm::Zmm;
use super::{Isa, Level, Op};
use std::arch::asm;
use std::arch::x86_64::*;

/// Proof that the CPU has AVX-512 F, BW, VL and DQ, and what [`Avx2`](super::Avx2) has.
pub type Avx512 = Zmm<Maddubs>;

/// Products by `vpmaddubsw`, which AVX-512 BW has.
#[derive(Debug, Clone, Copy)]
pub struct Maddubs(());

impl ByteProducts<__m512i> for Maddubs {
    const LEVEL: Level = Level::Avx512;
    const SIGNED_BYTES: bool = true;
    const CHAINS: usize = 1;
    const COLUMNS: usize = 5;

    #[inline(always)]
    fn new() -> Option<Self> {
        Some(Maddubs(()))
    }

    #[inline(always)]
    fn vectorize<I: Isa, O: Op>(self, isa: I, op: O) -> O::Output {
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")]
        fn with_features<I: Isa, O: Op>(isa: I, op: O) -> O::Output {
            op.run(isa)
        }
        unsafe { with_features(isa, op) }
    }

    #[inline(always)]
    fn steps(bits: u32) -> usize {
        steps_in_16_bits(bits)
    }

    #[inline(always)]
    fn start(self, bits: u32, total: __m512i) -> __m512i {
        if bits > 6 { total } else { unsafe { _mm512_setzero_si512() } }
    }

    // Weights of 8 bits give their sign to the activation, |w| × ±a, and are widened at once.
    #[inline(always)]
    fn dot(self, bits: u32, sum: __m512i, weights: __m512i, activations: i32) -> __m512i {
        unsafe {
            let activations = _mm512_set1_epi32(activations);
            if bits > 6 {
                let signed = _mm512_mask_sub_epi8(activations, _mm512_movepi8_mask(weights), _mm512_setzero_si512(), activations);
                let pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(weights), signed);
                in_order(_mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1))))
            } else {
                in_order(_mm512_add_epi16(sum, _mm512_maddubs_epi16(weights, activations)))
            }
        }
    }

    #[inline(always)]
    fn finish(self, bits: u32, total: __m512i, sum: __m512i) -> __m512i {
        if bits > 6 {
            return sum;
        }
        unsafe { _mm512_add_epi32(total, _mm512_madd_epi16(sum, _mm512_set1_epi16(1))) }
    }

    const WIDE: bool = false;

    #[inline(always)]
    fn weigh(self, _: u32, total: __m512i, sum: __m512i, factors: __m512i, part: usize) -> __m512i {
        unsafe {
            let twice = _mm512_shuffle_epi8(factors, _mm512_broadcast_i32x4(_mm_loadu_si128(TWICE[part].as_ptr().cast())));
            _mm512_add_epi32(total, _mm512_madd_epi16(sum, twice))
        }
    }
}

/// `sum`, of which the compiler knows nothing more. Else it would reorder the sums of a tile into trees, keep all of a block's activations
/// for them, and spill those: a third of the speed.
#[inline]
#[target_feature(enable = "avx512f")]
fn in_order(mut sum: __m512i) -> __m512i {
    unsafe { asm!("/* {0} */", inout(zmm_reg) sum, options(pure, nomem, nostack, preserves_flags)) };
    sum
}
