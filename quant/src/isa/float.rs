//! Transcendental functions over any level's f32 vectors. Polynomials are those of Cephes (S. Moshier, `expf.c`, `tanhf.c`); the
//! bounds that [`Isa`]'s docs state were measured against f64 (`tests/float.rs`).

use super::Isa;

/// The polynomial in `x` with these coefficients, that of the highest power first (Horner's scheme).
#[inline(always)]
fn polynomial<I: Isa, const N: usize>(isa: I, x: I::F, coefficients: [f32; N]) -> I::F {
    let mut p = isa.splat(coefficients[0]);
    for &c in &coefficients[1..] {
        p = isa.mul_add(p, x, isa.splat(c));
    }
    p
}

/// eˣ = 2ⁿ·eʳ with n = round(x / ln 2) and |r| ≤ ln 2 / 2. Subnormal results are 0: an instruction that makes or meets one takes Intel's
/// cores a hundred times as long, and each hidden key of a tile would make one.
#[inline(always)]
pub(super) fn exp<I: Isa>(isa: I, x: I::F) -> I::F {
    // Beyond these the result is 0 or ∞. `x` is the second operand, so that NaN passes.
    let x = isa.min(isa.splat(89.0), isa.max(isa.splat(-87.3), x));
    let n = isa.round(isa.mul(x, isa.splat(std::f32::consts::LOG2_E)));
    // ln 2 in two parts: the first has few enough bits that n × it is exact.
    let r = isa.neg_mul_add(n, isa.splat(0.693_359_4), x);
    let r = isa.neg_mul_add(n, isa.splat(-2.121_944_4e-4), r);
    let p = polynomial(isa, r, [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5]);
    let p = isa.add(isa.mul_add(isa.mul(r, r), p, r), isa.splat(1.0));
    isa.scale_by_power(p, n)
}

/// 2x · 2ⁿ⁻¹, as 2¹²⁸ has no f32 while 2⁻¹²⁷ gives 0.
#[inline(always)]
pub(super) fn scale_by_power<I: Isa>(isa: I, x: I::F, n: I::F) -> I::F {
    isa.mul(isa.add(x, x), isa.pow2i(isa.sub(n, isa.splat(1.0))))
}

/// 2ˣ = 2ⁿ·2ʳ with n = round(x) and |r| ≤ ½ (Cephes' `exp2f.c`). A sum with 1.5·2²³ has n in its lowest bits: no rounding, no conversion
/// and no scaling, which share the multipliers' ports; on AMD's cores an addition doesn't.
#[inline(always)]
pub(super) fn exp2<I: Isa>(isa: I, x: I::F) -> I::F {
    let all_integers = isa.splat(12_582_912.0);
    let shifted = isa.add(x, all_integers);
    let r = isa.sub(x, isa.sub(shifted, all_integers));
    let p = polynomial(isa, r, [1.535_336_2e-4, 1.339_887_4e-3, 9.618_437e-3, 5.550_332_5e-2, 2.402_264_8e-1, 6.931_472e-1, 1.0]);
    let scaled = isa.bits_to_f32(isa.add_i32(isa.to_bits(p), isa.shl(isa.to_bits(shifted), 23)));
    isa.select(isa.less(x, isa.splat(-126.0)), isa.splat(0.0), scaled)
}

/// An odd polynomial near 0, where 1 − 2 / (e²ˣ + 1) would cancel.
#[inline(always)]
pub(super) fn tanh<I: Isa>(isa: I, x: I::F) -> I::F {
    let one = isa.splat(1.0);
    let z = isa.mul(x, x);
    let p = polynomial(isa, z, [-5.704_988_7e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1]);
    let near = isa.mul_add(isa.mul(p, z), x, x);
    let magnitude = isa.abs(x);
    let e = isa.exp(isa.add(magnitude, magnitude));
    let far = isa.sub(one, isa.div(isa.splat(2.0), isa.add(e, one)));
    isa.select(isa.less(magnitude, isa.splat(0.625)), near, isa.copysign(far, x))
}

#[inline(always)]
pub(super) fn sigmoid<I: Isa>(isa: I, x: I::F) -> I::F {
    let one = isa.splat(1.0);
    isa.div(one, isa.add(one, isa.exp(isa.sub(isa.splat(0.0), x))))
}
