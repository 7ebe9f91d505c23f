//! Plain float weights times f32 activations, straight from the mapped f32, f16 or bf16.
//!
//! The one order of accumulation: sixteen sums, `sum[k mod 16] = fma(w[k], x[k], sum[k mod 16])` for k in order, then the upper half is
//! added to the lower until one is left. Rows that end before a multiple of 16 are filled with zeros.

use super::direct::{AHEAD, TWICE};
use super::output::{Output, Write};
use super::{Batch, Input};
use crate::columns::ColumnsMut;
use crate::format::Type;
use crate::isa::{Isa, LINE, Level, Op};
use crate::matrix::Matrix;
use std::marker::PhantomData;

/// A float type of weights.
trait Element {
    const BYTES: usize;
    /// The bytes of sixteen numbers.
    type Sixteen: AsRef<[u8]>;
    /// Whole sixteens, and what is left.
    fn sixteens(bytes: &[u8]) -> (&[Self::Sixteen], &[u8]);
    /// What is left, with zeros behind it.
    fn padded(bytes: &[u8]) -> Self::Sixteen;
    /// The first `LANES` numbers of `bytes`.
    fn load<I: Isa>(isa: I, bytes: &[u8]) -> I::F;
}

struct Single;
struct Half;
struct Brain;

/// What differs: the size of a number, and how it is loaded.
macro_rules! element {
    ($element:ident, $bytes:literal, $load:ident) => {
        impl Element for $element {
            const BYTES: usize = $bytes;
            type Sixteen = [u8; SUMS * $bytes];

            #[inline(always)]
            fn sixteens(bytes: &[u8]) -> (&[Self::Sixteen], &[u8]) {
                bytes.as_chunks()
            }

            #[inline(always)]
            fn padded(bytes: &[u8]) -> Self::Sixteen {
                let mut padded = [0; SUMS * $bytes];
                padded[..bytes.len()].copy_from_slice(bytes);
                padded
            }

            #[inline(always)]
            fn load<I: Isa>(isa: I, bytes: &[u8]) -> I::F {
                isa.$load(bytes)
            }
        }
    };
}

element!(Single, 4, load_f32_bytes);
element!(Half, 2, load_f16_bytes);
element!(Brain, 2, load_bf16_bytes);

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
                row += tile.rows::<I, E>(isa, columns, &mut out);
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
    /// Multiplies the first few rows with all `columns`, and says how many rows that were.
    #[inline(always)]
    fn rows<I: Isa, E: Element>(self, isa: I, columns: &[&[f32]], out: &mut Output<'_, '_>) -> usize {
        let rows = self.weights.rows() - self.row;
        // A condition on a constant comes first: then nothing is compiled for a level that never uses it. One column is bound by memory,
        // which four rows at once make slower (F16 rows of 576: 97 % of the bandwidth with two, 60 % with four).
        if I::LANES == SUMS && rows >= 4 && columns.len() > 1 {
            return self.columns::<I, E, 4>(isa, columns, out);
        }
        if rows >= 2 { self.columns::<I, E, 2>(isa, columns, out) } else { self.columns::<I, E, 1>(isa, columns, out) }
    }

    /// Multiplies `R` rows with all `columns`.
    #[inline(always)]
    fn columns<I: Isa, E: Element, const R: usize>(self, isa: I, columns: &[&[f32]], out: &mut Output<'_, '_>) -> usize {
        let mut c = 0;
        while c < columns.len() {
            let tile = Tile { first_column: self.first_column + c, ..self };
            let columns = &columns[c..];
            c += match columns.len() {
                3.. => isa.vectorize(Product::<E, R, 3> { tile, columns, out, element: PhantomData }),
                2 => isa.vectorize(Product::<E, R, 2> { tile, columns, out, element: PhantomData }),
                _ => isa.vectorize(Product::<E, R, 1> { tile, columns, out, element: PhantomData }),
            };
        }
        R
    }
}

/// `R` rows times `C` columns: their sums in registers.
struct Product<'a, 'o, 'm, E, const R: usize, const C: usize> {
    tile: Tile<'a>,
    columns: &'a [&'a [f32]],
    out: &'a mut Output<'o, 'm>,
    element: PhantomData<E>,
}

impl<E: Element, const R: usize, const C: usize> Op for Product<'_, '_, '_, E, R, C> {
    /// Columns.
    type Output = usize;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> usize {
        self.tile.multiply::<I, E, R, C>(isa, self.columns, self.out)
    }
}

