//! The arithmetic that decode and prefill share: a sub-block of 32 weights of some rows times the activations of some columns.
//!
//! The one order of accumulation, for a row and a column:
//!
//! ```text
//! acc = 0
//! for each sub-block of 32 weights of the row, in order:
//!     for each part of the sub-block with a scale of its own (one of 32 or two of 16):
//!         n   = Σ (q − offset) × a                     in integers, exact
//!         acc = fma(f32(n), scale × a.scale, acc)
//!         acc = fma(min, a.scale × f32(Σ a), acc)      where the format has a minimum
//! ```
//!
//! The same operations on the same numbers, whatever the level, the tile, the batch and the cut: the same bits.

use super::activations::Block;
use super::lanes::Kind;
use crate::isa::Isa;

/// Four weights in each lane of `V` vectors of rows, and what they are scaled with.
pub(super) trait Weights<I: Isa> {
    /// Weights `4t .. 4t + 4` of vector `v` of rows.
    fn quad(&self, isa: I, t: usize, v: usize) -> I::I;
    /// Scale of part `part`.
    fn scale(&self, isa: I, part: usize, v: usize) -> I::F;
    /// Minimum of part `part`.
    fn min(&self, isa: I, part: usize, v: usize) -> I::F;
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
    let quads = 8 / K::PARTS;
    let steps = I::steps(K::BITS).min(quads);
    let chains = chains::<I>(V * C);
    for part in 0..K::PARTS {
        let mut totals = [[isa.splat_i32(0); C]; V];
        if let Some(shift) = offset::<I, K>() {
            for c in 0..C {
                let start = isa.shl(isa.splat_i32(activations[c].neg_sum[sum_of::<K>(part)]), shift);
                for totals in &mut totals {
                    totals[c] = start;
                }
            }
        }
        let mut first = part * quads;
        while first < (part + 1) * quads {
            let mut sums = [[[isa.start(K::BITS, isa.splat_i32(0)); CHAINS]; C]; V];
            for v in 0..V {
                for c in 0..C {
                    sums[v][c][0] = isa.start(K::BITS, totals[v][c]);
                }
            }
            // Written out: the compiler, which can't see into a product, finds a loop of them too long to unroll.
            macro_rules! add {
                ($($t:literal)*) => { $(add_products::<I, K, W, V, C>(isa, weights, &activations, first + $t, &mut sums);)* };
            }
            add!(0 1);
            if steps > 2 {
                add!(2 3);
            }
            if steps > 4 {
                add!(4 5 6 7);
            }
            for v in 0..V {
                for c in 0..C {
                    totals[v][c] = isa.finish(K::BITS, totals[v][c], sums[v][c][0]);
                    for chain in 1..chains {
                        totals[v][c] = isa.add_i32(totals[v][c], isa.finish(K::BITS, isa.splat_i32(0), sums[v][c][chain]));
                    }
                }
            }
            first += steps;
        }
        scale_part::<I, K, W, V, C>(isa, weights, part, &activations, &totals, acc);
    }
}

/// Where the sums of a part's activations are in a block.
#[inline(always)]
fn sum_of<K: Kind>(part: usize) -> usize {
    if K::PARTS == 1 { 2 } else { part }
}

/// Adds the products of a part, scaled, and the part's minimum.
#[inline(always)]
fn scale_part<I: Isa, K: Kind, W: Weights<I>, const V: usize, const C: usize>(
    isa: I,
    weights: &W,
    part: usize,
    activations: &[&Block; C],
    totals: &[[I::I; C]; V],
    acc: &mut [[I::F; C]; V],
) {
    for v in 0..V {
        let scale = weights.scale(isa, part, v);
        for c in 0..C {
            let scale = isa.mul(scale, isa.splat(activations[c].scale));
            acc[v][c] = isa.mul_add(isa.to_f32(totals[v][c]), scale, acc[v][c]);
            if K::MIN {
                acc[v][c] = isa.mul_add(weights.min(isa, part, v), isa.splat(activations[c].sum[sum_of::<K>(part)]), acc[v][c]);
            }
        }
    }
}

/// As [`scale_part`], of products that have not met the format's offset yet.
#[inline(always)]
pub(super) fn add_part<I: Isa, K: Kind, W: Weights<I>, const V: usize, const C: usize>(
    isa: I,
    weights: &W,
    part: usize,
    activations: &[&Block; C],
    totals: &[[I::I; C]; V],
    acc: &mut [[I::F; C]; V],
) {
    let mut totals = *totals;
    if let Some(shift) = offset::<I, K>() {
        for c in 0..C {
            let offset = isa.shl(isa.splat_i32(activations[c].neg_sum[sum_of::<K>(part)]), shift);
            for totals in &mut totals {
                totals[c] = isa.add_i32(totals[c], offset);
            }
        }
    }
    scale_part::<I, K, W, V, C>(isa, weights, part, activations, &totals, acc);
}

/// How many sums are kept apart for each of `outputs`: one sum of eight products in a row takes longer than all else in a block, where a
/// product's latency is long and few others hide it.
#[inline(always)]
fn chains<I: Isa>(outputs: usize) -> usize {
    if outputs <= 2 { I::CHAINS.min(CHAINS) } else { 1 }
}

/// Adds the products of weights `4t .. 4t + 4` of each row.
#[inline(always)]
fn add_products<I: Isa, K: Kind, W: Weights<I>, const V: usize, const C: usize>(
    isa: I,
    weights: &W,
    activations: &[&Block; C],
    t: usize,
    sums: &mut [[[I::Sum; CHAINS]; C]; V],
) {
    let mut quad = [isa.splat_i32(0); V];
    for (v, quad) in quad.iter_mut().enumerate() {
        *quad = weights.quad(isa, t, v);
    }
    for c in 0..C {
        for v in 0..V {
            let sum = &mut sums[v][c][t % chains::<I>(V * C)];
            *sum = isa.dot(K::BITS, *sum, quad[v], activations[c].quad(t));
        }
    }
}
