//! Prefill: many columns. A panel of rows is unpacked into a scratch that stays in cache, and multiplied with all columns, a tile of
//! `V` vectors of rows × `C` columns in registers.
//!
//! ```text
//! for each panel of V·LANES rows:
//!     for each slice of K:
//!         unpack the slice: for each sub-block of 32, quads [8][V·LANES], its halves' factors, scales [V·LANES], minima
//!         for each C columns: acc += slice × activations        (block.rs)
//! ```
//!
//! Between slices the tile's sums wait in the scratch: storing an f32 rounds nothing, so slices change no bits.

use super::activations::Block;
use super::block::{Weights, multiply_block};
use super::lanes::{Kind, Lanes, Lanes32, Sink};
use super::output::Output;
use super::pairs::multiply_pairs;
use crate::isa::{Isa, LINE, Op, Rows};
use crate::matrix::Matrix;
use std::marker::PhantomData;

/// Sub-blocks of 32 in a slice of K: 32 rows × 2048 weights are 64 KB, which the L2 cache feeds fast enough.
const SLICE: usize = 64;

/// Columns that share one unpacking; bounds the sums that wait in the scratch.
const COLUMNS: usize = 512;

/// One worker's buffers. They grow to what the largest multiplication needs, some hundred KB.
#[derive(Debug, Default)]
pub struct Scratch {
    quads: Vec<i32>,
    scales: Vec<f32>,
    sums: Vec<f32>,
    /// Copies of a matrix's rows where it has fewer than a vector's lanes.
    pub(super) few_rows: Vec<u8>,
}

impl Scratch {
    /// Empty buffers.
    pub fn new() -> Self {
        Scratch::default()
    }
}

/// The part of `buffer`, grown as needed, that begins at a cache line and has `len` items.
fn aligned<T: Copy + Default>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    let slack = LINE / size_of::<T>();
    if buffer.len() < len + slack {
        buffer.resize(len + slack, T::default());
    }
    let start = buffer.as_ptr().align_offset(LINE).min(slack);
    &mut buffer[start..][..len]
}

/// `weights` times many columns.
pub(super) struct Panels<'a, 'o, 'm, L> {
    pub(super) weights: Matrix<'a>,
    pub(super) columns: &'a [&'a [Block]],
    pub(super) out: Output<'o, 'm>,
    pub(super) scratch: &'o mut Scratch,
    pub(super) format: PhantomData<L>,
}

impl<L: Lanes> Op for Panels<'_, '_, '_, L> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        let weights = self.weights;
        let blocks = weights.cols() / Block::LEN;
        let (longest, rows) = (blocks.min(SLICE), V * I::LANES);
        let quads = aligned(&mut self.scratch.quads, longest * integers::<L::Kind>() * rows);
        let scales = aligned(&mut self.scratch.scales, longest * FLOATS * rows);
        let sums = aligned(&mut self.scratch.sums, COLUMNS.min(self.columns.len()) * rows);
        for (chunk, columns) in self.columns.chunks(COLUMNS).enumerate() {
            let steps = columns.len().div_ceil(I::COLUMNS) * blocks.div_ceil(SLICE) + V * blocks * Block::LEN / L::TYPE.block_len();
            for row in (0..weights.rows()).step_by(rows) {
                let mut next = Next::of(weights, row + rows, rows, steps);
                let mut from = 0;
                while from < blocks {
                    let slice = Slice { row, rows: weights.rows(), from, to: (from + SLICE).min(blocks), blocks };
                    isa.vectorize(Unpack::<L> { weights, slice, quads, scales, next: &mut next, format: PhantomData });
                    let mut first = 0;
                    while first < columns.len() {
                        let (columns, sums) = (&columns[first..], &mut sums[first * rows..]);
                        let panel = Panel { slice, quads, scales, first_column: chunk * COLUMNS + first };
                        first += panel.multiply::<I, L::Kind>(isa, columns, sums, &mut self.out);
                        next.fetch(isa);
                    }
                    from = slice.to;
                }
            }
        }
    }
}

/// The next panel's weights, a part of which is asked for into the second cache with each block that is unpacked and after each tile:
/// unpacking would wait for them.
struct Next<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Lines that are asked for at once.
    lines: usize,
}

impl<'a> Next<'a> {
    /// Those of `rows` rows from row `row` on, over `steps` steps.
    fn of(weights: Matrix<'a>, row: usize, rows: usize, steps: usize) -> Self {
        let size = weights.row_bytes();
        let bytes = if row < weights.rows() { &weights.bytes()[row * size..] } else { weights.after() };
        let bytes = &bytes[..bytes.len().min(rows * size)];
        Next { bytes, at: 0, lines: bytes.len().div_ceil(LINE).div_ceil(steps) }
    }

