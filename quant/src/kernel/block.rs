//! The arithmetic that decode and prefill share: a sub-block of 32 weights of some rows times the activations of some columns.
//!
//! The one order of accumulation, for a row and a column:
//!
//! ```text
//! acc = 0
//! for each sub-block of 32 weights of the row, in order:
//!     where it has one scale:
//!         n   = Σ (q − offset) × a                      in integers, exact
//!         acc = fma(f32(n), scale × a.scale, acc)
//!         acc = fma(min, a.scale × f32(Σ a), acc)       where the format has a minimum
//!     where its halves have factors of the scale, f and f′:
//!         n   = f × Σ (q − offset) × a + f′ × Σ′ …      in integers, below 2²⁴
//!         t   = f32(n) × scale
//!         t   = fma(f32(−g × Σ a − g′ × Σ′ a), min, t)  where the format has minima, with factors g and g′
//!         acc = fma(t, a.scale, acc)
//! ```
//!
//! The same operations on the same numbers, whatever the level, the tile, the batch and the cut: the same bits.

use super::activations::Block;
use super::lanes::Kind;
use crate::isa::Isa;
use std::ops::Range;

/// Four weights in each lane of `V` vectors of rows, and what they are scaled with.
pub(super) trait Weights<I: Isa> {
    /// Weights `4t .. 4t + 4` of vector `v` of rows.
    fn quad(&self, isa: I, t: usize, v: usize) -> I::I;
    /// The scale.
    fn scale(&self, isa: I, v: usize) -> I::F;
    /// The minimum.
    fn min(&self, isa: I, v: usize) -> I::F;
    /// The two halves' factors of the scale, 16 bits each.
    fn factors(&self, isa: I, v: usize) -> I::I;
    /// The same of the minimum.
    fn min_factors(&self, isa: I, v: usize) -> I::I;
}

/// log₂ of what the kernel must subtract from a weight as [`Weights::quad`] gives it.
#[inline(always)]
fn offset<I: Isa, K: Kind>() -> Option<u32> {
    if K::BITS == 8 && !I::SIGNED_BYTES { Some(7) } else { K::OFFSET }
}

/// Sums that may be kept apart for one output.
const CHAINS: usize = 4;

/// Adds one sub-block to `acc: [V vectors of rows][C columns]`.
#[inline(always)]
pub(super) fn multiply_block<I: Isa, K: Kind, W: Weights<I>, const V: usize, const C: usize>(
    isa: I,
    weights: &W,
    activations: [&Block; C],
    acc: &mut [[I::F; C]; V],
) {
    if K::PARTS == 2 {
        return multiply_halves::<I, K, W, V, C>(isa, weights, activations, acc);
    }
    let (steps, chains) = (I::steps(K::BITS), chains::<I>(V * C));
    let mut totals = [offsets::<I, K, C>(isa, WHOLE, &activations); V];
    for first in (0..8).step_by(steps) {
        let mut sums = [[[isa.start(K::BITS, isa.splat_i32(0)); CHAINS]; C]; V];
        for v in 0..V {
            for c in 0..C {
                sums[v][c][0] = isa.start(K::BITS, totals[v][c]);
            }
        }
        add_steps::<I, K, W, V, C>(isa, weights, &activations, first..first + steps, chains, &mut sums);
        for v in 0..V {
            for c in 0..C {
                totals[v][c] = isa.finish(K::BITS, totals[v][c], sums[v][c][0]);
                for chain in 1..chains {
                    totals[v][c] = isa.add_i32(totals[v][c], isa.finish(K::BITS, isa.splat_i32(0), sums[v][c][chain]));
                }
            }
        }
    }
    add_scaled::<I, K, W, V, C>(isa, weights, &activations, &totals, acc);
}

/// [`multiply_block`] where the halves have factors of the scale: those are multiplied in integers, and all else is done once for both.
#[inline(always)]
fn multiply_halves<I: Isa, K: Kind, W: Weights<I>, const V: usize, const C: usize>(
    isa: I,
    weights: &W,
    activations: [&Block; C],
    acc: &mut [[I::F; C]; V],
) {
    let mut totals = [[isa.splat_i32(0); C]; V];
    if let (Some(shift), false) = (K::OFFSET, I::WIDE) {
        for (v, totals) in totals.iter_mut().enumerate() {
            let factors = weights.factors(isa, v);
            for c in 0..C {
                totals[c] = isa.shl(isa.dot_i16(factors, isa.splat_i32(activations[c].neg_halves)), shift);
            }
        }
    }
    // Written out: else the half would be a number in a register.
    add_half::<I, K, W, V, C>(isa, weights, &activations, 0, &mut totals);
    add_half::<I, K, W, V, C>(isa, weights, &activations, 1, &mut totals);
    add_weighed::<I, K, W, V, C>(isa, weights, &activations, &totals, acc);
}

