//! `y = W x + b` for all rows of a batch, with the weights' rows, or those of a large batch, cut among the workers: q, k and v are one
//! product, so that they share the quantised input and one crossing of the team.

use super::input::Input;
use super::profile::Amount;
use super::weights::{Weight, bias};
use crate::error::Error;
use crate::file::ModelFile;
use crate::math::add_scaled;
use crate::parallel::{Crew, Pieces, share, taper};
use kinglet_models::Projection;
use kinglet_quant::isa::Level;
use kinglet_quant::{ColumnsMut, InputKind, Matrix, Scratch, Write, multiply, multiply_reference, wants};
use std::ops::{Add, Range};

/// Outputs that a worker takes at least: whole panels of every ISA level, whole blocks of quantised activations.
pub(super) const GRAIN: usize = 32;

/// The same of one row, which is multiplied with a vector of outputs at a time.
const FINE_GRAIN: usize = 16;

/// What a product's outputs are cut in.
fn grain(rows: usize) -> usize {
    if rows == 1 { FINE_GRAIN } else { GRAIN }
}

/// Bytes of weights times the rows that are multiplied with them, in a piece at least: some 20 µs. In shorter ones more is lost where they
/// begin than is gained at the step's end.
const LEAST: usize = 512 << 10;

/// Outputs in a piece at least, whose weights take `bytes` each.
pub(super) fn least(rows: usize, bytes: usize) -> usize {
    (LEAST / (rows * bytes).max(1)).max(2 * GRAIN)
}

/// Bytes of weights that the leader reads while the others hear of a product and fetch what it left in its caches: about a microsecond's.
/// Without them it waited for the others for 1 to 2 of 12 to 28 µs (Xeon).
const LATE: usize = 16 << 10;

/// The bytes of weights by which the leader's share of `rows` rows is larger than others': it loses nothing in the time that they lose.
pub(super) fn late(rows: usize) -> usize {
    LATE / rows.max(1)
}

/// Rows that each worker must have for a product to be cut by them.
const ROWS_EACH: usize = 192;

/// Whether workers take rows of the batch each, and not outputs. Then a worker multiplies what it quantised itself, and no line goes from
/// one core's cache to another's; but each worker unpacks all weights, for which it must have many rows.
fn by_rows(rows: usize, threads: usize) -> bool {
    threads > 1 && rows >= ROWS_EACH * threads
}

/// The rows and the columns that each worker computes of `rows` rows of `width` columns: some rows and all columns, or all rows and its own
/// of `columns`.
pub(super) fn cut(
    (rows, width): (usize, usize),
    threads: usize,
    columns: impl Iterator<Item = Range<usize>>,
) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let by_rows = by_rows(rows, threads);
    let edge = move |i| share(rows as u64, 0, i, threads) as usize;
    columns.enumerate().map(move |(i, columns)| if by_rows { (edge(i)..edge(i + 1), 0..width) } else { (0..rows, columns) })
}

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

impl Bound {
    /// Adds the biases of `rows`, which are the columns of `out`.
    fn add_bias(&self, rows: Range<usize>, out: &mut ColumnsMut<'_>) {
        let Some(bias) = &self.bias else { return };
        for row in 0..out.rows() {
            out.row_mut(row).iter_mut().zip(&bias[rows.clone()]).for_each(|(y, b)| *y += b);
        }
    }
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

    /// One expert's matrix.
    pub fn of_weight(weight: Weight) -> Product {
        Product::of(vec![Bound { weight, bias: None }])
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
        let (threads, grain) = (crew.threads(), grain(input.rows()));
        let least = least(input.rows(), self.bytes() / self.outputs.max(1));
        let mut rest = ColumnsMut::new(out, self.outputs);
        let mut pieces = Pieces::for_workers(threads);
        for (rows, outputs) in self.cut(input.rows(), threads) {
            let (mut mine, others) = rest.split(rows.len(), outputs.len());
            rest = others;
            pieces.next_worker();
            for outputs in taper(outputs, grain, least, usize::MAX) {
                let (piece, more) = mine.split_at(outputs.len());
                mine = more;
                pieces.push((rows.clone(), outputs, piece));
            }
        }
        crew.each(scratch, pieces, |scratch, (rows, outputs, out)| self.run_part(file, arithmetic, (input, rows), outputs, scratch, out));
    }

    /// Some of the outputs for some rows of the input, computed by this thread; `out: [rows.len(), outputs.len()]`.
    pub fn run_part(
        &self,
        file: &ModelFile,
        arithmetic: Arithmetic,
        (input, batch): (&Input, Range<usize>),
        outputs: Range<usize>,
        scratch: &mut Scratch,
        mut out: ColumnsMut<'_>,
    ) {
        let numbers: Option<Vec<u32>> = (batch.len() < input.rows()).then(|| batch.clone().map(|row| row as u32).collect());
        let mut first = 0;
        for part in &self.parts {
            let n = part.weight.rows();
            let rows = outputs.start.clamp(first, first + n) - first..outputs.end.clamp(first, first + n) - first;
            first += n;
            if rows.is_empty() {
                continue;
            }
            let (mut mine, others) = out.split_at(rows.len());
            out = others;
            let matrix = part.weight.matrix(file).slice_rows(rows.clone());
            match arithmetic {
                Arithmetic::Fast(level) => {
                    let batch = input.batch(wants(matrix.ty()), numbers.as_deref());
                    multiply(level, &matrix, batch, self.write, &mut mine, scratch);
                }
                Arithmetic::Reference => {
                    let x = &input.dense()[batch.start * matrix.cols()..batch.end * matrix.cols()];
                    plainly(&matrix, x, self.write, &mut mine);
                }
            }
            part.add_bias(rows, &mut mine);
        }
    }

    /// The outputs for `x: [rows, inputs]`, computed by this thread: for what is done once.
    pub fn run_alone(&self, file: &ModelFile, arithmetic: Arithmetic, x: &[f32]) -> Vec<f32> {
        let inputs = self.parts.first().map_or(1, |part| part.weight.cols());
        let mut out = vec![0.0; x.len() / inputs * self.outputs];
        let (mut rest, mut scratch) = (ColumnsMut::new(&mut out, self.outputs), Scratch::default());
        for part in &self.parts {
            let matrix = part.weight.matrix(file);
            let (mut mine, others) = rest.split_at(matrix.rows());
            rest = others;
            match (arithmetic, wants(matrix.ty())) {
                (Arithmetic::Fast(level), InputKind::Dense) => multiply(level, &matrix, x.into(), self.write, &mut mine, &mut scratch),
                _ => plainly(&matrix, x, self.write, &mut mine),
            }
            part.add_bias(0..matrix.rows(), &mut mine);
        }
        out
    }

    /// The rows and the outputs that each worker computes: some rows, or outputs whose weights take nearly equal numbers of bytes.
    fn cut(&self, rows: usize, threads: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let edge = move |i| self.edge(rows, i, threads);
        cut((rows, self.outputs), threads, (0..threads).map(move |i| edge(i)..edge(i + 1)))
    }

    /// The number of outputs before those of worker `i`, who computes them for `rows` rows.
    fn edge(&self, rows: usize, i: usize, threads: usize) -> usize {
        let grain = grain(rows);
        let mut bytes = share(self.bytes() as u64, late(rows) as u64, i, threads) as usize;
        let mut before = 0;
        for part in &self.parts {
            let (n, all) = (part.weight.rows(), part.weight.bytes());
            if bytes < all {
                return before + ((bytes / part.weight.row_bytes() + grain / 2) / grain * grain).min(n);
            }
            (before, bytes) = (before + n, bytes - all);
        }
        self.outputs
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
