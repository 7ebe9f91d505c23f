//! Some rows of a matrix as [`Isa::transpose`](super::Isa::transpose) reads them: a lane is a row. That the bytes are there is checked
//! when a window is made, once for all reads through it.

/// A window of consecutive rows of bytes: `width` bytes of each row from the same place on.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// From the first row's first byte on; at least `count × stride`.
    bytes: &'a [u8],
    stride: usize,
    count: usize,
    /// Where in a row the window begins; `at + width ≤ stride`.
    at: usize,
    width: usize,
}

impl<'a> Rows<'a> {
    /// The first `count` rows, each `stride` bytes long, of `bytes`.
    ///
    /// # Panics
    /// Where there are fewer.
    #[inline(always)]
    pub fn new(bytes: &'a [u8], stride: usize, count: usize) -> Self {
        assert!(count.checked_mul(stride).is_some_and(|all| all <= bytes.len()), "{count} rows of {stride} bytes");
        Rows { bytes, stride, count, at: 0, width: stride }
    }

    /// `width` bytes from `at` on of each row.
    ///
    /// # Panics
    /// Where the rows are shorter.
    #[inline(always)]
    pub fn window(self, at: usize, width: usize) -> Self {
        assert!(at <= self.width && width <= self.width - at, "a window of a row");
        Rows { at: self.at + at, width, ..self }
    }

    /// The address of byte `at` of the first row, and the distance of rows; `size` bytes from there on may be read in each of `lanes` rows.
    ///
    /// # Panics
    /// Where they may not.
    #[inline(always)]
    pub(super) fn start(self, lanes: usize, at: usize, size: usize) -> (*const u8, usize) {
        assert!(lanes <= self.count && at <= self.width && size <= self.width - at, "bytes of a window");
        (self.bytes.as_ptr().wrapping_add(self.at + at), self.stride)
    }

    /// Bytes `at ..` of row `row`, four of them.
    pub(super) fn four(self, row: usize, at: usize) -> [u8; 4] {
        *self.bytes[row * self.stride + self.at + at..].first_chunk().expect("bytes of a window")
    }
}
