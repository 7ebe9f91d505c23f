//! Decode: few columns. `LANES` rows at a time are unpacked from the mapped blocks into registers and multiplied at once; the weights
//! are read once, so this is to be as fast as memory.

use super::activations::Block;
use super::block::{Weights, multiply_block};
use super::lanes::{Lanes, Lanes32, Sink};
use super::output::Output;
use crate::isa::{Isa, LINE, Op, Rows};
use crate::matrix::Matrix;
use std::marker::PhantomData;
use std::ops::Range;

/// `weights` times a few columns.
pub(super) struct Direct<'a, 'o, 'm, L> {
    pub(super) weights: Matrix<'a>,
    /// The columns' blocks.
    pub(super) columns: &'a [&'a [Block]],
    pub(super) out: Output<'o, 'm>,
    pub(super) format: PhantomData<L>,
}

impl<L: Lanes> Op for Direct<'_, '_, '_, L> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        let all = self.weights.rows();
        // All columns meet some rows before the next ones come from memory.
        let vectors = if self.columns.len() <= MOST { all.div_ceil(I::LANES) } else { CACHED / (self.weights.row_bytes() * I::LANES) };
        let together = vectors.max(1) * I::LANES;
        for row in (0..all).step_by(together) {
            let mut done = 0;
            while done < self.columns.len() {
                let rows = row..(row + together).min(all);
                let few = Few { weights: self.weights, rows, columns: &self.columns[done..], first: done, out: &mut self.out };
                done += few.multiply::<I, L>(isa);
            }
        }
    }
}

/// Columns that are multiplied at once, at most.
const MOST: usize = 4;

/// Bytes of rows that wait in the second cache for further columns.
const CACHED: usize = 64 << 10;

/// Some rows, and the columns that are left.
struct Few<'a, 'o, 'm> {
    weights: Matrix<'a>,
    rows: Range<usize>,
    columns: &'a [&'a [Block]],
    /// The first column's row of the result.
    first: usize,
    out: &'a mut Output<'o, 'm>,
}

impl Few<'_, '_, '_> {
    /// Multiplies the first few columns, and says how many.
    #[inline(always)]
    fn multiply<I: Isa, L: Lanes>(self, isa: I) -> usize {
        // A condition on a constant comes first: then nothing is compiled for a level that never uses it.
        if I::COLUMNS >= MOST {
            match self.columns.len() {
                3.. => return isa.vectorize(Columns::<L, MOST>(self, PhantomData)),
                2 => return isa.vectorize(Columns::<L, 2>(self, PhantomData)),
                _ => {}
            }
        }
        isa.vectorize(Columns::<L, 1>(self, PhantomData))
    }
}

/// The first `C` columns. Where there are fewer, the last one stands in for those that are missing: three take as long as four.
struct Columns<'a, 'o, 'm, L, const C: usize>(Few<'a, 'o, 'm>, PhantomData<L>);

impl<L: Lanes, const C: usize> Op for Columns<'_, '_, '_, L, C> {
    /// Columns.
    type Output = usize;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> usize {
        let Few { weights, rows: wanted, columns: left, first, out } = self.0;
        let n = left.len().min(C);
        let mut columns = [left[0]; C];
        for (c, column) in columns.iter_mut().enumerate() {
            *column = left[c.min(n - 1)];
        }
        let (stride, block_bytes) = (weights.row_bytes(), L::TYPE.block_bytes());
        let group = I::LANES * stride;
        let near = group <= NEAR;
        let twice = !near && group <= TWICE;
        let mut row = wanted.start;
        // Later rows were asked for with those before them, and further columns find theirs in cache.
        if row == 0 && first == 0 {
            isa.prefetch(weights.bytes(), 0, (group + AHEAD) / LINE, near);
        }
        while row < wanted.end {
            // The last rows are computed together with some that were computed before, to the same bits.
            let start = row.min(weights.rows() - I::LANES);
            let bytes = &weights.bytes()[start * stride..];
            let rows = Rows::new(bytes, stride, I::LANES);
            let next = Next { bytes, at: group, near, twice };
            let mut sums = Sums::<I, L, C> { columns, block: 0, next, acc: [[isa.splat(0.0); C]], format: PhantomData };
            let mut at = 0;
            if L::GROUP > 1 {
                while at + L::GROUP * block_bytes <= stride {
                    L::unpack_group(isa, rows.window(at, L::GROUP * block_bytes), &mut sums);
                    at += L::GROUP * block_bytes;
                }
            }
            while at + block_bytes <= stride {
                L::unpack(isa, rows.window(at, block_bytes), &mut sums);
                at += block_bytes;
            }
            for (c, acc) in sums.acc[0].into_iter().enumerate().take(n) {
                out.write(isa, first + c, start, row - start, acc);
            }
            row = start + I::LANES;
        }
        n
    }
}

