//! The exponential that turns logits into weights, in plain arithmetic: one rounding per written operation, so that a seed gives
//! the same tokens on every machine (each C library's `expf` rounds in its own way), and no branches, so that loops over a
//! whole vocabulary become vector code.

/// Below this the result is under 1.7e-38, the smallest weights that f32 holds in full; they are taken as 0.
const LOWEST: f32 = -87.0;

/// e^x for a logit's distance to the largest one: -∞ < x ≤ 0, within 1.2e-7 of the value. All else (NaN, x > 0) gives 0.
///
/// Cephes' `expf` (S. Moshier, 1992): x = n·ln 2 + r with |r| ≤ ln 2 / 2, a polynomial in r, and n added to the exponent's bits.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// 1.5 · 2^23: adding it leaves the integer nearest to a small number in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 355.0 / 512.0; // few bits, so that n · LN_2_HIGH is exact
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const COEFFICIENTS: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let polynomial = COEFFICIENTS.iter().fold(0.0, |sum, c| sum * r + c);
    let mantissa = polynomial * r * r + r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    if (LOWEST..=0.0).contains(&x) { mantissa * f32::from_bits(exponent) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::exp;

    #[test]
    fn exp_is_as_exact_as_f32_over_its_whole_range() {
        for i in 0..=870_000 {
            let x = -(i as f32) * 1e-4;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 1.2e-7, "exp({x}): relative error {error}");
        }
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn what_is_no_distance_to_the_largest_logit_weighs_nothing() {
        for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-9, -87.1, f32::MIN] {
            assert_eq!(exp(x), 0.0, "exp({x})");
        }
    }
}
