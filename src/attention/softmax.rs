//! The softmax of a page's scores, row by row, and how it is merged with the pages' before it. Every sum and maximum runs in the same
//! order on vectors of 8 and of 16, so that all levels give the same bits.

use super::TILE;
use kinglet_quant::isa::Isa;
use std::f32::consts::LOG2_E;

/// Merges the maxima and sums of further keys into those of `R` rows; returns what the rows' earlier outputs and theirs are multiplied by.
/// One exponential serves all rows, of which there are no more than keys in a tile.
#[inline(always)]
pub(super) fn merge_sums<I: Isa, const R: usize>(
    isa: I,
    max: &mut [f32],
    sum: &mut [f32],
    further: [(f32, f32); R],
) -> ([f32; R], [f32; R]) {
    let mut new = [0f32; R];
    let (mut mine, mut theirs) = ([0f32; TILE], [0f32; TILE]);
    for r in 0..R {
        new[r] = max[r].max(further[r].0);
        (mine[r], theirs[r]) = (max[r] - new[r], further[r].0 - new[r]);
    }
    exponentiate(isa, R, [&mut mine, &mut theirs]);
    let (mut a, mut b) = ([1f32; R], [0f32; R]);
    for r in 0..R {
        // A row that sees none of them stays as it is.
        if further[r].0 != f32::NEG_INFINITY {
            (a[r], b[r]) = (mine[r], theirs[r]);
            (max[r], sum[r]) = (new[r], sum[r] * a[r] + further[r].1 * b[r]);
        }
    }
    (a, b)
}

/// The exponentials of the first `n` numbers of each: what is multiplied when softmaxes are merged.
#[inline(always)]
pub(super) fn exponentiate<I: Isa>(isa: I, n: usize, differences: [&mut [f32; TILE]; 2]) {
    for of in differences {
        for at in (0..n).step_by(I::LANES) {
            let factors = isa.exp(isa.load(&of[at..]));
            isa.store(&mut of[at..], factors);
        }
    }
}

/// The largest of whole tiles of scores.
#[inline(always)]
pub(super) fn largest<I: Isa>(isa: I, scores: &[f32]) -> f32 {
    let mut top = isa.splat(f32::NEG_INFINITY);
    for lane in scores.chunks_exact(I::LANES) {
        top = isa.max(top, isa.load(lane));
    }
    isa.reduce_max(top)
}

/// Turns scores, whole tiles of them, into `exp(score − max)`; returns the sum, which is added up in sixteen sums by the key's number on
/// every level. A row that sees nothing, whose maximum is `−∞`, gives 0 and zeros.
#[inline(always)]
pub(super) fn exponentials<I: Isa>(isa: I, scores: &mut [f32], max: f32) -> f32 {
    // In base 2, where the whole exponent is one rounding.
    let log2_e = isa.splat(LOG2_E);
    let base = isa.splat(if max == f32::NEG_INFINITY { 0.0 } else { -max * LOG2_E });
    let mut sums = [isa.splat(0.0); 2];
    for sixteen in scores.chunks_exact_mut(16) {
        for (lane, sum) in sixteen.chunks_exact_mut(I::LANES).zip(&mut sums) {
            let p = isa.exp2(isa.mul_add(isa.load(lane), log2_e, base));
            *sum = isa.add(*sum, p);
            isa.store(lane, p);
        }
    }
    isa.reduce_add(isa.add(sums[0], sums[1]))
}
