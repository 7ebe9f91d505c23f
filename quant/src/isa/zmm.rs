//! 512-bit vectors: AVX-512 F, BW, VL and DQ. The levels that have them differ in how they multiply bytes ([`ByteProducts`]).
//!
//! SAFETY of every intrinsic here: a [`Zmm`] exists only where [`Zmm::new`] has seen the features. Loads and stores go through
//! array references of their full size.

use super::bytes::{APART, ByteProducts};
use super::{Isa, LINE, Level, Op, Rows};
use half::{bf16, f16};
use std::arch::x86_64::*;

/// Proof that the CPU has AVX-512 F, BW, VL and DQ, what [`Avx2`](super::Avx2) has, and what `B` needs.
#[derive(Debug, Clone, Copy)]
pub struct Zmm<B>(B);

impl<B: ByteProducts<__m512i>> Zmm<B> {
    /// The token, where the CPU has the features.
    #[inline]
    pub fn new() -> Option<Self> {
        let has = super::Avx2::new().is_some()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq");
        if has { B::new().map(Zmm) } else { None }
    }
}

impl<B: ByteProducts<__m512i>> Isa for Zmm<B> {
    const LEVEL: Level = B::LEVEL;
    const LANES: usize = 16;
    const SIGNED_BYTES: bool = B::SIGNED_BYTES;
    const COLUMNS: usize = B::COLUMNS;
    const CHAINS: usize = B::CHAINS;
    type F = __m512;
    type Mask = __mmask16;
    type I = __m512i;
    type Sum = __m512i;

