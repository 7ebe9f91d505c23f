//! The softmaxes of pages that were taken apart, one by one or by several workers, become those of whole rows: page after page, as if one
//! worker had gone over them (Milakov & Gimelshein 2018, algorithm 3). A vector is some pages for the factors and some dimensions for the
//! outputs, so that a long cache costs little beside reading it.

use super::TILE;
use super::softmax::exponentiate;
use super::tile::Partial;
use kinglet_quant::isa::{Isa, Op};
use std::ops::Range;

/// Merges the pages of one query row, and returns the sum by which its output is to be divided.
#[derive(Debug)]
pub struct Merge<'a> {
    /// A [`Partial`] for each page and key/value head, `[pages][heads]`: the maxima of its rows, their sums, their outputs `[rows, width]`.
    pub partials: &'a [f32],
    /// The head, and how many there are.
    pub head: (usize, usize),
    /// The row, and how many a head has.
    pub row: (usize, usize),
    /// The row's output, whatever is in it.
    pub out: &'a mut [f32],
}

/// Numbers of the partial softmax of `rows` rows.
pub fn partial_len(rows: usize, width: usize) -> usize {
    rows * (width + 2)
}

/// The [`Partial`] that lies in the first [`partial_len`] of `numbers`.
pub fn partial_in(numbers: &mut [f32], rows: usize) -> Partial<'_> {
    let (max, rest) = numbers.split_at_mut(rows);
    let (sum, out) = rest.split_at_mut(rows);
    Partial { max, sum, out }
}

/// What a page is multiplied by: what was merged before it, and its own.
#[derive(Default)]
struct Factors {
    before: [f32; TILE],
    own: [f32; TILE],
}

impl Op for Merge<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> f32 {
        let Merge { partials, head: (head, heads), row: (row, rows), out } = self;
        let width = out.len();
        let len = partial_len(rows, width);
        let pages = partials.len() / len / heads;
        let page = |page: usize| &partials[(page * heads + head) * len..][..len];
        let (mut max, mut sum) = (f32::NEG_INFINITY, 0.0);
        out.fill(0.0);
        for first in (0..pages).step_by(TILE) {
            let some = first..pages.min(first + TILE);
            let of = |index: usize| (page(index)[row], page(index)[rows + row]);
            let factors = factors(isa, of, some.clone(), (&mut max, &mut sum));
            outputs(isa, &factors, some, |index| &page(index)[2 * rows + row * width..][..width], out);
        }
        sum
    }
}

/// Merges the maxima and sums that `of` gives for the pages `some`, a [`TILE`] of them at most.
#[inline(always)]
fn factors<I: Isa>(isa: I, of: impl Fn(usize) -> (f32, f32), some: Range<usize>, (max, sum): (&mut f32, &mut f32)) -> Factors {
    let mut factors = Factors::default();
    for (i, index) in some.clone().enumerate() {
        let (before, own) = (*max, of(index).0);
        *max = before.max(own);
        (factors.before[i], factors.own[i]) = (before - *max, own - *max);
    }
    exponentiate(isa, some.len(), [&mut factors.before, &mut factors.own]);
    for (i, index) in some.enumerate() {
        // Of a page of which the row sees nothing, it stays as it is.
        if of(index).0 == f32::NEG_INFINITY {
            (factors.before[i], factors.own[i]) = (1.0, 0.0);
        }
        *sum = *sum * factors.before[i] + of(index).1 * factors.own[i];
    }
    factors
}

/// Merges the outputs of a row; `of` a page.
#[inline(always)]
fn outputs<'a, I: Isa>(isa: I, factors: &Factors, some: Range<usize>, of: impl Fn(usize) -> &'a [f32], whole: &mut [f32]) {
    let whole_vectors = whole.len() / I::LANES * I::LANES;
    for at in (0..whole_vectors).step_by(I::LANES) {
        let mut merged = isa.load(&whole[at..]);
        for (i, index) in some.clone().enumerate() {
            let own = isa.mul(isa.load(&of(index)[at..]), isa.splat(factors.own[i]));
            merged = isa.mul_add(merged, isa.splat(factors.before[i]), own);
        }
        isa.store(&mut whole[at..], merged);
    }
    for (at, whole) in whole.iter_mut().enumerate().skip(whole_vectors) {
        for (i, index) in some.clone().enumerate() {
            *whole = whole.mul_add(factors.before[i], of(index)[at] * factors.own[i]);
        }
    }
}