/// Adds the products of a half, times its factors, to `totals`.
#[inline(always)]
fn add_half<I: Isa, K: Kind, W: Weights<I>, const V: usize, const C: usize>(
    isa: I,
    weights: &W,
    activations: &[&Block; C],
    part: usize,
    totals: &mut [[I::I; C]; V],
) {
    let steps = I::steps(K::BITS).min(HALF);
    let begin = if I::WIDE { offsets::<I, K, C>(isa, part, activations) } else { [isa.splat_i32(0); C] };
    for first in (part * HALF..(part + 1) * HALF).step_by(steps) {
        let mut sums = [[[isa.start(K::BITS, isa.splat_i32(0)); CHAINS]; C]; V];
        for sums in &mut sums {
            for c in 0..C {
                sums[c][0] = isa.start(K::BITS, begin[c]);
            }
        }
        add_steps::<I, K, W, V, C>(isa, weights, activations, first..first + steps, 1, &mut sums);
        for v in 0..V {
            let factors = weights.factors(isa, v);
            for c in 0..C {
                totals[v][c] = isa.weigh(K::BITS, totals[v][c], sums[v][c][0], factors, part);
            }
        }
    }
}

/// Quads of half a sub-block.
const HALF: usize = 4;

/// Where the sum of all of a block's activations is in [`Block::neg_sum`].
pub(super) const WHOLE: usize = 2;

/// What a format's offset makes of the activations: of one half (0 or 1), or the [`WHOLE`].
#[inline(always)]
pub(super) fn offsets<I: Isa, K: Kind, const C: usize>(isa: I, of: usize, activations: &[&Block; C]) -> [I::I; C] {
    let mut offsets = [isa.splat_i32(0); C];
    if let Some(shift) = offset::<I, K>() {
        for c in 0..C {
            offsets[c] = isa.shl(isa.splat_i32(activations[c].neg_sum[of]), shift);
        }
    }
    offsets
}

/// Adds the products of a sub-block with one scale, and its minimum.
#[inline(always)]
pub(super) fn add_scaled<I: Isa, K: Kind, W: Weights<I>, const V: usize, const C: usize>(
    isa: I,
    weights: &W,
    activations: &[&Block; C],
    totals: &[[I::I; C]; V],
    acc: &mut [[I::F; C]; V],
) {
    for v in 0..V {
        let scale = weights.scale(isa, v);
        for c in 0..C {
            let scale = isa.mul(scale, isa.splat(activations[c].scale));
            acc[v][c] = isa.mul_add(isa.to_f32(totals[v][c]), scale, acc[v][c]);
            if K::MIN {
                acc[v][c] = isa.mul_add(weights.min(isa, v), isa.splat(activations[c].sum), acc[v][c]);
            }
        }
    }
}

/// Adds the products of a sub-block's halves, which have met their factors.
#[inline(always)]
pub(super) fn add_weighed<I: Isa, K: Kind, W: Weights<I>, const V: usize, const C: usize>(
    isa: I,
    weights: &W,
    activations: &[&Block; C],
    totals: &[[I::I; C]; V],
    acc: &mut [[I::F; C]; V],
) {
    for v in 0..V {
        let scale = weights.scale(isa, v);
        for c in 0..C {
            let mut sum = isa.mul(isa.to_f32(totals[v][c]), scale);
            if K::MIN {
                let mins = isa.dot_i16(weights.min_factors(isa, v), isa.splat_i32(activations[c].neg_halves));
                sum = isa.mul_add(isa.to_f32(mins), weights.min(isa, v), sum);
            }
            acc[v][c] = isa.mul_add(sum, isa.splat(activations[c].scale), acc[v][c]);
        }
    }
}

/// How many sums are kept apart for each of `outputs`: one sum of eight products in a row takes longer than all else in a block, where a
/// product's latency is long and few others hide it.
#[inline(always)]
fn chains<I: Isa>(outputs: usize) -> usize {
    if outputs <= 2 { I::CHAINS.min(CHAINS) } else { 1 }
}

/// Adds the products of some quads, 2, 4 or 8 of them, of each row.
#[inline(always)]
fn add_steps<I: Isa, K: Kind, W: Weights<I>, const V: usize, const C: usize>(
    isa: I,
    weights: &W,
    activations: &[&Block; C],
    quads: Range<usize>,
    chains: usize,
    sums: &mut [[[I::Sum; CHAINS]; C]; V],
) {
    // Written out: the compiler, which can't see into a product, finds a loop of them too long to unroll.
    macro_rules! add {
        ($($t:literal)*) => { $(add_products::<I, K, W, V, C>(isa, weights, activations, quads.start + $t, chains, sums);)* };
    }
    add!(0 1);
    if quads.len() > 2 {
        add!(2 3);
    }
    if quads.len() > 4 {
        add!(4 5 6 7);
    }
}

/// Adds the products of weights `4t .. 4t + 4` of each row.
#[inline(always)]
fn add_products<I: Isa, K: Kind, W: Weights<I>, const V: usize, const C: usize>(
    isa: I,
    weights: &W,
    activations: &[&Block; C],
    t: usize,
    chains: usize,
    sums: &mut [[[I::Sum; CHAINS]; C]; V],
) {
    let mut quad = [isa.splat_i32(0); V];
    for (v, quad) in quad.iter_mut().enumerate() {
        *quad = weights.quad(isa, t, v);
    }
    for c in 0..C {
        for v in 0..V {
            let sum = &mut sums[v][c][t % chains];
            *sum = isa.dot(K::BITS, *sum, quad[v], activations[c].quad(t));
        }
    }
}
