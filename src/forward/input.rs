//! What a product reads: the rows of a batch, quantised once for all weights that want it so, and in f32 for those that are stored
//! in floating point. The producer of a row (a norm, an activation, attention's output) runs right before the row is quantised, while
//! it is still in the nearest cache.

use super::linear::Arithmetic;
use super::room::reserve;
use crate::parallel::{Crew, cut_evenly};
use kinglet_quant::kernel::RowsMut;
use kinglet_quant::{Activations, Batch, InputKind};
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

    /// The form that weights of `kind` want.
    pub fn batch(&self, kind: InputKind) -> Batch<'_> {
        match kind {
            InputKind::Quantised => (&self.quantised).into(),
            InputKind::Dense => self.dense[..].into(),
        }
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
        (self.rows, self.width) = (rows, width);
        let (quantised_rows, dense_width) = (if quantise { rows } else { 0 }, if keep { width } else { 0 });
        self.quantised.resize(quantised_rows, if quantise { width } else { 0 });
        self.dense.resize(rows * dense_width, 0.0);
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

/// The rows that one worker fills.
struct Share<'a> {
    rows: Range<usize>,
    quantised: RowsMut<'a>,
    dense: &'a mut [f32],
    x: &'a mut [f32],
}
