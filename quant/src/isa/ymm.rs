//! 256-bit vectors: AVX2 with FMA and F16C. The levels that have them differ in how they multiply bytes ([`ByteProducts`]).
//!
//! SAFETY of every intrinsic here: a [`Ymm`] exists only where [`Ymm::new`] has seen the features. Loads and stores go through
//! array references of their full size.

use super::bytes::{APART, ByteProducts};
use super::{Isa, LINE, Level, Op, Rows};
use half::{bf16, f16};
use std::arch::asm;
use std::arch::x86_64::*;

/// Proof that the CPU has AVX2, FMA and F16C, and what `B` needs.
#[derive(Debug, Clone, Copy)]
pub struct Ymm<B>(B);

impl<B: ByteProducts<__m256i>> Ymm<B> {
    /// The token, where the CPU has the features.
    #[inline]
    pub fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        if has { B::new().map(Ymm) } else { None }
    }
}

impl<B: ByteProducts<__m256i>> Isa for Ymm<B> {
    const LEVEL: Level = B::LEVEL;
    const LANES: usize = 8;
    const SIGNED_BYTES: bool = B::SIGNED_BYTES;
    const COLUMNS: usize = B::COLUMNS;
    const CHAINS: usize = B::CHAINS;
    type F = __m256;
    type Mask = __m256;
    type I = __m256i;
    type Sum = __m256i;

