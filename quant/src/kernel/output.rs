//! Where products go: a worker's rectangle of the result, set or added to.

use crate::columns::ColumnsMut;
use crate::isa::Isa;

/// What happens to what the result held before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// It is overwritten.
    Set,
    /// The product is added to it (a residual).
    Add,
}

pub(super) struct Output<'a, 'm> {
    pub(super) matrix: &'a mut ColumnsMut<'m>,
    pub(super) write: Write,
}

impl Output<'_, '_> {
    /// Writes a vector of the products of weight rows `start ..` with activation row `column`, but for the first `skip`, which are
    /// there already, or that have no place where the result is narrower than a vector.
    #[inline(always)]
    pub(super) fn write<I: Isa>(&mut self, isa: I, column: usize, start: usize, skip: usize, products: I::F) {
        let Some(out) = self.matrix.row_mut(column).get_mut(start..) else { return };
        if skip == 0 && out.len() >= I::LANES {
            let sum = match self.write {
                Write::Set => products,
                Write::Add => isa.add(isa.load(out), products),
            };
            return isa.store(out, sum);
        }
        let mut lanes = [0.0; 16];
        isa.store(&mut lanes, products);
        for (out, product) in out.iter_mut().skip(skip).zip(&lanes[skip..]) {
            *out = match self.write {
                Write::Set => *product,
                Write::Add => *out + product,
            };
        }
    }

    /// Writes the product of weight row `row` with activation row `column`.
    #[inline(always)]
    pub(super) fn write_one(&mut self, column: usize, row: usize, product: f32) {
        let out = &mut self.matrix.row_mut(column)[row];
        *out = match self.write {
            Write::Set => product,
            Write::Add => *out + product,
        };
    }
}
