//! Matrix products with weights as they lie in the file: activations (rows of a batch) times the rows of a [`Matrix`].
//!
//! A format's bytes are unpacked with a lane for each row (`lanes/`), multiplied block by block in one order (`block.rs`), for few
//! columns at once (`direct.rs`) or by way of a panel in cache (`panel.rs`). Plain float weights are multiplied with plain
//! activations (`dense.rs`). [`multiply_reference`] is the obviously right one.
#![forbid(unsafe_code)]
// Register tiles are arrays indexed by row and column, as in the formulas.
#![allow(clippy::needless_range_loop)]

mod activations;
mod block;
mod dense;
mod direct;
mod lanes;
mod output;
mod pairs;
mod panel;
mod reference;

pub use activations::{Activations, Block, quantize};
pub(crate) use direct::AHEAD;
pub use output::Write;
pub use panel::Scratch;
pub use reference::multiply_reference;

use crate::columns::ColumnsMut;
use crate::format::Type;
use crate::isa::{Isa, Level, Op};
use crate::matrix::Matrix;
use direct::Direct;
use lanes::{Kind, Lanes};
use output::Output;
use panel::Panels;
use std::marker::PhantomData;

/// Which activations weights of a type are multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// [`Activations`]: block-quantised weights.
    Quantised,
    /// f32: plain float weights.
    Dense,
}

/// What weights of type `ty` want.
pub fn wants(ty: Type) -> InputKind {
    match ty {
        Type::F32 | Type::F16 | Type::BF16 => InputKind::Dense,
        _ => InputKind::Quantised,
    }
}

/// The activations, of the kind that [`wants`] names.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// For block-quantised weights.
    Quantised(&'a Activations),
    /// `[rows, cols]` f32, row-major, for float weights.
    Dense(&'a [f32]),
}

/// A batch of activations, or some rows of it.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// All activations.
    pub input: Input<'a>,
    /// The rows to multiply, in the order of the result's rows; all where it is `None`.
    pub rows: Option<&'a [u32]>,
}

impl<'a> From<&'a Activations> for Batch<'a> {
    fn from(activations: &'a Activations) -> Self {
        Batch { input: Input::Quantised(activations), rows: None }
    }
}

impl<'a> From<&'a [f32]> for Batch<'a> {
    fn from(activations: &'a [f32]) -> Self {
        Batch { input: Input::Dense(activations), rows: None }
    }
}

/// `out[i, j] = Σ_k batch[i, k] · w[j, k]`, or added to `out` where `write` says so. `out: [batch rows, w.rows()]`; a worker gives the
/// rows of `w` that are its own, and their columns of the result. The result's bits depend on nothing else: neither on the level, the
/// batch, nor the cut.
///
/// ```
/// use kinglet_quant::{Activations, ColumnsMut, Level, Matrix, Scratch, Type, Write, multiply};
///
/// let level = Level::detect().unwrap();
/// let mut weights = [0x99; 18 * 2]; // two rows of one Q4_0 block: all weights are 1 × scale
/// weights[..2].copy_from_slice(&0x3c00u16.to_le_bytes()); // 1.0
/// weights[18..20].copy_from_slice(&0x4000u16.to_le_bytes()); // 2.0
/// let w = Matrix::new(Type::Q4_0, 2, 32, &weights).unwrap();
///
/// let mut x = Activations::new();
/// x.quantize(level, &[1.0; 32], 32);
/// let mut out = [0.0; 2];
/// multiply(level, &w, (&x).into(), Write::Set, &mut ColumnsMut::new(&mut out, 2), &mut Scratch::new());
/// assert_eq!(out, [32.0, 64.0]);
/// ```
///
/// # Panics
/// Where the shapes don't fit, the activations are not of the kind the weights want, or the CPU lacks the level.
pub fn multiply(level: Level, w: &Matrix<'_>, batch: Batch<'_>, write: Write, out: &mut ColumnsMut<'_>, scratch: &mut Scratch) {
    assert_eq!(out.width(), w.rows(), "columns of the result for rows of weights");
    if w.rows() == 0 || out.rows() == 0 {
        return;
    }
    let multiply = match w.ty() {
        Type::F32 | Type::F16 | Type::BF16 => return dense::multiply(level, w, batch, write, out),
        Type::Q4_0 => multiply_lanes::<lanes::Q4_0>,
        Type::Q4_1 => multiply_lanes::<lanes::Q4_1>,
        Type::Q5_0 => multiply_lanes::<lanes::Q5_0>,
        Type::Q5_1 => multiply_lanes::<lanes::Q5_1>,
        Type::Q8_0 => multiply_lanes::<lanes::Q8_0>,
        Type::Q2_K => multiply_lanes::<lanes::Q2K>,
        Type::Q3_K => multiply_lanes::<lanes::Q3K>,
        Type::Q4_K => multiply_lanes::<lanes::Q4K>,
        Type::Q5_K => multiply_lanes::<lanes::Q5K>,
        Type::Q6_K => multiply_lanes::<lanes::Q6K>,
        Type::IQ4_NL => multiply_lanes::<lanes::Iq4Nl>,
        Type::IQ4_XS => multiply_lanes::<lanes::Iq4Xs>,
        Type::MXFP4 => multiply_lanes::<lanes::Mxfp4>,
    };
    multiply(level, w, batch, write, out, scratch);
}

