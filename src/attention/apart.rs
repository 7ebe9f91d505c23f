//! The passes of the tile, each compiled by itself for each type of number and count of rows: in one function they are more than a compiler
//! gets through in reasonable time, and a call costs nothing beside a page.

use super::PAGE;
use super::element::Element;
use super::tile::Block;
use crate::position::Relative;
use kinglet_quant::isa::{Isa, Op};
use std::ops::Range;

/// [`Block::scores`].
pub(super) struct Scores<'b, 'a, E: Element, const R: usize> {
    pub block: &'b Block<'a>,
    pub numbers: &'a [E::Number],
    pub scores: &'b mut [[f32; PAGE]; R],
    pub keys: Range<usize>,
}

impl<E: Element, const R: usize> Op for Scores<'_, '_, E, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        self.block.scores::<I, E, R>(isa, self.numbers, self.scores, self.keys);
    }
}

/// [`Block::add_by_key`].
pub(super) struct ByKey<'b, 'a, E: Element, const R: usize> {
    pub block: &'b Block<'a>,
    pub numbers: &'a [E::Number],
    pub table: &'b Relative,
    pub scores: &'b mut [[f32; PAGE]; R],
    pub keys: Range<usize>,
}

impl<E: Element, const R: usize> Op for ByKey<'_, '_, E, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        self.block.add_by_key::<I, E, R>(isa, self.numbers, self.table, self.scores, self.keys);
    }
}

/// [`Block::values`].
pub(super) struct Values<'b, 'a, E: Element, const R: usize> {
    pub block: &'b Block<'a>,
    pub numbers: &'a [E::Number],
    pub weights: &'b [[f32; PAGE]; R],
    pub keys: Range<usize>,
    pub factors: (&'b [f32; R], &'b [f32; R]),
    pub out: &'b mut [f32],
}

impl<E: Element, const R: usize> Op for Values<'_, '_, E, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        self.block.values::<I, E, R>(isa, self.numbers, self.weights, self.keys, self.factors, self.out);
    }
}