/// Bytes of rows that are few enough to be fetched from memory into the first cache at once.
const NEAR: usize = 1 << 10;

/// Bytes of rows that fit into the first cache beside those before them, and go there from the second one when they are next. From
/// memory they don't: a first cache waits for few lines at a time (Zen 4: eight rows at once came at 18 GB/s, and come at 24 now;
/// sixteen at 10 and 22).
pub(super) const TWICE: usize = 16 << 10;

/// How far beyond the next rows' beginning memory is read: what it delivers in half a microsecond, several times its latency.
/// No multiple of 4 KB: two lines that far apart, asked for together, hold each other up (Zen 4, F16 rows of 576: 23 → 25 GB/s).
pub(crate) const AHEAD: usize = 13 << 10;

/// What is to be fetched next. Some rows are one run of memory that is read in 8 or 16 places at once, which no CPU foresees. So the
/// next rows are fetched from first to last, a little with each sub-block: 6 → 22 GB/s (Zen 4, AVX-512, Q4_1, rows of 576); and short
/// ones from the second cache into the first: Q8_0 21 → 24, Q4_K 21 → 27, Q5_0 16 → 24 GB/s (rows of 640 and 768, in huge pages).
#[derive(Clone, Copy)]
struct Next<'a> {
    bytes: &'a [u8],
    at: usize,
    near: bool,
    twice: bool,
}

/// The running sums of one vector of rows.
struct Sums<'a, I: Isa, L, const C: usize> {
    columns: [&'a [Block]; C],
    /// The sub-block that comes next.
    block: usize,
    next: Next<'a>,
    acc: [[I::F; C]; 1],
    format: PhantomData<L>,
}

impl<I: Isa, L: Lanes, const C: usize> Sink<I> for Sums<'_, I, L, C> {
    #[inline(always)]
    fn take(&mut self, isa: I, weights: Lanes32<I>) {
        let step = I::LANES * L::TYPE.block_bytes() * Block::LEN / L::TYPE.block_len();
        // The bytes of two sub-blocks may be three lines, where those of one, twice, are four.
        let every = if step < 2 * LINE { 2 } else { 1 };
        if self.block.is_multiple_of(every) {
            let Next { bytes, at, near, twice } = self.next;
            // What is a condition here keeps LLVM from mixing the blocks, and from spilling (cached, Zen 4: Q5_0 25 GB/s with both, 19 with
            // the second alone, Q3_K 17 and 11).
            isa.prefetch(bytes, at + AHEAD, (step * every).div_ceil(LINE), near);
            if twice {
                isa.prefetch(bytes, at, (step * every).div_ceil(LINE), true);
            }
            self.next.at += step * every;
        }
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
    fn scale(&self, _: I, _: usize) -> I::F {
        self.scale
    }

    #[inline(always)]
    fn min(&self, _: I, _: usize) -> I::F {
        self.min
    }

    #[inline(always)]
    fn factors(&self, _: I, _: usize) -> I::I {
        self.factors
    }

    #[inline(always)]
    fn min_factors(&self, _: I, _: usize) -> I::I {
        self.min_factors
    }
}