/// Block-quantised weights of one format.
fn multiply_lanes<L: Lanes>(level: Level, w: &Matrix<'_>, batch: Batch<'_>, write: Write, out: &mut ColumnsMut<'_>, scratch: &mut Scratch) {
    let Input::Quantised(activations) = batch.input else { panic!("{} weights want quantised activations", w.ty().name()) };
    assert_eq!(activations.cols(), w.cols(), "activations in a row for columns of weights");
    assert_eq!(batch.rows.map_or(activations.rows(), <[u32]>::len), out.rows(), "activation rows for rows of the result");
    let column = |i: usize| activations.row(batch.rows.map_or(i, |rows| rows[i] as usize));

    // A vector's lanes are rows of weights; where there are fewer, rows of zeros fill it.
    let mut few_rows = std::mem::take(&mut scratch.few_rows);
    let weights = if w.rows() < MOST_LANES {
        few_rows.clear();
        few_rows.extend_from_slice(w.bytes());
        few_rows.resize(MOST_LANES * w.row_bytes(), 0);
        Matrix::new(w.ty(), MOST_LANES, w.cols(), &few_rows).expect("rows were added")
    } else {
        *w
    };
    let columns: Vec<&[Block]> = (0..out.rows()).map(column).collect();
    let out = Output { matrix: out, write };
    level.run(Product::<L> { weights, columns: &columns, out, scratch, format: PhantomData });
    scratch.few_rows = few_rows;
}

/// Lanes of the widest level.
const MOST_LANES: usize = 16;

/// Weights of one format, as many rows as a vector has lanes or more, times some columns.
struct Product<'a, 'o, 'm, L> {
    weights: Matrix<'a>,
    columns: &'a [&'a [Block]],
    out: Output<'o, 'm>,
    scratch: &'o mut Scratch,
    format: PhantomData<L>,
}

impl<L: Lanes> Op for Product<'_, '_, '_, L> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Product { weights, columns, out, scratch, format } = self;
        // Up to so many columns the weights are multiplied as they are unpacked, four columns at a time; beyond, a panel in cache is
        // faster (measured on Zen 4). Blocks of two parts leave fewer registers, and less to gain.
        let few = match L::Kind::PARTS {
            1 if I::LANES == MOST_LANES => 12,
            1 => 8,
            _ => 4,
        };
        if columns.len() <= few {
            Direct::<L> { weights, columns, out, format }.run(isa);
        } else {
            Panels::<L> { weights, columns, out, scratch, format }.run(isa);
        }
    }
}
