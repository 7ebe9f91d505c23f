//! A rectangle of a row-major matrix that one worker may write: some rows, some columns. Disjoint rectangles of one matrix are
//! handed to different workers, which slices can't express, so this is one of the crate's few `unsafe` doors.

use std::marker::PhantomData;

/// Some columns, one after the other, of some rows of a row-major matrix whose rows are `stride` long.
#[derive(Debug)]
pub struct ColumnsMut<'a, T = f32> {
    start: *mut T,
    rows: usize,
    stride: usize,
    width: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: a `ColumnsMut` is a unique borrow of the items it covers (`split_at` and `split` hand each item to one side only), and
// `T: Send`.
unsafe impl<T: Send> Send for ColumnsMut<'_, T> {}

impl<'a, T> ColumnsMut<'a, T> {
    /// The whole of `matrix: [matrix.len() / stride, stride]`.
    ///
    /// # Panics
    /// Where `stride` is 0 or does not divide the length.
    pub fn new(matrix: &'a mut [T], stride: usize) -> Self {
        assert!(stride > 0 && matrix.len().is_multiple_of(stride), "{} numbers are no rows of {stride}", matrix.len());
        ColumnsMut { start: matrix.as_mut_ptr(), rows: matrix.len() / stride, stride, width: stride, life: PhantomData }
    }

    /// Rows (one for each row of the batch).
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns that may be written.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The columns before `at`, and those from `at` on.
    ///
    /// # Panics
    /// Where `at` passes the width.
    pub fn split_at(self, at: usize) -> (ColumnsMut<'a, T>, ColumnsMut<'a, T>) {
        assert!(at <= self.width, "split at {at} of {} columns", self.width);
        // SAFETY: `at <= width`, so the pointer stays inside the first row or at its end, and the two sides share no column.
        let right = ColumnsMut { start: unsafe { self.start.add(at) }, width: self.width - at, ..self };
        (ColumnsMut { width: at, ..self }, right)
    }

    /// A worker's share and the rest: the first `rows` rows or, where those are all, their first `columns` columns.
    ///
    /// # Panics
    /// Where there are not that many, or where some rows are to be split off with some of their columns.
    pub fn split(self, rows: usize, columns: usize) -> (ColumnsMut<'a, T>, ColumnsMut<'a, T>) {
        assert!(rows <= self.rows, "split at {rows} of {} rows", self.rows);
        if rows == self.rows {
            return self.split_at(columns);
        }
        assert_eq!(columns, self.width, "columns of {rows} rows of {}", self.rows);
        // With `rows` below the number of rows the pointer stays inside the matrix.
        let right = ColumnsMut { start: self.start.wrapping_add(rows * self.stride), rows: self.rows - rows, ..self };
        (ColumnsMut { rows, ..self }, right)
    }

    /// This worker's part of row `row`.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn row_mut(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: `row < rows` and the columns lie inside the row, so the range is inside the borrowed matrix; `&mut self` makes it unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.width) }
    }
}
