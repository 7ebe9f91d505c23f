//! A matrix of weights as it lies in the file: a type, a shape, and the mapped bytes. Checked once, here, so that kernels may
//! trust the sizes.

use crate::format::{FormatError, Type, dequantize};
use std::ops::Range;

/// `[rows, cols]` weights, row-major; a row is `cols / block_len` consecutive blocks.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    ty: Type,
    rows: usize,
    cols: usize,
    bytes: &'a [u8],
    /// What lies after the rows, if it is of the same matrix.
    after: &'a [u8],
}

impl<'a> Matrix<'a> {
    /// A view of `bytes`; `None` where they are not exactly `rows × cols` weights of type `ty`.
    pub fn new(ty: Type, rows: usize, cols: usize, bytes: &'a [u8]) -> Option<Self> {
        let row_bytes = ty.bytes_for(cols)?;
        (row_bytes.checked_mul(rows)? == bytes.len()).then_some(Matrix { ty, rows, cols, bytes, after: &[] })
    }

    /// How the weights are stored.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.cols / self.ty.block_len() * self.ty.block_bytes()
    }

    /// All bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes of the rows that come after these in the matrix that they were sliced from.
    pub(crate) fn after(&self) -> &'a [u8] {
        self.after
    }

    /// The bytes of row `row`.
    pub fn row(&self, row: usize) -> &'a [u8] {
        let n = self.row_bytes();
        &self.bytes[row * n..(row + 1) * n]
    }

    /// The weights of row `row` into `out: [cols]`.
    ///
    /// # Errors
    /// Where `out` is not as long as a row.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) -> Result<(), FormatError> {
        dequantize(self.ty, self.row(row), out)
    }

    /// The matrix made of some of the rows.
    ///
    /// # Panics
    /// Where the range passes the last row.
    pub fn slice_rows(&self, rows: Range<usize>) -> Matrix<'a> {
        let n = self.row_bytes();
        let (bytes, after) = self.bytes[rows.start * n..].split_at(rows.len() * n);
        Matrix { rows: rows.len(), bytes, after, ..*self }
    }
}
