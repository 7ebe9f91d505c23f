//! What a product reads: the rows of a batch, quantised once for all weights that want it so, and in f32 for those that are stored
//! in floating point. The producer of a row (a norm, an activation, attention's output) runs right before the row is quantised, while
//! it is still in the nearest cache.

use super::linear::Arithmetic;
use super::room::reserve;
use crate::parallel::{Crew, cut_evenly};
use kinglet_quant::isa::Level;
use kinglet_quant::kernel::{Block, RowsMut, quantize};
use kinglet_quant::{Activations, Batch, ColumnsMut, InputKind};
use std::collections::TryReserveError;
use std::ops::Range;

/// Rows fewer than this for each worker are filled by the leader alone: a crossing costs more.
const FEW: usize = 2;

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
        let input = match kind {
            InputKind::Quantised => kinglet_quant::Input::Quantised(&self.quantised),
            InputKind::Dense => kinglet_quant::Input::Dense(&self.dense),
        };
        Batch { input, rows }
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

    /// Takes on a shape; what the rows hold is left over from before.
    fn resize(&mut self, (quantise, keep): (bool, bool), rows: usize, width: usize) {
        (self.rows, self.width) = (rows, width);
        let (quantised_rows, quantised_width) = if quantise { (rows, width) } else { (0, 0) };
        self.quantised.resize(quantised_rows, quantised_width);
        self.dense.resize(if keep { rows * width } else { 0 }, 0.0);
    }

    /// Takes on `rows` rows of `width` numbers, to be filled by workers that take some columns each; `wants` says whether the quantised and
    /// the dense form are needed.
    pub fn columns_mut(&mut self, arithmetic: Arithmetic, wants: (bool, bool), rows: usize, width: usize) -> InputColumns<'_> {
        self.resize(wants, rows, width);
        InputColumns {
            level: arithmetic.level(),
            quantised: wants.0.then(|| self.quantised.columns_mut()),
            dense: wants.1.then(|| ColumnsMut::new(&mut self.dense, width)),
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
        let level = arithmetic.level();
        let (quantise, keep) = wants;
        self.resize(wants, rows, width);
        let dense_width = if keep { width } else { 0 };
        let x_width = x.len() / rows.max(1);
        let workers = if rows < FEW * crew.threads() { 1 } else { crew.threads() };
        let (mut quantised, mut dense, mut x) = (self.quantised.rows_mut(), &mut self.dense[..], x);
        let mut jobs = Vec::with_capacity(workers);
        for cut in cut_evenly(rows, workers, 1) {
            let (my_quantised, rest_quantised) = quantised.split_at(if quantise { cut.len() } else { 0 });
            let (my_dense, rest_dense) = dense.split_at_mut(cut.len() * dense_width);
            let (my_x, rest_x) = x.split_at_mut(cut.len() * x_width);
            (quantised, dense, x) = (rest_quantised, rest_dense, rest_x);
            jobs.push(Share { rows: cut, quantised: my_quantised, dense: my_dense, x: my_x });
        }
        let work = |share: Share<'_>| {
            let Share { rows, mut quantised, dense, x } = share;
            let mut one = vec![0.0; width - dense_width];
            for (i, row) in rows.enumerate() {
                let y = if keep { &mut dense[i * width..(i + 1) * width] } else { &mut one[..] };
                produce(row, &mut x[i * x_width..(i + 1) * x_width], y);
                if quantise {
                    let (mine, rest) = quantised.split_at(1);
                    mine.quantize(level, y);
                    quantised = rest;
                }
            }
        };
        if workers == 1 {
            jobs.into_iter().for_each(work);
        } else {
            crew.each(jobs, |_, share| work(share));
        }
    }
}

/// Some columns of some rows of an input, which one worker fills.
pub struct InputColumns<'a> {
    level: Level,
    quantised: Option<ColumnsMut<'a, Block>>,
    dense: Option<ColumnsMut<'a>>,
}

impl<'a> InputColumns<'a> {
    /// The columns before `at`, and those from `at` on; where they are quantised, `at` is a multiple of 32 or their end.
    pub fn split_at(self, at: usize) -> (InputColumns<'a>, InputColumns<'a>) {
        let (mine, others) = self.quantised.map(|blocks| blocks.split_at(at / Block::LEN)).unzip();
        let (my_dense, other_dense) = self.dense.map(|dense| dense.split_at(at)).unzip();
        let level = self.level;
        (InputColumns { level, quantised: mine, dense: my_dense }, InputColumns { level, quantised: others, dense: other_dense })
    }

    /// The rows before `at`, and those from `at` on.
    pub fn split_rows_at(self, at: usize) -> (InputColumns<'a>, InputColumns<'a>) {
        let (mine, others) = self.quantised.map(|blocks| blocks.split_rows_at(at)).unzip();
        let (my_dense, other_dense) = self.dense.map(|dense| dense.split_rows_at(at)).unzip();
        let level = self.level;
        (InputColumns { level, quantised: mine, dense: my_dense }, InputColumns { level, quantised: others, dense: other_dense })
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
    quantised: RowsMut<'a>,
    dense: &'a mut [f32],
    x: &'a mut [f32],
}
