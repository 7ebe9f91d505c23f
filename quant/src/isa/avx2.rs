//! AVX2 (Intel from 2013, AMD from 2015): byte products by `maddubs`, added up in 16 bits where the weights are small enough.
//!
//! SAFETY of every intrinsic here: see `ymm.rs`.

use super::bytes::{ByteProducts, TWICE, steps_in_16_bits};
use super::ymm::Ymm;
use super::{Isa, Level, Op};
use std::arch::asm;
use std::arch::x86_64::*;

/// Proof that the CPU has AVX2, FMA and F16C.
pub type Avx2 = Ymm<Maddubs>;

/// Products by `vpmaddubsw`, which AVX2 has.
#[derive(Debug, Clone, Copy)]
pub struct Maddubs(());

impl ByteProducts<__m256i> for Maddubs {
    const LEVEL: Level = Level::Avx2;
    const SIGNED_BYTES: bool = true;
    const CHAINS: usize = 1;
    const COLUMNS: usize = 4;

    #[inline(always)]
    fn new() -> Option<Self> {
        Some(Maddubs(()))
    }

    #[inline(always)]
    fn vectorize<I: Isa, O: Op>(self, isa: I, op: O) -> O::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
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
    fn start(self, bits: u32, total: __m256i) -> __m256i {
        if bits > 6 { total } else { unsafe { _mm256_setzero_si256() } }
    }

    // Weights of 8 bits give their sign to the activation, |w| × ±a, and are widened at once.
    #[inline(always)]
    fn dot(self, bits: u32, sum: __m256i, weights: __m256i, activations: i32) -> __m256i {
        unsafe {
            let activations = _mm256_set1_epi32(activations);
            if bits > 6 {
                let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(activations, weights));
                in_order(_mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))))
            } else {
                in_order(_mm256_add_epi16(sum, _mm256_maddubs_epi16(weights, activations)))
            }
        }
    }

    #[inline(always)]
    fn finish(self, bits: u32, total: __m256i, sum: __m256i) -> __m256i {
        if bits > 6 {
            return sum;
        }
        unsafe { _mm256_add_epi32(total, _mm256_madd_epi16(sum, _mm256_set1_epi16(1))) }
    }

    const WIDE: bool = false;

    #[inline(always)]
    fn weigh(self, _: u32, total: __m256i, sum: __m256i, factors: __m256i, part: usize) -> __m256i {
        unsafe {
            let twice = shuffle_bytes(factors, _mm256_broadcastsi128_si256(_mm_loadu_si128(TWICE[part].as_ptr().cast())));
            _mm256_add_epi32(total, _mm256_madd_epi16(sum, twice))
        }
    }
}

/// `sum`, of which the compiler knows nothing more, after every sum before it. Else it would reorder the sums of a tile into trees, keep
/// all of a block's activations for them, and spill those: a third of the speed.
#[inline]
#[target_feature(enable = "avx2")]
fn in_order(mut sum: __m256i) -> __m256i {
    unsafe { asm!("/* {0} */", inout(ymm_reg) sum, options(nomem, nostack, preserves_flags)) };
    sum
}

/// `vpshufb`, of which the compiler would make two other shuffles.
#[inline]
#[target_feature(enable = "avx2")]
fn shuffle_bytes(a: __m256i, places: __m256i) -> __m256i {
    let b;
    unsafe {
        asm!("vpshufb {0}, {1}, {2}", lateout(ymm_reg) b, in(ymm_reg) a, in(ymm_reg) places, options(pure, nomem, nostack, preserves_flags))
    };
    b
}