    #[inline(always)]
    fn vectorize<O: Op>(self, op: O) -> O::Output {
        self.0.vectorize(self, op)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> __m256 {
        let x: &[f32; 8] = x.first_chunk().expect("8 lanes");
        unsafe { _mm256_loadu_ps(x.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, out: &mut [f32], x: __m256) {
        let out: &mut [f32; 8] = out.first_chunk_mut().expect("8 lanes");
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn load_f16(self, x: &[f16]) -> __m256 {
        let x: &[f16; 8] = x.first_chunk().expect("8 lanes");
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().cast())) }
    }

    #[inline(always)]
    fn store_f16(self, out: &mut [f16], x: __m256) {
        let out: &mut [f16; 8] = out.first_chunk_mut().expect("8 lanes");
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x)) }
    }

    #[inline(always)]
    fn load_bf16(self, x: &[bf16]) -> __m256 {
        let x: &[bf16; 8] = x.first_chunk().expect("8 lanes");
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(x.as_ptr().cast())))) }
    }

    #[inline(always)]
    fn load_i8(self, x: &[i8]) -> __m256i {
        let x: &[i8; 8] = x.first_chunk().expect("8 lanes");
        unsafe { _mm256_cvtepi8_epi32(_mm_loadl_epi64(x.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_u8(self, x: &[u8]) -> __m256i {
        let x: &[u8; 8] = x.first_chunk().expect("8 lanes");
        unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(x.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_f32_bytes(self, x: &[u8]) -> __m256 {
        let x: &[u8; 32] = x.first_chunk().expect("8 lanes");
        unsafe { _mm256_loadu_ps(x.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_f16_bytes(self, x: &[u8]) -> __m256 {
        let x: &[u8; 16] = x.first_chunk().expect("8 lanes");
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_bf16_bytes(self, x: &[u8]) -> __m256 {
        let x: &[u8; 16] = x.first_chunk().expect("8 lanes");
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(x.as_ptr().cast())))) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn in_order(self, sum: __m256) -> __m256 {
        unsafe { in_order(sum) }
    }

    #[inline(always)]
    fn neg_mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    fn abs(self, a: __m256) -> __m256 {
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
    }

    #[inline(always)]
    fn copysign(self, a: __m256, b: __m256) -> __m256 {
        unsafe {
            let sign = _mm256_set1_ps(-0.0);
            _mm256_or_ps(_mm256_andnot_ps(sign, a), _mm256_and_ps(sign, b))
        }
    }

    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        unsafe { _mm256_sqrt_ps(a) }
    }

    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }

    #[inline(always)]
    fn pow2i(self, n: __m256) -> __m256 {
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)))) }
    }

    #[inline(always)]
    fn less(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_LT_OQ>(a, b) }
    }

    #[inline(always)]
    fn select(self, mask: __m256, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_blendv_ps(b, a, mask) }
    }

    #[inline(always)]
    fn reduce_add(self, a: __m256) -> f32 {
        unsafe {
            let b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let c = _mm_add_ps(b, _mm_movehl_ps(b, b));
            _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)))
        }
    }

    #[inline(always)]
    fn reduce_max(self, a: __m256) -> f32 {
        unsafe {
            let b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let c = _mm_max_ps(b, _mm_movehl_ps(b, b));
            _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)))
        }
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m256i {
        unsafe { _mm256_set1_epi32(x) }
    }

    #[inline(always)]
    fn load_i32(self, x: &[i32]) -> __m256i {
        let x: &[i32; 8] = x.first_chunk().expect("8 lanes");
        unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_i32(self, out: &mut [i32], x: __m256i) {
        let out: &mut [i32; 8] = out.first_chunk_mut().expect("8 lanes");
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), x) }
    }

    #[inline(always)]
    fn store_i8(self, out: &mut [i8], x: __m256i) {
        let out: &mut [i8; 8] = out.first_chunk_mut().expect("8 lanes");
        unsafe {
            let words = _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            _mm_storel_epi64(out.as_mut_ptr().cast(), _mm_packs_epi16(words, words))
        }
    }

    #[inline(always)]
    fn transpose(self, rows: Rows<'_>, at: usize) -> [__m256i; 4] {
        let (start, stride) = rows.start(Self::LANES, at, 16);
        unsafe {
            let row = |row: usize| _mm_loadu_si128(start.add(row * stride).cast());
            let pair = |first: usize| _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(row(first)), row(first + 4));
            let (a, b, c, d) = (pair(0), pair(1), pair(2), pair(3));
            let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
            let (ef, gh) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
            [_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd), _mm256_unpacklo_epi64(ef, gh), _mm256_unpackhi_epi64(ef, gh)]
        }
    }

    #[inline(always)]
    fn and(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_and_si256(a, b) }
    }

    #[inline(always)]
    fn or(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_or_si256(a, b) }
    }

    #[inline(always)]
    fn xor(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_xor_si256(a, b) }
    }

    #[inline(always)]
    fn add_i32(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(a, b) }
    }

    #[inline(always)]
    fn shl(self, a: __m256i, n: u32) -> __m256i {
        unsafe { _mm256_sll_epi32(a, _mm_cvtsi32_si128(n as i32)) }
    }

    #[inline(always)]
    fn shr(self, a: __m256i, n: u32) -> __m256i {
        unsafe { _mm256_srl_epi32(a, _mm_cvtsi32_si128(n as i32)) }
    }

    #[inline(always)]
    fn sar(self, a: __m256i, n: u32) -> __m256i {
        unsafe { _mm256_sra_epi32(a, _mm_cvtsi32_si128(n as i32)) }
    }

    #[inline(always)]
    fn lookup(self, table: &[u8; 16], index: __m256i) -> __m256i {
        unsafe { _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast())), index) }
    }

    #[inline(always)]
    fn add_sixteens(self, a: __m256i, bits: __m256i, t: u32) -> __m256i {
        // The byte that holds bits 4t … 4t + 3 in all four bytes of its lane, then one bit of it for each.
        let byte = (t / 2) as i32 * 0x0101_0101;
        let bit = if t.is_multiple_of(2) { 0x0804_0201 } else { 0x8040_2010_u32 as i32 };
        unsafe {
            let byte = _mm256_or_si256(
                _mm256_broadcastsi128_si256(_mm_set_epi32(0x0c0c_0c0c, 0x0808_0808, 0x0404_0404, 0)),
                _mm256_set1_epi32(byte),
            );
            let bit = _mm256_set1_epi32(bit);
            let set = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(bits, byte), bit), bit);
            _mm256_or_si256(a, _mm256_and_si256(set, _mm256_set1_epi8(16)))
        }
    }

    #[inline(always)]
    fn across(self, low: __m256i, high: __m256i) -> __m256i {
        unsafe { _mm256_blend_epi16::<0b1010_1010>(_mm256_srli_epi32::<16>(low), _mm256_slli_epi32::<16>(high)) }
    }

    #[inline(always)]
    fn pairs(self, a: __m256i, upper: bool) -> __m256i {
        let places = APART[usize::from(upper)].as_ptr();
        unsafe { _mm256_shuffle_epi8(a, _mm256_broadcastsi128_si256(_mm_loadu_si128(places.cast()))) }
    }

    #[inline(always)]
    fn add_i16(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_add_epi16(a, b) }
    }

    #[inline(always)]
    fn dot_i16(self, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_madd_epi16(a, b) }
    }

    #[inline(always)]
    fn to_f32(self, a: __m256i) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(a) }
    }

    #[inline(always)]
    fn to_i32(self, a: __m256) -> __m256i {
        unsafe { _mm256_cvtps_epi32(a) }
    }

    #[inline(always)]
    fn to_bits(self, a: __m256) -> __m256i {
        unsafe { _mm256_castps_si256(a) }
    }

    #[inline(always)]
    fn bits_to_f32(self, a: __m256i) -> __m256 {
        unsafe { _mm256_castsi256_ps(a) }
    }

    #[inline(always)]
    fn f16_to_f32(self, a: __m256i) -> __m256 {
        unsafe {
            let low = _mm256_and_si256(a, _mm256_set1_epi32(0xffff));
            let packed = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi32(low, low));
            _mm256_cvtph_ps(_mm256_castsi256_si128(packed))
        }
    }

    #[inline(always)]
    fn f16s_to_f32(self, a: __m256i) -> (__m256, __m256) {
        unsafe {
            let apart = _mm256_broadcastsi128_si256(_mm_set_epi8(15, 14, 11, 10, 7, 6, 3, 2, 13, 12, 9, 8, 5, 4, 1, 0));
            let halves = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_shuffle_epi8(a, apart));
            (_mm256_cvtph_ps(_mm256_castsi256_si128(halves)), _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(halves)))
        }
    }

    #[inline(always)]
    fn reduce_i32(self, a: __m256i) -> i32 {
        unsafe {
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
    fn start(self, bits: u32, total: __m256i) -> __m256i {
        self.0.start(bits, total)
    }

    #[inline(always)]
    fn dot(self, bits: u32, sum: __m256i, weights: __m256i, activations: i32) -> __m256i {
        self.0.dot(bits, sum, weights, activations)
    }

    #[inline(always)]
    fn finish(self, bits: u32, total: __m256i, sum: __m256i) -> __m256i {
        self.0.finish(bits, total, sum)
    }

    const WIDE: bool = B::WIDE;

    #[inline(always)]
    fn weigh(self, bits: u32, total: __m256i, sum: __m256i, factors: __m256i, part: usize) -> __m256i {
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

/// `sum`, of which the compiler knows nothing more, after every sum before it.
#[inline]
#[target_feature(enable = "avx2")]
fn in_order(mut sum: __m256) -> __m256 {
    unsafe { asm!("/* {0} */", inout(ymm_reg) sum, options(nomem, nostack, preserves_flags)) };
    sum
}