    #[inline(always)]
    fn fetch<I: Isa>(&mut self, isa: I) {
        if self.at < self.bytes.len() {
            isa.prefetch(self.bytes, self.at, self.lines, false);
            self.at += self.lines * LINE;
        }
    }
}

/// Vectors of rows in a panel.
const V: usize = 2;

/// Vectors of integers of a sub-block: its quads, and where its halves have factors, those of the scale and of the minimum.
const fn integers<K: Kind>() -> usize {
    if K::PARTS == 2 { 10 } else { 8 }
}

/// Vectors of floats of a sub-block: scale and minimum.
const FLOATS: usize = 2;

/// Which weights a panel holds.
#[derive(Clone, Copy)]
struct Slice {
    /// The first row, and the rows of the whole matrix.
    row: usize,
    rows: usize,
    /// Its sub-blocks, and those of a whole row.
    from: usize,
    to: usize,
    blocks: usize,
}

impl Slice {
    /// Which rows vector `v` holds: the first one, and how many of its lanes were computed before (at the matrix's end).
    #[inline(always)]
    fn lanes<I: Isa>(&self, v: usize) -> (usize, usize) {
        let row = self.row + v * I::LANES;
        let start = row.min(self.rows - I::LANES);
        (start, (row - start).min(I::LANES))
    }
}

/// Unpacks a slice into a panel.
struct Unpack<'a, 'w, L> {
    weights: Matrix<'w>,
    slice: Slice,
    quads: &'a mut [i32],
    scales: &'a mut [f32],
    next: &'a mut Next<'w>,
    format: PhantomData<L>,
}

impl<L: Lanes> Op for Unpack<'_, '_, L> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let (stride, block_bytes) = (self.weights.row_bytes(), L::TYPE.block_bytes());
        let subs = L::TYPE.block_len() / Block::LEN;
        for v in 0..V {
            let (start, _) = self.slice.lanes::<I>(v);
            let rows = Rows::new(&self.weights.bytes()[start * stride..], stride, I::LANES);
            let mut filler = Filler::<L::Kind> { quads: self.quads, scales: self.scales, v, block: 0, kind: PhantomData };
            for block in self.slice.from / subs..self.slice.to / subs {
                L::unpack(isa, rows.window(block * block_bytes, block_bytes), &mut filler);
                self.next.fetch(isa);
            }
        }
    }
}

/// Writes one vector of rows into a panel.
struct Filler<'a, K> {
    quads: &'a mut [i32],
    scales: &'a mut [f32],
    v: usize,
    /// The sub-block that comes next.
    block: usize,
    kind: PhantomData<K>,
}

impl<I: Isa, K: Kind> Sink<I> for Filler<'_, K> {
    #[inline(always)]
    fn take(&mut self, isa: I, weights: Lanes32<I>) {
        let rows = V * I::LANES;
        let at = self.v * I::LANES;
        let quads = &mut self.quads[self.block * integers::<K>() * rows..][..integers::<K>() * rows];
        let mut q = weights.q;
        if I::PAIRS {
            for pair in q.as_chunks_mut::<2>().0 {
                *pair = isa.join(pair[0], pair[1]);
            }
        }
        for (t, q) in q.into_iter().enumerate() {
            isa.store_i32(&mut quads[t * rows + at..], q);
        }
        if K::PARTS == 2 {
            isa.store_i32(&mut quads[8 * rows + at..], weights.factors);
            if K::MIN {
                isa.store_i32(&mut quads[9 * rows + at..], weights.min_factors);
            }
        }
        let scales = &mut self.scales[self.block * FLOATS * rows..][..FLOATS * rows];
        isa.store(&mut scales[at..], weights.scale);
        if K::MIN {
            isa.store(&mut scales[rows + at..], weights.min);
        }
        self.block += 1;
    }
}

/// A slice, unpacked: for each sub-block of 32 weights `quads: [integers][V·LANES]` and `scales: [FLOATS][V·LANES]`.
#[derive(Clone, Copy)]
struct Panel<'a> {
    slice: Slice,
    quads: &'a [i32],
    scales: &'a [f32],
    /// Row of the result that the first column goes to.
    first_column: usize,
}

