//! [`multiply_block`](super::block::multiply_block) where products are taken of pairs of columns (ARM's `smmla`): eight weights of each
//! row meet eight activations of two columns at a time. The integers are the same, so the bits are.

use super::activations::Block;
use super::block::{WHOLE, Weights, add_scaled, add_weighed, offsets};
use super::lanes::Kind;
use crate::isa::Isa;

/// Pairs of columns in the largest tile.
const MOST: usize = 2;

/// Adds one sub-block to `acc: [V vectors of rows][C columns]`. Of `weights`, quads `2t` and `2t + 1` are those that
/// [`Isa::join`] gave for them. A column without a partner is computed twice.
#[inline(always)]
pub(super) fn multiply_pairs<I: Isa, K: Kind, W: Weights<I>, const V: usize, const C: usize>(
    isa: I,
    weights: &W,
    activations: [&Block; C],
    acc: &mut [[I::F; C]; V],
) {
    if K::PARTS == 2 {
        let mut totals = products::<I, K, W, V, C>(isa, weights, &activations, 0);
        let second = products::<I, K, W, V, C>(isa, weights, &activations, 1);
        for v in 0..V {
            let factors = weights.factors(isa, v);
            for c in 0..C {
                let first = isa.weigh(K::BITS, isa.splat_i32(0), isa.start(K::BITS, totals[v][c]), factors, 0);
                totals[v][c] = isa.weigh(K::BITS, first, isa.start(K::BITS, second[v][c]), factors, 1);
            }
        }
        add_weighed::<I, K, W, V, C>(isa, weights, &activations, &totals, acc);
    } else {
        let totals = products::<I, K, W, V, C>(isa, weights, &activations, WHOLE);
        add_scaled::<I, K, W, V, C>(isa, weights, &activations, &totals, acc);
    }
}

/// The products of a half (0 or 1), or of the [`WHOLE`].
#[inline(always)]
fn products<I: Isa, K: Kind, W: Weights<I>, const V: usize, const C: usize>(
    isa: I,
    weights: &W,
    activations: &[&Block; C],
    of: usize,
) -> [[I::I; C]; V] {
    let first = if of == 1 { 2 } else { 0 };
    let mut sums = [[[isa.splat_i32(0); 2]; MOST]; V];
    // Written out, as in `multiply_block`.
    macro_rules! add {
        ($($t:literal)*) => { $(add_products::<I, W, V, C>(isa, weights, activations, first + $t, &mut sums);)* };
    }
    add!(0 1);
    if of == WHOLE {
        add!(2 3);
    }
    let offsets = offsets::<I, K, C>(isa, of, activations);
    let mut totals = [offsets; V];
    for v in 0..V {
        for c in 0..C {
            totals[v][c] = isa.add_i32(isa.apart(sums[v][c / 2])[c % 2], offsets[c]);
        }
    }
    totals
}

/// Adds the products of weights `8t .. 8t + 8` of each row.
#[inline(always)]
fn add_products<I: Isa, W: Weights<I>, const V: usize, const C: usize>(
    isa: I,
    weights: &W,
    activations: &[&Block; C],
    t: usize,
    sums: &mut [[[I::I; 2]; MOST]; V],
) {
    let mut eight = [[isa.splat_i32(0); 2]; V];
    for (v, eight) in eight.iter_mut().enumerate() {
        *eight = [weights.quad(isa, 2 * t, v), weights.quad(isa, 2 * t + 1, v)];
    }
    for pair in 0..C.div_ceil(2) {
        let of = |c: usize| [activations[c].quad(2 * t), activations[c].quad(2 * t + 1)];
        let columns = [of(2 * pair), of((2 * pair + 1).min(C - 1))];
        for v in 0..V {
            sums[v][pair] = isa.dot_pair(sums[v][pair], eight[v], columns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::activations::pair;
    use super::super::block::multiply_block;
    use super::super::lanes::{Bytes, Lanes32, Symmetric, Symmetric16, WithMin16};
    use super::*;
    use crate::isa::Scalar;

    /// On a level whose pairs are two columns by themselves, one after the other.
    fn pairs_are_two_columns<K: Kind, const C: usize>() {
        let byte = |seed: u32| (seed.wrapping_mul(2_654_435_761) >> 15) & ((1 << K::BITS.min(7)) - 1);
        let quad = |t: usize, lane: usize| (0..4).fold(0, |quad, i| quad << 8 | byte((t * 64 + lane * 4 + i) as u32)) as i32;
        let number = |of: usize| std::array::from_fn(|lane| 0.01 * (3 * of + lane + 1) as f32);
        let factors = |of: i32| std::array::from_fn(|lane| (lane as i32 - of) << 16 | (3 * lane as i32 + of));
        let weights = Lanes32::<Scalar> {
            q: std::array::from_fn(|t| std::array::from_fn(|lane| quad(t, lane))),
            scale: number(0),
            min: number(1),
            factors: factors(2),
            min_factors: factors(0),
        };
        let column = |c: usize| {
            let q: [i8; 32] = std::array::from_fn(|i| ((i * 37 + c * 11) % 255) as i8);
            let sum = |range: std::ops::Range<usize>| q[range].iter().map(|&q| i32::from(q)).sum::<i32>();
            let (sums, scale) = ([sum(0..16), sum(16..32), sum(0..32)], 0.1 + c as f32);
            let quads = std::array::from_fn(|t| std::array::from_fn(|i| q[4 * t + i]));
            let neg_sum = sums.map(|sum| -sum);
            Block { q: quads, scale, sum: scale * sums[2] as f32, neg_sum, neg_halves: pair(neg_sum[0], neg_sum[1]) }
        };
        let blocks: [Block; C] = std::array::from_fn(column);
        let (mut plain, mut pairs) = ([[[0.5; 8]; C]; 1], [[[0.5; 8]; C]; 1]);
        multiply_block::<Scalar, K, _, 1, C>(Scalar, &weights, blocks.each_ref(), &mut plain);
        multiply_pairs::<Scalar, K, _, 1, C>(Scalar, &weights, blocks.each_ref(), &mut pairs);
        assert_eq!(plain, pairs);
        assert_ne!(plain[0][0], [0.5; 8]);
    }

    #[test]
    fn pairs_give_the_bits_of_single_columns() {
        pairs_are_two_columns::<Symmetric<4, 3>, 1>();
        pairs_are_two_columns::<Symmetric<5, 4>, 2>();
        pairs_are_two_columns::<Bytes, 4>();
        pairs_are_two_columns::<Symmetric16<6, 5>, 4>();
        pairs_are_two_columns::<WithMin16<4>, 2>();
    }
}