impl Tile<'_> {
    /// Multiplies `R` rows with the first `C` columns, and says how many columns that were.
    #[inline(always)]
    fn multiply<I: Isa, E: Element, const R: usize, const C: usize>(self, isa: I, columns: &[&[f32]], out: &mut Output<'_, '_>) -> usize {
        let cols = self.weights.cols();
        // Slices of one length of arrays: in the loop no bound is left to check.
        let whole = cols / SUMS;
        let (mut weights, mut last_weights): ([&[E::Sixteen]; R], [&[u8]; R]) = ([&[]; R], [&[]; R]);
        for r in 0..R {
            let (sixteens, last) = E::sixteens(self.weights.row(self.row + r));
            (weights[r], last_weights[r]) = (&sixteens[..whole], last);
        }
        let (mut activations, mut last_activations): ([&[[f32; SUMS]]; C], [&[f32]; C]) = ([&[]; C], [&[]; C]);
        for c in 0..C {
            let (sixteens, last) = columns[c][..cols].as_chunks();
            (activations[c], last_activations[c]) = (&sixteens[..whole], last);
        }
        // Two vectors for sixteen sums where a vector has eight lanes; the second is not used where it has sixteen.
        let mut sums = [[[isa.splat(0.0); C]; R]; 2];
        let bytes = &self.weights.bytes()[self.row * self.weights.row_bytes()..];
        let (group, lines) = (R * cols * E::BYTES, (R * SUMS * E::BYTES).div_ceil(LINE));
        let mut done = 0;
        if C > 1 {
            // Two sixteens at a time: 4 % fewer instructions on ARM. One column is bound by memory, which what is fetched in pairs makes
            // slower (F16 rows of 4096 on a Xeon: 13 GB/s one by one, 9 in pairs).
            let (weights, activations) = (weights.map(|w| w.as_chunks::<2>().0), activations.map(|x| x.as_chunks::<2>().0));
            let (weights, activations) = (weights.map(|w| &w[..whole / 2]), activations.map(|x| &x[..whole / 2]));
            // The chunk's first columns ask for the next rows (three columns, Zen 4: 25 → 10 ms for 200 MB); the others find them in cache.
            macro_rules! add {
                ($($fetched:literal)?) => {
                    for i in 0..whole / 2 {
                        $(isa.prefetch(bytes, group + AHEAD + R * SUMS * $fetched * i * E::BYTES, $fetched * lines, false);)?
                        add_sixteen::<I, E, R, C>(isa, weights.map(|w| w[i][0].as_ref()), activations.map(|x| &x[i][0]), &mut sums);
                        add_sixteen::<I, E, R, C>(isa, weights.map(|w| w[i][1].as_ref()), activations.map(|x| &x[i][1]), &mut sums);
                    }
                };
            }
            if self.first_column.is_multiple_of(COLUMNS) {
                add!(2)
            } else {
                add!()
            }
            done = whole / 2 * 2;
        }
        // Each weight is used once where there is one column: what comes next is fetched from first to last, as in `direct.rs` (Zen 4: F16
        // rows of 576 13 → 23 GB/s, of 4096 55 → 82 % of the bandwidth). A loop for each way, without a condition in it, is faster (F16,
        // cached, on a Xeon: 38 → 55 GB/s).
        macro_rules! add {
            ($(($ahead:expr, $near:literal))*) => {
                for i in done..whole {
                    $(isa.prefetch(bytes, group + $ahead + R * SUMS * i * E::BYTES, lines, $near);)*
                    add_sixteen::<I, E, R, C>(isa, weights.map(|w| w[i].as_ref()), activations.map(|x| &x[i]), &mut sums);
                }
            };
        }
        if C > 1 {
            add!()
        } else if group <= TWICE {
            add!((AHEAD, false)(0, true))
        } else {
            add!((AHEAD, false))
        }
        if whole * SUMS < cols {
            let (w, mut x) = (last_weights.map(E::padded), [[0.0; SUMS]; C]);
            for (x, last) in x.iter_mut().zip(last_activations) {
                x[..last.len()].copy_from_slice(last);
            }
            add_sixteen::<I, E, R, C>(isa, w.each_ref().map(AsRef::as_ref), x.each_ref(), &mut sums);
        }
        for r in 0..R {
            for c in 0..C {
                let sum = if I::LANES == SUMS { sums[0][r][c] } else { isa.add(sums[0][r][c], sums[1][r][c]) };
                out.write_one(self.first_column + c, self.row + r, isa.reduce_add(sum));
            }
        }
        C
    }
}

/// Adds the products of sixteen weights of each row.
#[inline(always)]
fn add_sixteen<I: Isa, E: Element, const R: usize, const C: usize>(
    isa: I,
    weights: [&[u8]; R],
    activations: [&[f32; SUMS]; C],
    sums: &mut [[[I::F; C]; R]; 2],
) {
    add_products::<I, E, R, C>(isa, 0, weights, activations, &mut sums[0]);
    if I::LANES < SUMS {
        add_products::<I, E, R, C>(isa, I::LANES, weights, activations, &mut sums[1]);
    }
}

/// Adds the products of one vector of weights of each row, from `k` on.
#[inline(always)]
fn add_products<I: Isa, E: Element, const R: usize, const C: usize>(
    isa: I,
    k: usize,
    weights: [&[u8]; R],
    activations: [&[f32; SUMS]; C],
    sums: &mut [[I::F; C]; R],
) {
    let mut x = [isa.splat(0.0); C];
    for c in 0..C {
        x[c] = isa.load(&activations[c][k..]);
    }
    for r in 0..R {
        let w = E::load(isa, &weights[r][k * E::BYTES..]);
        for c in 0..C {
            let sum = isa.mul_add(w, x[c], sums[r][c]);
            // A tile fills the registers: mixed with the sixteen's other half it would not fit.
            sums[r][c] = if C > 1 { isa.in_order(sum) } else { sum };
        }
    }
}
