//! Finding the integers and the scale that store a few weights with the least weighted square error. The method is ggml's
//! (`make_qx_quants`, `make_qkx2_quants`): round with a scale from the largest weight, solve for the best scale given those integers,
//! and do so again for a few scales near by. The order of the f32 operations is ggml's too, so that files come out the same.

/// ggml's smallest magnitude; a block below is stored as zeros.
pub(super) const NEGLIGIBLE: f32 = 1e-15;

/// The whole number nearest to `x` (ties to even) within `low..=high`, which must lie within ±2²²; NaN becomes `low`.
///
/// Adding 1.5 · 2²³ leaves the whole number in the low bits of the sum; `round_ties_even` is a function call on CPUs before SSE4.1,
/// and quantising calls this 20 times a weight.
pub(super) fn nearest(x: f32, low: i32, high: i32) -> i32 {
    const SHIFT: f32 = 12_582_912.0;
    let x = x.max(low as f32).min(high as f32);
    (x + SHIFT).to_bits() as i32 - SHIFT.to_bits() as i32
}

/// The weight of the largest magnitude, the first where several are.
pub(super) fn largest(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0, |largest: f32, &w| if w.abs() > largest.abs() { w } else { largest })
}

/// The least and the greatest weight.
pub(super) fn range(weights: &[f32]) -> (f32, f32) {
    weights.iter().fold((f32::MAX, f32::MIN), |(low, high), &w| (if w < low { w } else { low }, if w > high { w } else { high }))
}

/// The scale for which `scale · l`, with whole `l` in `-bound..bound`, is nearest to `weights`; errors count by the weight's square.
/// 0 where all weights are negligible.
pub(super) fn symmetric(weights: &[f32], bound: i32) -> f32 {
    let largest = largest(weights);
    if largest.abs() < NEGLIGIBLE {
        return 0.0;
    }
    // Σ w²·w·l and Σ w²·l²: the best scale for these integers is their quotient.
    let sums = |inverse: f32| {
        weights.iter().fold((0.0, 0.0), |(with_w, with_l), &w| {
            let l = nearest(inverse * w, -bound, bound - 1) as f32;
            let importance = w * w;
            (with_w + importance * w * l, with_l + importance * l * l)
        })
    };
    let (with_w, with_l) = sums(-bound as f32 / largest);
    let mut scale = if with_l > 0.0 { with_w / with_l } else { 0.0 };
    let mut best = scale * with_w;
    for step in (-9..=9).filter(|&step| step != 0) {
        let (with_w, with_l) = sums(-(bound as f32 + 0.1 * step as f32) / largest);
        if with_l > 0.0 && with_w * with_w > best * with_l {
            scale = with_w / with_l;
            best = scale * with_w;
        }
    }
    scale
}

/// The scales that [`affine`] tries: `(start + 0.1 · step + max_q) / (greatest − least)` for each step.
#[derive(Clone, Copy)]
pub(super) struct Search {
    /// The largest integer: 15 or 31.
    pub max_q: i32,
    /// By how much the first try is below the scale that uses the whole range.
    pub start: f32,
    /// The last step.
    pub steps: i32,
}

/// 32 weights as `scale · q − min`, `q` in `0..=max_q`.
#[derive(Clone, Copy)]
pub(super) struct Affine {
    /// Not negative.
    pub scale: f32,
    /// Not negative: what is subtracted.
    pub min: f32,
}

/// The best of [`Search`]'s tries; errors count by the weight's magnitude plus the block's root mean square.
pub(super) fn affine(weights: &[f32; 32], search: Search) -> Affine {
    let rms = (weights.iter().fold(0.0, |sum, w| sum + w * w) / 32.0).sqrt();
    let importance = weights.map(|w| rms + w.abs());
    let integers = |inverse: f32, least: f32| weights.map(|w| nearest(inverse * (w - least), 0, search.max_q) as u8);
    let error = |q: &[u8; 32], scale: f32, least: f32| {
        (0..32).fold(0.0, |sum, i| {
            let off = scale * f32::from(q[i]) + least - weights[i];
            sum + importance[i] * (off * off)
        })
    };

    let (least, greatest) = range(weights);
    let mut least = least.min(0.0);
    if greatest == least {
        return Affine { scale: 0.0, min: -least };
    }
    let inverse = search.max_q as f32 / (greatest - least);
    let mut scale = 1.0 / inverse;
    let mut best_error = error(&integers(inverse, least), scale, least);
    let line = Line::new(weights, &importance);
    for step in 0..=search.steps {
        // `least` moves with the best line so far, and with it where the next tries begin.
        let inverse = (search.start + 0.1 * step as f32 + search.max_q as f32) / (greatest - least);
        let q = integers(inverse, least);
        let Some((slope, offset)) = line.through(&q) else { continue };
        let error = error(&q, slope, offset);
        if error < best_error {
            (best_error, scale, least) = (error, slope, offset);
        }
    }
    Affine { scale, min: -least }
}

/// Weighted linear regression of the weights on their integers.
struct Line<'a> {
    weights: &'a [f32; 32],
    importance: &'a [f32; 32],
    sum_importance: f32,
    sum_w: f32,
}

impl<'a> Line<'a> {
    fn new(weights: &'a [f32; 32], importance: &'a [f32; 32]) -> Self {
        let (sum_importance, sum_w) = std::iter::zip(weights, importance).fold((0.0, 0.0), |(si, sw), (w, i)| (si + i, sw + i * w));
        Line { weights, importance, sum_importance, sum_w }
    }

    /// Slope and (never positive) offset; `None` where all integers are the same.
    fn through(&self, q: &[u8; 32]) -> Option<(f32, f32)> {
        let (mut sum_l, mut sum_l2, mut sum_wl) = (0.0, 0.0, 0.0);
        for ((&l, w), importance) in q.iter().zip(self.weights).zip(self.importance) {
            let l = f32::from(l);
            let weighted = importance * l;
            sum_l += weighted;
            sum_l2 += weighted * l;
            sum_wl += weighted * w;
        }
        let determinant = self.sum_importance * sum_l2 - sum_l * sum_l;
        if determinant <= 0.0 || determinant.is_nan() {
            return None;
        }
        let offset = (sum_l2 * self.sum_w - sum_l * sum_wl) / determinant;
        if offset > 0.0 {
            return Some((sum_wl / sum_l2, 0.0));
        }
        Some(((self.sum_importance * sum_wl - self.sum_w * sum_l) / determinant, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rounds_ties_to_even_and_stays_in_bounds() {
        for (x, want) in [(0.5, 0), (1.5, 2), (-0.5, 0), (-2.5, -2), (3.49, 3), (1e30, 31), (-1e30, -32), (f32::NAN, -32)] {
            assert_eq!(nearest(x, -32, 31), want, "{x}");
        }
    }

    #[test]
    fn a_line_of_whole_steps_is_found_exactly() {
        let weights = std::array::from_fn(|i| (i % 16) as f32 * 0.5 - 2.0);
        let fitted = affine(&weights, Search { max_q: 15, start: -1.0, steps: 20 });
        assert_eq!((fitted.scale, fitted.min), (0.5, 2.0));
    }
}
