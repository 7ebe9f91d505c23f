//! Decode: few columns. `LANES` rows at a time are unpacked from the mapped blocks into registers and multiplied at once; the weights
//! are read once, so this is to be as fast as memory.

use super::activations::Block;
use super::block::{Weights, flip, multiply_block};
use super::lanes::{Lanes, Lanes32, Rows, Sink};
use super::output::Output;
use crate::isa::{Isa, Op};
use crate::matrix::Matrix;
use std::marker::PhantomData;

/// `weights` times `C` columns.
pub(super) struct Direct<'a, 'o, 'm, L, const C: usize> {
    pub(super) weights: Matrix<'a>,
    /// The columns' blocks.
    pub(super) columns: [&'a [Block]; C],
    pub(super) out: Output<'o, 'm>,
    pub(super) format: PhantomData<L>,
}

impl<L: Lanes, const C: usize> Op for Direct<'_, '_, '_, L, C> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Direct { weights, columns, mut out, .. } = self;
        let (stride, block_bytes) = (weights.row_bytes(), L::TYPE.block_bytes());
        let mut row = 0;
        while row < weights.rows() {
            // The last rows are computed together with some that were computed before, to the same bits.
            let start = row.min(weights.rows() - I::LANES);
            let bytes = &weights.bytes()[start * stride..];
            let mut sums = Sums::<I, L, C> { columns, block: 0, bytes, acc: [[isa.splat(0.0); C]], format: PhantomData };
            for at in (0..stride).step_by(block_bytes) {
                L::unpack(isa, Rows { bytes: &bytes[at..], stride }, &mut sums);
            }
            for (c, acc) in sums.acc[0].into_iter().enumerate() {
                out.write(isa, c, start, row - start, acc);
            }
            row = start + I::LANES;
        }
    }
}

/// Bytes of the next rows that fit into the first cache (32 KB) beside these.
const NEAR: usize = 14 << 10;

/// The running sums of one vector of rows.
struct Sums<'a, I: Isa, L, const C: usize> {
    columns: [&'a [Block]; C],
    /// The sub-block that comes next.
    block: usize,
    /// The matrix from the first of the rows on.
    bytes: &'a [u8],
    acc: [[I::F; C]; 1],
    format: PhantomData<L>,
}

impl<I: Isa, L: Lanes, const C: usize> Sink<I> for Sums<'_, I, L, C> {
    #[inline(always)]
    fn take(&mut self, isa: I, mut weights: Lanes32<I>) {
        // These rows are one run of memory that is read in 16 places at once, which no CPU foresees. So the next rows are fetched, from
        // first to last, a little with each sub-block: 6 → 20 GB/s (Zen 4, Q4_1, rows of 576). Rows that would drive each other out of
        // the first cache wait in the second: 14 → 26 GB/s (Q8_0, rows of 1536).
        let step = I::LANES * L::TYPE.block_bytes() * Block::LEN / L::TYPE.block_len();
        let blocks = self.columns[0].len();
        let next = step * (blocks + self.block);
        isa.prefetch(self.bytes, next, next + step, step * blocks <= NEAR);
        weights.q = flip::<I, L::Kind>(isa, weights.q);
        let mut activations = [&self.columns[0][self.block]; C];
        for (activations, column) in activations.iter_mut().zip(&self.columns) {
            *activations = &column[self.block];
        }
        multiply_block::<I, L::Kind, _, 1, C>(isa, &weights, activations, &mut self.acc);
        self.block += 1;
    }
}

impl<I: Isa> Weights<I> for Lanes32<I> {
    #[inline(always)]
    fn quad(&self, _: I, t: usize, _: usize) -> I::I {
        self.q[t]
    }

    #[inline(always)]
    fn scale(&self, _: I, part: usize, _: usize) -> I::F {
        self.scale[part]
    }

    #[inline(always)]
    fn min(&self, _: I, part: usize, _: usize) -> I::F {
        self.min[part]
    }
}
