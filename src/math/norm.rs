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
        let whole = x.len() / I::LANES * I::LANES;
        for at in (0..whole).step_by(I::LANES) {
            let centred = isa.mul(isa.sub(isa.load(&x[at..]), isa.splat(mean)), isa.splat(scale));
            let scaled = match b {
                None => isa.mul(centred, isa.load(&w[at..])),
                Some(b) => isa.mul_add(centred, isa.load(&w[at..]), isa.load(&b[at..])),
            };
            isa.store(&mut y[at..], scaled);
        }
        for at in whole..x.len() {
            y[at] = (x[at] - mean) * scale * w[at] + b.map_or(0.0, |b| b[at]);
        }
    }
}

/// `Σ (x − mean)`, or `Σ (x − mean)²`, lane by lane in two chains, then the tail.
#[inline(always)]
fn sum_of<I: Isa, const SQUARED: bool>(isa: I, x: &[f32], mean: f32) -> f32 {
    let mut sums = [isa.splat(0.0); 2];
    let mut pairs = x.chunks_exact(2 * I::LANES);
    for pair in &mut pairs {
        sums[0] = term::<I, SQUARED>(isa, sums[0], pair, mean);
        sums[1] = term::<I, SQUARED>(isa, sums[1], &pair[I::LANES..], mean);
    }
    let mut rest = pairs.remainder();
    if rest.len() >= I::LANES {
        sums[0] = term::<I, SQUARED>(isa, sums[0], rest, mean);
        rest = &rest[I::LANES..];
    }
    let tail: f32 = rest.iter().map(|x| x - mean).map(|x| if SQUARED { x * x } else { x }).sum();
    isa.reduce_add(isa.add(sums[0], sums[1])) + tail
}

#[inline(always)]
fn term<I: Isa, const SQUARED: bool>(isa: I, sum: I::F, x: &[f32], mean: f32) -> I::F {
    let x = isa.sub(isa.load(x), isa.splat(mean));
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
                    for (y, want) in y.iter().zip(reference(kind, 1e-5, &x, &w)) {
                        prop_assert!((*y as f64 - want).abs() < 2e-5 * (1.0 + want.abs()), "{y} is not {want} on {level:?}");
                    }
                }
            }
        }
    }
}