impl Panel<'_> {
    /// Multiplies the panel with the first few columns, and says with how many.
    #[inline(always)]
    fn multiply<I: Isa, K: Kind>(self, isa: I, columns: &[&[Block]], sums: &mut [f32], out: &mut Output<'_, '_>) -> usize {
        // Conditions on constants come first: then no tile is compiled for a level that never uses it.
        if I::COLUMNS >= 5 && columns.len() >= 5 {
            return isa.vectorize(Tile::<K, 5>::new(self, columns, sums, out));
        }
        if I::COLUMNS >= 4 {
            match columns.len() {
                4.. => return isa.vectorize(Tile::<K, 4>::new(self, columns, sums, out)),
                2.. => return isa.vectorize(Tile::<K, 2>::new(self, columns, sums, out)),
                _ => {}
            }
        }
        isa.vectorize(Tile::<K, 1>::new(self, columns, sums, out))
    }
}

/// A panel times `C` columns: `V × C` sums in registers.
struct Tile<'a, 'o, 'm, K, const C: usize> {
    panel: Panel<'a>,
    columns: &'a [&'a [Block]; C],
    /// What waits between slices, `[C][V·LANES]`.
    sums: &'a mut [f32],
    out: &'a mut Output<'o, 'm>,
    kind: PhantomData<K>,
}

impl<'a, 'o, 'm, K, const C: usize> Tile<'a, 'o, 'm, K, C> {
    #[inline(always)]
    fn new(panel: Panel<'a>, columns: &'a [&'a [Block]], sums: &'a mut [f32], out: &'a mut Output<'o, 'm>) -> Self {
        Tile { panel, columns: columns.first_chunk().expect("as many columns as the tile has"), sums, out, kind: PhantomData }
    }
}

impl<K: Kind, const C: usize> Op for Tile<'_, '_, '_, K, C> {
    /// Columns.
    type Output = usize;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> usize {
        let Tile { panel, columns, sums, out, .. } = self;
        let slice = panel.slice;
        let rows = V * I::LANES;
        let sums = &mut sums[..C * rows];
        let mut activations: [&[Block]; C] = [&[]; C];
        for c in 0..C {
            activations[c] = &columns[c][slice.from..slice.to];
        }
        let mut acc = [[isa.splat(0.0); C]; V];
        if slice.from > 0 {
            for c in 0..C {
                for v in 0..V {
                    acc[v][c] = isa.load(&sums[c * rows + v * I::LANES..]);
                }
            }
        }
        let quads = panel.quads.chunks_exact(integers::<K>() * rows);
        let scales = panel.scales.chunks_exact(FLOATS * rows);
        for ((b, quads), scales) in (0..slice.to - slice.from).zip(quads).zip(scales) {
            let mut blocks = [&activations[0][b]; C];
            for c in 0..C {
                blocks[c] = &activations[c][b];
            }
            let weights = InPanel { quads, scales };
            if I::PAIRS {
                multiply_pairs::<I, K, _, V, C>(isa, &weights, blocks, &mut acc);
            } else {
                multiply_block::<I, K, _, V, C>(isa, &weights, blocks, &mut acc);
            }
        }
        for v in 0..V {
            let (start, skip) = slice.lanes::<I>(v);
            for c in 0..C {
                if slice.to < slice.blocks {
                    isa.store(&mut sums[c * rows + v * I::LANES..], acc[v][c]);
                } else if skip < I::LANES {
                    out.write(isa, panel.first_column + c, start, skip, acc[v][c]);
                }
            }
        }
        C
    }
}

/// One sub-block of a panel.
struct InPanel<'a> {
    quads: &'a [i32],
    scales: &'a [f32],
}

impl<I: Isa> Weights<I> for InPanel<'_> {
    #[inline(always)]
    fn quad(&self, isa: I, t: usize, v: usize) -> I::I {
        isa.load_i32(&self.quads[(t * V + v) * I::LANES..])
    }

    #[inline(always)]
    fn scale(&self, isa: I, v: usize) -> I::F {
        isa.load(&self.scales[v * I::LANES..])
    }

    #[inline(always)]
    fn min(&self, isa: I, v: usize) -> I::F {
        isa.load(&self.scales[(V + v) * I::LANES..])
    }

    #[inline(always)]
    fn factors(&self, isa: I, v: usize) -> I::I {
        isa.load_i32(&self.quads[(8 * V + v) * I::LANES..])
    }

    #[inline(always)]
    fn min_factors(&self, isa: I, v: usize) -> I::I {
        isa.load_i32(&self.quads[(9 * V + v) * I::LANES..])
    }
}
