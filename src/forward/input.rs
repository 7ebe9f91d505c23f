//! What a product reads: the rows of a batch, quantised once for all weights that want it so, and in f32 for those that are stored
//! in floating point. The producer of a row (a norm, an activation, attention's output) runs right before the row is quantised, while
//! it is still in the nearest cache.

use super::linear::Arithmetic;
use crate::parallel::{Crew, cut_evenly};
use kinglet_quant::{Activations, InputView};

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

    /// For the kernels.
    pub fn view(&self) -> InputView<'_> {
        InputView { quantised: &self.quantised, dense: &self.dense, rows: None }
    }

    /// `[rows, width]` in f32; empty where no product wanted it.
    pub fn dense(&self) -> &[f32] {
        &self.dense
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
        self.quantised.resize(if quantise { rows } else { 0 }, width);
        self.dense.resize(if keep { rows * width } else { 0 }, 0.0);
        let x_width = x.len() / rows.max(1);
        let workers = if rows < FEW * crew.threads() { 1 } else { crew.threads() };
        let cuts: Vec<_> = cut_evenly(rows, workers, 1).collect();
        let lens: Vec<usize> = cuts.iter().map(|cut| cut.len()).collect();
        let mut quantised = self.quantised.split_rows(&if quantise { lens.clone() } else { vec![0; lens.len()] }).into_iter();
        let (mut dense, mut x) = (&mut self.dense[..], x);
        let mut jobs = Vec::with_capacity(workers);
        for (cut, len) in cuts.into_iter().zip(lens) {
            let (my_dense, rest) = dense.split_at_mut(if keep { len * width } else { 0 });
            let (my_x, rest_x) = x.split_at_mut(len * x_width);
            (dense, x) = (rest, rest_x);
            jobs.push((cut, my_dense, my_x, quantised.next()));
        }
        let work = |(cut, dense, x, mut quantised): (std::ops::Range<usize>, &mut [f32], &mut [f32], Option<_>)| {
            let mut one = vec![0.0; if keep { 0 } else { width }];
            for (i, row) in cut.enumerate() {
                let y = if keep { &mut dense[i * width..(i + 1) * width] } else { &mut one[..] };
                produce(row, &mut x[i * x_width..(i + 1) * x_width], y);
                if let (true, Some(rows)) = (quantise, quantised.as_mut()) {
                    kinglet_quant::RowsMut::quantise(rows, level, i, y);
                }
            }
        };
        if workers == 1 {
            jobs.into_iter().for_each(work);
        } else {
            crew.each(jobs, |_, job| work(job));
        }
    }
}
