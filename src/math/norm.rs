//! RMS norm (Zhang & Sennrich 2019) and layer norm (Ba et al. 2016) of one row.

use kinglet_models::NormKind;
use kinglet_quant::isa::{Isa, Level, Op};

/// `y = norm(x) · w (+ b)`, all `[width]`.
///
/// # Panics
/// Where the lengths differ.
pub fn normalise(level: Level, kind: NormKind, eps: f32, x: &[f32], w: &[f32], b: Option<&[f32]>, y: &mut [f32]) {
    assert!(x.len() == w.len() && x.len() == y.len() && b.is_none_or(|b| b.len() == x.len()), "a norm's lengths differ");
    level.run_vectors(Normalise { kind, eps, x, w, b, y });
}

struct Normalise<'a> {
    kind: NormKind,
    eps: f32,
    x: &'a [f32],
    w: &'a [f32],
    b: Option<&'a [f32]>,
    y: &'a mut [f32],
}

impl Op for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Normalise { kind, eps, x, w, b, y } = self;
        let n = x.len() as f32;
        let mean = match kind {
            NormKind::Rms => 0.0,
            NormKind::Layer => sum_of::<I, false>(isa, x, 0.0) / n,
        };
        let scale = 1.0 / (sum_of::<I, true>(isa, x, mean) / n + eps).sqrt();
        let scaled = |x, w, b: Option<I::F>| {
            let centred = isa.mul(isa.sub(x, isa.splat(mean)), isa.splat(scale));
            b.map_or_else(|| isa.mul(centred, w), |b| isa.mul_add(centred, w, b))
        };
        let whole = x.len() / I::LANES * I::LANES;
        for at in (0..whole).step_by(I::LANES) {
            isa.store(&mut y[at..], scaled(isa.load(&x[at..]), isa.load(&w[at..]), b.map(|b| isa.load(&b[at..]))));
        }
        let rest = |numbers: &[f32]| isa.load_partial(&numbers[whole..], 0.0);
        isa.store_partial(&mut y[whole..], scaled(rest(x), rest(w), b.map(rest)));
    }
}

/// Sums that are kept apart on every level, by `k mod 32`: two vectors of 16, or four of 8.
const SUMS: usize = 32;

/// `Σ (x − mean)`, or `Σ (x − mean)²`.
#[inline(always)]
fn sum_of<I: Isa, const SQUARED: bool>(isa: I, x: &[f32], mean: f32) -> f32 {
    let mut sums = [isa.splat(0.0); SUMS / 8];
    let mut whole = x.chunks_exact(SUMS);
    for numbers in &mut whole {
        for (sum, x) in sums.iter_mut().zip(numbers.chunks_exact(I::LANES)) {
            *sum = term::<I, SQUARED>(isa, *sum, isa.load(x), mean);
        }
    }
    for (sum, x) in sums.iter_mut().zip(whole.remainder().chunks(I::LANES)) {
        *sum = term::<I, SQUARED>(isa, *sum, isa.load_partial(x, mean), mean);
    }
    // The halves of 16 numbers each, then a vector of 16 as its own halves.
    let sum = if I::LANES == 16 { isa.add(sums[0], sums[1]) } else { isa.add(isa.add(sums[0], sums[2]), isa.add(sums[1], sums[3])) };
    isa.reduce_add(sum)
}

#[inline(always)]
fn term<I: Isa, const SQUARED: bool>(isa: I, sum: I::F, x: I::F, mean: f32) -> I::F {
    let x = isa.sub(x, isa.splat(mean));
    if SQUARED { isa.mul_add(x, x, sum) } else { isa.add(sum, x) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reference(kind: NormKind, eps: f32, x: &[f32], w: &[f32]) -> Vec<f64> {
        let x: Vec<f64> = x.iter().map(|&x| x as f64).collect();
        let n = x.len() as f64;
        let mean = if kind == NormKind::Layer { x.iter().sum::<f64>() / n } else { 0.0 };
        let square = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        x.iter().zip(w).map(|(x, &w)| (x - mean) / (square + eps as f64).sqrt() * w as f64).collect()
    }

    proptest! {
        #[test]
        fn norms_follow_their_equations(x in proptest::collection::vec(-9f32..9.0, 1..200)) {
            let w: Vec<f32> = (0..x.len()).map(|i| 1.0 + (i as f32).sin() / 2.0).collect();
            for level in Level::available() {
                for kind in [NormKind::Rms, NormKind::Layer] {
                    let mut y = vec![0.0; x.len()];
                    normalise(level, kind, 1e-5, &x, &w, None, &mut y);
                    let mut plain = vec![0.0; x.len()];
                    normalise(Level::Scalar, kind, 1e-5, &x, &w, None, &mut plain);
                    prop_assert!(y == plain, "{y:?} is not {plain:?} on {level}");
                    for (y, want) in y.iter().zip(reference(kind, 1e-5, &x, &w)) {
                        prop_assert!((*y as f64 - want).abs() < 2e-5 * (1.0 + want.abs()), "{y} is not {want} on {level:?}");
                    }
                }
            }
        }
    }
}