    #[inline(always)]
    fn vectorize<O: Op>(self, op: O) -> O::Output {
        self.0.vectorize(self, op)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> __m512 {
        let x: &[f32; 16] = x.first_chunk().expect("16 lanes");
        unsafe { _mm512_loadu_ps(x.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, out: &mut [f32], x: __m512) {
        let out: &mut [f32; 16] = out.first_chunk_mut().expect("16 lanes");
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn load_f16(self, x: &[f16]) -> __m512 {
        let x: &[f16; 16] = x.first_chunk().expect("16 lanes");
        unsafe { f16_to_f32(_mm256_loadu_si256(x.as_ptr().cast())) }
    }

    #[inline(always)]
    fn store_f16(self, out: &mut [f16], x: __m512) {
        let out: &mut [f16; 16] = out.first_chunk_mut().expect("16 lanes");
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x)) }
    }

    #[inline(always)]
    fn load_bf16(self, x: &[bf16]) -> __m512 {
        let x: &[bf16; 16] = x.first_chunk().expect("16 lanes");
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(x.as_ptr().cast())))) }
    }

    #[inline(always)]
    fn load_i8(self, x: &[i8]) -> __m512i {
        let x: &[i8; 16] = x.first_chunk().expect("16 lanes");
        unsafe { _mm512_cvtepi8_epi32(_mm_loadu_si128(x.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_u8(self, x: &[u8]) -> __m512i {
        let x: &[u8; 16] = x.first_chunk().expect("16 lanes");
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(x.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_f32_bytes(self, x: &[u8]) -> __m512 {
        let x: &[u8; 64] = x.first_chunk().expect("16 lanes");
        unsafe { _mm512_loadu_ps(x.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_f16_bytes(self, x: &[u8]) -> __m512 {
        let x: &[u8; 32] = x.first_chunk().expect("16 lanes");
        unsafe { f16_to_f32(_mm256_loadu_si256(x.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_bf16_bytes(self, x: &[u8]) -> __m512 {
        let x: &[u8; 32] = x.first_chunk().expect("16 lanes");
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(x.as_ptr().cast())))) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn neg_mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        unsafe { _mm512_andnot_ps(_mm512_set1_ps(-0.0), a) }
    }

    #[inline(always)]
    fn copysign(self, a: __m512, b: __m512) -> __m512 {
        unsafe {
            let sign = _mm512_set1_ps(-0.0);
            _mm512_or_ps(_mm512_andnot_ps(sign, a), _mm512_and_ps(sign, b))
        }
    }

    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        unsafe { _mm512_sqrt_ps(a) }
    }

    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }

    #[inline(always)]
    fn pow2i(self, n: __m512) -> __m512 {
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)))) }
    }

    #[inline(always)]
    fn scale_by_power(self, x: __m512, n: __m512) -> __m512 {
        unsafe { _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(n, _mm512_set1_ps(-126.0)), x, n) }
    }

    #[inline(always)]
    fn less(self, a: __m512, b: __m512) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
    }

    #[inline(always)]
    fn select(self, mask: __mmask16, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mask_blend_ps(mask, b, a) }
    }

    #[inline(always)]
    fn reduce_add(self, a: __m512) -> f32 {
        unsafe {
            let a = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let c = _mm_add_ps(b, _mm_movehl_ps(b, b));
            _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)))
        }
    }

    #[inline(always)]
    fn reduce_max(self, a: __m512) -> f32 {
        unsafe {
            let a = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let c = _mm_max_ps(b, _mm_movehl_ps(b, b));
            _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)))
        }
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m512i {
        unsafe { _mm512_set1_epi32(x) }
    }

    #[inline(always)]
    fn load_i32(self, x: &[i32]) -> __m512i {
        let x: &[i32; 16] = x.first_chunk().expect("16 lanes");
        unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_i32(self, out: &mut [i32], x: __m512i) {
        let out: &mut [i32; 16] = out.first_chunk_mut().expect("16 lanes");
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), x) }
    }

    #[inline(always)]
    fn store_i8(self, out: &mut [i8], x: __m512i) {
        let out: &mut [i8; 16] = out.first_chunk_mut().expect("16 lanes");
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), _mm512_cvtsepi32_epi8(x)) }
    }

    #[inline(always)]
    fn transpose(self, rows: Rows<'_>, at: usize) -> [__m512i; 4] {
        let (start, stride) = rows.start(Self::LANES, at, 16);
        unsafe {
            let row = |row: usize| _mm_loadu_si128(start.add(row * stride).cast());
            let four = |first: usize| {
                let low = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(row(first)), row(first + 4));
                let high = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(row(first + 8)), row(first + 12));
                _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
            };
            let (a, b, c, d) = (four(0), four(1), four(2), four(3));
            let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
            let (ef, gh) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
            [_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd), _mm512_unpacklo_epi64(ef, gh), _mm512_unpackhi_epi64(ef, gh)]
        }
    }

    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_and_si512(a, b) }
    }

    #[inline(always)]
    fn or(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_or_si512(a, b) }
    }

    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_xor_si512(a, b) }
    }

    #[inline(always)]
    fn add_i32(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn shl(self, a: __m512i, n: u32) -> __m512i {
        unsafe { _mm512_sll_epi32(a, _mm_cvtsi32_si128(n as i32)) }
    }

    #[inline(always)]
    fn shr(self, a: __m512i, n: u32) -> __m512i {
        unsafe { _mm512_srl_epi32(a, _mm_cvtsi32_si128(n as i32)) }
    }

    #[inline(always)]
    fn sar(self, a: __m512i, n: u32) -> __m512i {
        unsafe { _mm512_sra_epi32(a, _mm_cvtsi32_si128(n as i32)) }
    }

    #[inline(always)]
    fn lookup(self, table: &[u8; 16], index: __m512i) -> __m512i {
        unsafe { _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())), index) }
    }

    #[inline(always)]
    fn add_sixteens(self, a: __m512i, bits: __m512i, t: u32) -> __m512i {
        // Four bits, a lane's lowest, pick one of sixteen dwords, whatever is above them.
        const DWORDS: [i32; 16] = {
            let mut dwords = [0; 16];
            let mut bits = 0;
            while bits < 16 {
                dwords[bits] = (bits << 4 & 0x10 | bits << 11 & 0x1000 | bits << 18 & 0x10_0000 | bits << 25 & 0x1000_0000) as i32;
                bits += 1;
            }
            dwords
        };
        self.or(a, unsafe { _mm512_permutexvar_epi32(self.shr(bits, 4 * t), _mm512_loadu_si512(DWORDS.as_ptr().cast())) })
    }

    #[inline(always)]
    fn across(self, low: __m512i, high: __m512i) -> __m512i {
        const WORDS: [i16; 32] = {
            let mut words = [0; 32];
            let mut i = 0;
            while i < 32 {
                // Word 2k is the upper one of lane k of the first operand, word 2k + 1 the lower one of the second.
                words[i] = if i % 2 == 0 { i as i16 + 1 } else { 32 + i as i16 - 1 };
                i += 1;
            }
            words
        };
        unsafe { _mm512_permutex2var_epi16(low, _mm512_loadu_si512(WORDS.as_ptr().cast()), high) }
    }

    #[inline(always)]
    fn pairs(self, a: __m512i, upper: bool) -> __m512i {
        let places = APART[usize::from(upper)].as_ptr();
        unsafe { _mm512_shuffle_epi8(a, _mm512_broadcast_i32x4(_mm_loadu_si128(places.cast()))) }
    }

    #[inline(always)]
    fn add_i16(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_add_epi16(a, b) }
    }

    #[inline(always)]
    fn dot_i16(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_madd_epi16(a, b) }
    }

    #[inline(always)]
    fn to_f32(self, a: __m512i) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(a) }
    }

    #[inline(always)]
    fn to_i32(self, a: __m512) -> __m512i {
        unsafe { _mm512_cvtps_epi32(a) }
    }

    #[inline(always)]
    fn to_bits(self, a: __m512) -> __m512i {
        unsafe { _mm512_castps_si512(a) }
    }

    #[inline(always)]
    fn bits_to_f32(self, a: __m512i) -> __m512 {
        unsafe { _mm512_castsi512_ps(a) }
    }

    #[inline(always)]
    fn f16_to_f32(self, a: __m512i) -> __m512 {
        unsafe { f16_to_f32(_mm512_cvtepi32_epi16(a)) }
    }

    #[inline(always)]
    fn f16s_to_f32(self, a: __m512i) -> (__m512, __m512) {
        (self.f16_to_f32(a), self.f16_to_f32(self.shr(a, 16)))
    }

    #[inline(always)]
    fn reduce_i32(self, a: __m512i) -> i32 {
        unsafe {
            let a = _mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64::<1>(a));
            let b = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a));
            let c = _mm_add_epi32(b, _mm_unpackhi_epi64(b, b));
            _mm_cvtsi128_si32(_mm_add_epi32(c, _mm_shuffle_epi32::<1>(c)))
        }
    }

    #[inline(always)]
    fn steps(bits: u32) -> usize {
        B::steps(bits)
    }

    #[inline(always)]
    fn start(self, bits: u32, total: __m512i) -> __m512i {
        self.0.start(bits, total)
    }

    #[inline(always)]
    fn dot(self, bits: u32, sum: __m512i, weights: __m512i, activations: i32) -> __m512i {
        self.0.dot(bits, sum, weights, activations)
    }

    #[inline(always)]
    fn finish(self, bits: u32, total: __m512i, sum: __m512i) -> __m512i {
        self.0.finish(bits, total, sum)
    }

    const WIDE: bool = B::WIDE;

    #[inline(always)]
    fn weigh(self, bits: u32, total: __m512i, sum: __m512i, factors: __m512i, part: usize) -> __m512i {
        self.0.weigh(bits, total, sum, factors, part)
    }

    #[inline(always)]
    fn prefetch(self, bytes: &[u8], at: usize, lines: usize, near: bool) {
        for line in 0..lines {
            let line = bytes.as_ptr().wrapping_add(at + LINE * line).cast();
            unsafe { if near { _mm_prefetch::<_MM_HINT_T0>(line) } else { _mm_prefetch::<_MM_HINT_T1>(line) } }
        }
    }
}

/// Sixteen halves. Without this rounding mode, which an exact conversion has no use for, it can't take them from memory and costs one
/// more instruction.
#[inline]
#[target_feature(enable = "avx512f")]
fn f16_to_f32(halves: __m256i) -> __m512 {
    _mm512_cvt_roundph_ps::<_MM_FROUND_CUR_DIRECTION>(halves)
}
