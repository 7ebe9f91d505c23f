//! What a product reads: the rows of a batch, quantised once for all weights that want it so, and in f32 for those that are stored
//! in floating point. The producer of a row (a norm, an activation, attention's output) runs right before the row is quantised, while
//! it is still in the nearest cache.

use super::linear::Arithmetic;
use super::room::reserve;
use crate::parallel::{Crew, Pieces, cut_evenly, taper};
use kinglet_quant::isa::Level;
use kinglet_quant::kernel::{Block, quantize};
use kinglet_quant::{Activations, Batch, ColumnsMut, InputKind};
use std::collections::TryReserveError;
use std::ops::Range;

/// Rows fewer than this for each worker are filled by the leader alone: a crossing costs more.
const FEW: usize = 2;

/// Rows in a piece at least: some 5 µs.
const LEAST: usize = 8;

/// The input of one or several products.
#[derive(Debug, Default)]
pub struct Input {
    rows: usize,
    width: usize,
    quantised: Activations,
    dense: Vec<f32>,
}

impl Input {
    /// Rows held.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The form that weights of `kind` want, of the rows with these numbers or of all.
    pub fn batch<'a>(&'a self, kind: InputKind, rows: Option<&'a [u32]>) -> Batch<'a> {
        let all = match kind {
            InputKind::Quantised => Batch::from(&self.quantised),
            InputKind::Dense => self.dense[..].into(),
        };
        Batch { rows, ..all }
    }

    /// `[rows, width]` in f32; empty where no product wanted it.
    pub fn dense(&self) -> &[f32] {
        &self.dense
    }

    /// Bytes of a row of `width` numbers in both forms.
    pub fn row_bytes(width: usize) -> usize {
        Activations::bytes_for(1, width) + width * size_of::<f32>()
    }

    /// Takes memory for `rows` rows of `width` numbers in both forms.
    ///
    /// # Errors
    /// Where the system has not got it.
    pub(super) fn reserve(&mut self, rows: usize, width: usize) -> Result<(), TryReserveError> {
        self.quantised.reserve(rows, width)?;
        reserve(&mut self.dense, rows * width)
    }

    /// Takes on `rows` rows of `width` numbers, to be filled by workers that take some of it each; `wants` says whether the quantised and
    /// the dense form are needed.
    pub fn reshape(&mut self, level: Level, (quantise, keep): (bool, bool), rows: usize, width: usize) -> InputMut<'_> {
        (self.rows, self.width) = (rows, width);
        let (quantised_rows, quantised_width) = if quantise { (rows, width) } else { (0, 0) };
        self.quantised.resize(quantised_rows, quantised_width);
        self.dense.resize(if keep { rows * width } else { 0 }, 0.0);
        InputMut {
            level,
            quantised: quantise.then(|| self.quantised.columns_mut()),
            dense: keep.then(|| ColumnsMut::new(&mut self.dense, width)),
        }
    }

    /// Fills `rows` rows of `width` numbers: `produce(row, x, y)` writes `y: [width]` and may change its row of `x: [rows, x_width]` (the
    /// residual stream), or `x` is empty. `wants` says whether the quantised and the dense form are needed.
    pub fn fill(
        &mut self,
        crew: &mut Crew<'_>,
        arithmetic: Arithmetic,
        wants: (bool, bool),
        (rows, width): (usize, usize),
        x: &mut [f32],
        produce: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
    ) {
        let x_width = x.len() / rows.max(1);
        let input = self.reshape(arithmetic.level(), wants, rows, width);
        let work = |y: &mut Vec<f32>, Share { rows, mut input, x }: Share<'_>| {
            y.resize(width, 0.0);
            for (i, row) in rows.enumerate() {
                produce(row, &mut x[i * x_width..(i + 1) * x_width], y);
                input.set(i, 0, y);
            }
        };
        let threads = crew.threads();
        if rows < FEW * threads {
            return work(&mut Vec::new(), Share { rows: 0..rows, input, x });
        }
        let (mut rest, mut pieces) = ((input, x), Pieces::for_workers(threads));
        for mine in cut_evenly(rows, threads, 1, 0) {
            pieces.next_worker();
            for rows in taper(mine, 1, LEAST, usize::MAX) {
                let (input, more_input) = rest.0.split(rows.len(), width);
                let (x, more_x) = rest.1.split_at_mut(rows.len() * x_width);
                rest = (more_input, more_x);
                pieces.push(Share { rows, input, x });
            }
        }
        crew.each(&mut vec![Vec::new(); threads], pieces, work);
    }
}

/// Some rows, or some columns, of an input, which one worker fills.
pub struct InputMut<'a> {
    level: Level,
    quantised: Option<ColumnsMut<'a, Block>>,
    dense: Option<ColumnsMut<'a>>,
}

impl<'a> InputMut<'a> {
    /// As [`ColumnsMut::split`]; where they are quantised, `columns` is a multiple of 32.
    pub fn split(self, rows: usize, columns: usize) -> (InputMut<'a>, InputMut<'a>) {
        let (mine, others) = self.quantised.map(|blocks| blocks.split(rows, columns / Block::LEN)).unzip();
        let (my_dense, other_dense) = self.dense.map(|dense| dense.split(rows, columns)).unzip();
        let level = self.level;
        (InputMut { level, quantised: mine, dense: my_dense }, InputMut { level, quantised: others, dense: other_dense })
    }

    /// Sets the columns from `at` on of row `row`.
    pub fn set(&mut self, row: usize, at: usize, x: &[f32]) {
        if let Some(blocks) = &mut self.quantised {
            quantize(self.level, x, &mut blocks.row_mut(row)[at / Block::LEN..][..x.len() / Block::LEN]);
        }
        if let Some(dense) = &mut self.dense {
            dense.row_mut(row)[at..at + x.len()].copy_from_slice(x);
        }
    }
}

/// The rows that one worker fills.
struct Share<'a> {
    rows: Range<usize>,
    input: InputMut<'a>,
    x: &'a mut [f32],
}
