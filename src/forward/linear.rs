//! `y = W x + b` for all rows of a batch, with the weights' rows cut among the workers: q, k and v (or gate and up) are one product,
//! so that they share the quantised input and one crossing of the team.

use super::input::Input;
use super::profile::Amount;
use super::weights::{Weight, bias};
use crate::error::Error;
use crate::file::ModelFile;
use crate::math::add_scaled;
use crate::parallel::{Crew, cut_by_cost};
use kinglet_models::Projection;
use kinglet_quant::isa::Level;
use kinglet_quant::{ColumnsMut, InputKind, Matrix, Scratch, Write, multiply, multiply_reference, wants};
use std::ops::{Add, Range};

/// Rows that a worker takes at least: whole panels of every ISA level.
const GRAIN: usize = 32;

/// How products are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// Blocks of 8-bit activations against the mapped blocks, at this level.
    Fast(Level),
    /// Weights and activations in plain f32, scalar: what the fast way is compared with.
    Reference,
}

impl Arithmetic {
    /// The level for everything that is not a product.
    pub fn level(self) -> Level {
        match self {
            Arithmetic::Fast(level) => level,
            Arithmetic::Reference => Level::Scalar,
        }
    }
}

/// Projections that take the same input; their outputs lie side by side.
#[derive(Debug)]
pub struct Product {
    parts: Vec<Bound>,
    outputs: usize,
    write: Write,
}

#[derive(Debug)]
struct Bound {
    weight: Weight,
    bias: Option<Vec<f32>>,
}

/// The part of one projection that a worker computes.
struct Share<'a> {
    part: &'a Bound,
    rows: Range<usize>,
}

impl Product {
    /// Finds the projections, `(recipe, outputs)` each, over inputs of width `cols`.
    ///
    /// # Errors
    /// Where a tensor is missing or of another shape.
    pub fn find(file: &ModelFile, projections: &[(&Projection, usize)], cols: usize) -> Result<Product, Error> {
        let mut parts = Vec::new();
        for &(projection, rows) in projections {
            let bias = bias(file, projection, rows)?;
            let mut first = 0;
            for weight in Weight::pieces(file, &projection.weight, rows, cols)? {
                let mine = first..first + weight.rows();
                first = mine.end;
                parts.push(Bound { weight, bias: bias.as_ref().map(|bias| bias[mine].to_vec()) });
            }
        }
        Ok(Product::of(parts))
    }

    /// The same product, added to what is in its output already.
    pub fn adding(self) -> Product {
        Product { write: Write::Add, ..self }
    }

    /// One expert's matrices.
    pub fn of_weights(weights: Vec<Weight>) -> Product {
        Product::of(weights.into_iter().map(|weight| Bound { weight, bias: None }).collect())
    }

    fn of(parts: Vec<Bound>) -> Product {
        let outputs = parts.iter().map(|part| part.weight.rows()).sum();
        Product { parts, outputs, write: Write::Set }
    }

    /// Outputs of all projections together.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes of weights that one pass reads.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.weight.bytes()).sum()
    }

    /// Multiply-accumulates for one row.
    pub fn macs(&self) -> u64 {
        self.parts.iter().map(|part| (part.weight.rows() * part.weight.cols()) as u64).sum()
    }

    /// What one pass over `rows` rows takes.
    pub fn amount(&self, rows: usize) -> Amount {
        let of = |part: &Bound| {
            let (macs, bytes) = ((rows * part.weight.rows() * part.weight.cols()) as u64, part.weight.bytes() as u64);
            match wants(part.weight.ty()) {
                InputKind::Quantised => Amount { integer: macs, float: 0, bytes },
                InputKind::Dense => Amount { integer: 0, float: macs, bytes },
            }
        };
        self.parts.iter().map(of).fold(Amount::default(), Amount::add)
    }

    /// Whether any (quantised, dense) form of the input is read.
    pub fn wants(&self, arithmetic: Arithmetic) -> (bool, bool) {
        if arithmetic == Arithmetic::Reference {
            return (false, true);
        }
        let any = |kind| self.parts.iter().any(|part| wants(part.weight.ty()) == kind);
        (any(InputKind::Quantised), any(InputKind::Dense))
    }

    /// `out: [rows of the input, outputs]`, written or added to.
    pub fn run(
        &self,
        crew: &mut Crew<'_>,
        file: &ModelFile,
        arithmetic: Arithmetic,
        input: &Input,
        scratch: &mut [Scratch],
        out: &mut [f32],
    ) {
        let mut rest = ColumnsMut::new(out, self.outputs);
        let mut jobs = Vec::with_capacity(crew.threads());
        for (shares, scratch) in self.cut(crew.threads()).into_iter().zip(scratch) {
            let width = shares.iter().map(|share| share.rows.len()).sum();
            let (mine, others) = rest.split_at(width);
            rest = others;
            jobs.push((shares, mine, scratch));
        }
        crew.each(jobs, |_, (shares, mut columns, scratch)| {
            for Share { part, rows } in shares {
                let (mut mine, others) = columns.split_at(rows.len());
                columns = others;
                let matrix = part.weight.matrix(file).slice_rows(rows.clone());
                match arithmetic {
                    Arithmetic::Fast(level) => multiply(level, &matrix, input.batch(wants(matrix.ty())), self.write, &mut mine, scratch),
                    Arithmetic::Reference => plainly(&matrix, input.dense(), self.write, &mut mine),
                }
                if let Some(bias) = &part.bias {
                    for row in 0..mine.rows() {
                        mine.row_mut(row).iter_mut().zip(&bias[rows.clone()]).for_each(|(y, b)| *y += b);
                    }
                }
            }
        });
    }

    /// What each worker computes: ranges of rows whose bytes are nearly equal.
    fn cut(&self, threads: usize) -> Vec<Vec<Share<'_>>> {
        let grains = |part: &Bound| part.weight.rows().div_ceil(GRAIN);
        let costs: Vec<u64> =
            self.parts.iter().flat_map(|part| std::iter::repeat_n(part.weight.row_bytes() as u64, grains(part))).collect();
        let cuts = cut_by_cost(&costs, threads);
        cuts.into_iter()
            .map(|cut| {
                let mut first = 0;
                let mut shares = Vec::new();
                for part in &self.parts {
                    let (rows, n) = (part.weight.rows(), grains(part));
                    let (from, to) = (cut.start.clamp(first, first + n) - first, cut.end.clamp(first, first + n) - first);
                    if from < to {
                        shares.push(Share { part, rows: from * GRAIN..(to * GRAIN).min(rows) });
                    }
                    first += n;
                }
                shares
            })
            .collect()
    }
}

/// The product in plain f32.
fn plainly(matrix: &Matrix<'_>, x: &[f32], write: Write, out: &mut ColumnsMut<'_>) {
    let n = matrix.rows();
    let mut all = vec![0.0; out.rows() * n];
    multiply_reference(matrix, x, &mut all);
    for (row, y) in all.chunks_exact(n).enumerate() {
        match write {
            Write::Set => out.row_mut(row).copy_from_slice(y),
            Write::Add => add_scaled(out.row_mut(row), y, 1.0),
        }
    }
}
