//! Plain float weights times f32 activations, straight from the mapped f32, f16 or bf16.
//!
//! The one order of accumulation: sixteen sums, `sum[k mod 16] = fma(w[k], x[k], sum[k mod 16])` for k in order, then the upper half is
//! added to the lower until one is left. Rows that end before a multiple of 16 are filled with zeros.

use super::output::{Output, Write};
use super::{Batch, Input};
use crate::columns::ColumnsMut;
use crate::format::Type;
use crate::isa::{Isa, Level, Op};
use crate::matrix::Matrix;
use std::marker::PhantomData;

/// A float type of weights.
trait Element {
    const BYTES: usize;
    /// The first `LANES` numbers of `bytes`.
    fn load<I: Isa>(isa: I, bytes: &[u8]) -> I::F;
}

struct Single;
struct Half;
struct Brain;

impl Element for Single {
    const BYTES: usize = 4;

    #[inline(always)]
    fn load<I: Isa>(isa: I, bytes: &[u8]) -> I::F {
        isa.load_f32_bytes(bytes)
    }
}

impl Element for Half {
    const BYTES: usize = 2;

    #[inline(always)]
    fn load<I: Isa>(isa: I, bytes: &[u8]) -> I::F {
        isa.load_f16_bytes(bytes)
    }
}

impl Element for Brain {
    const BYTES: usize = 2;

    #[inline(always)]
    fn load<I: Isa>(isa: I, bytes: &[u8]) -> I::F {
        isa.load_bf16_bytes(bytes)
    }
}

/// See [`super::multiply`].
pub(super) fn multiply(level: Level, w: &Matrix<'_>, batch: Batch<'_>, write: Write, out: &mut ColumnsMut<'_>) {
    let Input::Dense(x) = batch.input else { panic!("{} weights want f32 activations", w.ty().name()) };
    let cols = w.cols();
    assert!(x.len().is_multiple_of(cols), "{} activations are no rows of {cols}", x.len());
    assert_eq!(batch.rows.map_or(x.len() / cols, <[u32]>::len), out.rows(), "activation rows for rows of the result");
    let column = |i: usize| &x[batch.rows.map_or(i, |rows| rows[i] as usize) * cols..][..cols];
    let columns: Vec<&[f32]> = (0..out.rows()).map(column).collect();
    let out = Output { matrix: out, write };
    match w.ty() {
        Type::F32 => level.run(Dense { weights: *w, columns: &columns, out, element: PhantomData::<Single> }),
        Type::F16 => level.run(Dense { weights: *w, columns: &columns, out, element: PhantomData::<Half> }),
        _ => level.run(Dense { weights: *w, columns: &columns, out, element: PhantomData::<Brain> }),
    }
}

struct Dense<'a, 'o, 'm, E> {
    weights: Matrix<'a>,
    columns: &'a [&'a [f32]],
    out: Output<'o, 'm>,
    element: PhantomData<E>,
}

/// Columns whose activations stay in cache while all rows go by.
const COLUMNS: usize = 32;

/// Sums of a product that are kept apart.
const SUMS: usize = 16;

impl<E: Element> Op for Dense<'_, '_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Dense { weights, columns, mut out, .. } = self;
        for (chunk, columns) in columns.chunks(COLUMNS).enumerate() {
            let mut row = 0;
            while row < weights.rows() {
                let tile = Tile { weights, row, first_column: chunk * COLUMNS };
                row += match (I::LANES, weights.rows() - row) {
                    (16, 4..) => tile.rows::<I, E, 4>(isa, columns, &mut out),
                    (_, 2..) => tile.rows::<I, E, 2>(isa, columns, &mut out),
                    _ => tile.rows::<I, E, 1>(isa, columns, &mut out),
                };
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Tile<'a> {
    weights: Matrix<'a>,
    row: usize,
    first_column: usize,
}

impl Tile<'_> {
    /// Multiplies `R` rows with all `columns`, and says how many rows that were.
    #[inline(always)]
    fn rows<I: Isa, E: Element, const R: usize>(self, isa: I, columns: &[&[f32]], out: &mut Output<'_, '_>) -> usize {
        let mut c = 0;
        while c < columns.len() {
            let tile = Tile { first_column: self.first_column + c, ..self };
            c += match (I::LANES, columns.len() - c) {
                (16, 4..) => tile.multiply::<I, E, R, 4>(isa, &columns[c..], out),
                (_, 3..) => tile.multiply::<I, E, R, 3>(isa, &columns[c..], out),
                (_, 2) => tile.multiply::<I, E, R, 2>(isa, &columns[c..], out),
                _ => tile.multiply::<I, E, R, 1>(isa, &columns[c..], out),
            };
        }
        R
    }

    /// Multiplies `R` rows with the first `C` columns, and says how many columns that were.
    #[inline(always)]
    fn multiply<I: Isa, E: Element, const R: usize, const C: usize>(self, isa: I, columns: &[&[f32]], out: &mut Output<'_, '_>) -> usize {
        let cols = self.weights.cols();
        let mut weights: [&[u8]; R] = [&[]; R];
        for (r, weights) in weights.iter_mut().enumerate() {
            *weights = self.weights.row(self.row + r);
        }
        let mut activations: [&[f32]; C] = [&[]; C];
        for (c, activations) in activations.iter_mut().enumerate() {
            *activations = &columns[c][..cols];
        }
        // Two vectors for sixteen sums where a vector has eight lanes; the second is not used where it has sixteen.
        let mut sums = [[[isa.splat(0.0); C]; R]; 2];
        let mut k = 0;
        while k + SUMS <= cols {
            for part in 0..SUMS / I::LANES {
                let k = k + part * I::LANES;
                let mut x = [isa.splat(0.0); C];
                for c in 0..C {
                    x[c] = isa.load(&activations[c][k..]);
                }
                for r in 0..R {
                    let w = E::load(isa, &weights[r][k * E::BYTES..]);
                    for c in 0..C {
                        sums[part][r][c] = isa.mul_add(w, x[c], sums[part][r][c]);
                    }
                }
            }
            k += SUMS;
        }
        if k < cols {
            self.add_tail::<I, E, R, C>(isa, k, weights, activations, &mut sums);
        }
        for r in 0..R {
            for c in 0..C {
                let sum = if I::LANES == SUMS { sums[0][r][c] } else { isa.add(sums[0][r][c], sums[1][r][c]) };
                out.write_one(self.first_column + c, self.row + r, isa.reduce_add(sum));
            }
        }
        C
    }

    /// Adds the products from `k` on, fewer than sixteen.
    #[inline(always)]
    fn add_tail<I: Isa, E: Element, const R: usize, const C: usize>(
        self,
        isa: I,
        k: usize,
        weights: [&[u8]; R],
        activations: [&[f32]; C],
        sums: &mut [[[I::F; C]; R]; 2],
    ) {
        for r in 0..R {
            let mut w = [0; SUMS * 4];
            let tail = &weights[r][k * E::BYTES..];
            w[..tail.len()].copy_from_slice(tail);
            for c in 0..C {
                let mut x = [0.0; SUMS];
                let tail = &activations[c][k..];
                x[..tail.len()].copy_from_slice(tail);
                for part in 0..SUMS / I::LANES {
                    let (w, x) = (E::load(isa, &w[part * I::LANES * E::BYTES..]), isa.load(&x[part * I::LANES..]));
                    sums[part][r][c] = isa.mul_add(w, x, sums[part][r][c]);
                }
            }
        }
    }
}
