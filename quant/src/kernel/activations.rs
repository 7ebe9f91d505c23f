//! Activations as the kernels want them: blocks of 32 signed bytes with a scale and their sums, one cache line each. One order
//! serves decode and prefill.

use crate::columns::ColumnsMut;
use crate::isa::{Isa, Level, Op};
use std::collections::TryReserveError;

/// 32 consecutive activations of a row: `x[i] ≈ scale × q[i]`, |q| ≤ 127.
///
/// The sums are kept because a weight with an offset or a minimum needs them: `Σ (w − offset)·q = Σ w·q − offset·Σ q`. A block that
/// holds a NaN or an infinity has the scale NaN.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub struct Block {
    pub(super) q: [[i8; 4]; 8],
    pub(super) scale: f32,
    /// `scale × Σ q`.
    pub(super) sum: f32,
    /// `−Σ q` over activations 0–15, 16–31, and all.
    pub(super) neg_sum: [i32; 3],
    /// The first two of them, a [`pair`].
    pub(super) neg_halves: i32,
}

impl Block {
    /// Activations in a block.
    pub const LEN: usize = 32;

    /// The quantised activation `i` (0–31).
    pub fn q(&self, i: usize) -> i8 {
        self.q[i / 4][i % 4]
    }

    /// Activations `4t .. 4t + 4`, the first one lowest.
    #[inline(always)]
    pub(super) fn quad(&self, t: usize) -> i32 {
        i32::from_le_bytes(self.q[t].map(|q| q as u8))
    }

    /// What `q` is multiplied with.
    pub fn scale(&self) -> f32 {
        self.scale
    }
}

/// A batch of quantised rows. The buffer grows to the largest batch and is reused.
#[derive(Debug, Default)]
pub struct Activations {
    rows: usize,
    cols: usize,
    blocks: Vec<Block>,
}

impl Activations {
    /// No rows yet.
    pub fn new() -> Self {
        Activations::default()
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Activations in a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The blocks of row `row`.
    pub fn row(&self, row: usize) -> &[Block] {
        let n = self.cols / Block::LEN;
        &self.blocks[row * n..][..n]
    }

    /// Bytes of `rows` rows of `cols` activations.
    pub fn bytes_for(rows: usize, cols: usize) -> usize {
        rows * cols.div_ceil(Block::LEN) * size_of::<Block>()
    }

    /// Takes memory for `rows` rows of `cols` activations.
    ///
    /// # Errors
    /// Where the system has not got it.
    pub fn reserve(&mut self, rows: usize, cols: usize) -> Result<(), TryReserveError> {
        self.blocks.try_reserve_exact((rows * cols.div_ceil(Block::LEN)).saturating_sub(self.blocks.len()))
    }

    /// Takes on a shape; what the rows hold is left over from before, until [`columns_mut`](Activations::columns_mut) is filled.
    ///
    /// # Panics
    /// Where `cols` is no multiple of 32.
    pub fn resize(&mut self, rows: usize, cols: usize) {
        assert!(cols.is_multiple_of(Block::LEN), "{cols} activations are no whole number of blocks of 32");
        (self.rows, self.cols) = (rows, cols);
        self.blocks.resize(rows * (cols / Block::LEN), Block::default());
    }

    /// The blocks of all rows, for workers that fill some of them each with [`quantize`].
    ///
    /// # Panics
    /// Where rows have no activations.
    pub fn columns_mut(&mut self) -> ColumnsMut<'_, Block> {
        ColumnsMut::new(&mut self.blocks, self.cols / Block::LEN)
    }

    /// Takes on the shape `[x.len() / cols, cols]` and quantises `x`.
    ///
    /// # Panics
    /// Where `x` is no whole number of rows, or `cols` no multiple of 32.
    pub fn quantize(&mut self, level: Level, x: &[f32], cols: usize) {
        assert!(cols > 0 && x.len().is_multiple_of(cols), "{} activations are no rows of {cols}", x.len());
        self.resize(x.len() / cols, cols);
        quantize(level, x, &mut self.blocks);
    }
}

/// Quantises `x` into as many blocks as it fills.
///
/// # Panics
/// Where `out` has not that many.
pub fn quantize(level: Level, x: &[f32], out: &mut [Block]) {
    assert_eq!(x.len(), out.len() * Block::LEN, "activations for {} blocks", out.len());
    level.run(Quantize { x, out });
}

struct Quantize<'a> {
    x: &'a [f32],
    out: &'a mut [Block],
}

impl Op for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let x = self.x.as_chunks().0;
        for (x, out) in x.chunks(TOGETHER).zip(self.out.chunks_mut(TOGETHER)) {
            quantize_blocks(isa, x, out);
        }
    }
}

/// Blocks that are quantised together, so that a core has others to begin with while it waits for a block's scale.
const TOGETHER: usize = 8;

/// The largest magnitude whose reciprocal times 127 is still finite is below this; smaller blocks become 0.
const SMALLEST: f32 = 1e-36;

/// Quantises up to [`TOGETHER`] blocks of 32 activations: `scale = max |x| / 127`, `q = x × (127 / max |x|)` to the nearest integer, halves
/// to even.
#[inline(always)]
fn quantize_blocks<I: Isa>(isa: I, x: &[[f32; 32]], out: &mut [Block]) {
    let n = x.len().min(out.len()).min(TOGETHER);
    let (mut inverse, mut scale) = ([0f32; TOGETHER], [0f32; TOGETHER]);
    for b in 0..n {
        let (mut largest, mut poison) = (isa.splat(0.0), isa.splat(0.0));
        for at in (0..32).step_by(I::LANES) {
            let x = isa.load(&x[b][at..]);
            largest = isa.max(isa.abs(x), largest);
            poison = isa.mul_add(x, isa.splat(0.0), poison); // NaN where x is NaN or infinite
        }
        let (largest, poison) = (isa.reduce_max(largest), isa.reduce_add(poison));
        let small = largest < SMALLEST;
        inverse[b] = if small { 0.0 } else { 127.0 / largest };
        scale[b] = if small { 0.0 } else { largest / 127.0 } + poison;
    }
    for b in 0..n {
        let (scale, out) = (scale[b], &mut out[b]);
        if scale.is_nan() {
            *out = Block { scale, sum: scale, ..Block::default() };
            continue;
        }
        let q = out.q.as_flattened_mut();
        let mut sum = [0i32; 2];
        for at in (0..32).step_by(I::LANES) {
            let rounded = isa.to_i32(isa.mul(isa.load(&x[b][at..]), isa.splat(inverse[b])));
            isa.store_i8(&mut q[at..], rounded);
            sum[at / 16] += isa.reduce_i32(rounded);
        }
        let all = sum[0] + sum[1];
        out.scale = scale;
        out.sum = scale * all as f32;
        out.neg_sum = [-sum[0], -sum[1], -all];
        out.neg_halves = pair(-sum[0], -sum[1]);
    }
}

/// Two numbers of 16 bits as one of 32, the first one lowest.
#[inline(always)]
pub(super) const fn pair(first: i32, second: i32) -> i32 {
    first & 0xffff | second << 16
}
