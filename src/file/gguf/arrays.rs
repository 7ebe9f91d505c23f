//! Arrays of the metadata, decoded while somebody walks through them: a vocabulary goes from the map into a tokenizer without a copy in
//! between.

use super::kind::{ArrayHead, Kind};
use crate::error::{FileError, file::Shown};
use crate::file::cursor::Cursor;
use std::iter::FusedIterator;
use std::slice::ChunksExact;

/// The texts of an array. An item is an error where it is no UTF-8 (`collect::<Result<Vec<_>, _>>()` takes them all or none).
#[derive(Debug, Clone)]
pub struct Strings<'a> {
    cursor: Cursor<'a>,
    key: &'a str,
    left: usize,
}

impl<'a> Strings<'a> {
    pub(super) fn new(cursor: Cursor<'a>, key: &'a str, count: usize) -> Strings<'a> {
        Strings { cursor, key, left: count }
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = Result<&'a str, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let text = self.cursor.text(format_args!("a text of {}", Shown(self.key)));
        if text.is_err() {
            self.left = 0;
        }
        Some(text)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // After an error it ends early, so that the count is a bound only from above; it is exact where all is well.
        (self.left.min(1), Some(self.left))
    }
}

impl FusedIterator for Strings<'_> {}

impl Strings<'_> {
    /// How many are still to come.
    pub fn remaining(&self) -> usize {
        self.left
    }
}

/// The numbers (or truth values) of an array.
#[derive(Debug, Clone)]
pub struct Numbers<'a, T> {
    bytes: ChunksExact<'a, u8>,
    read: fn(&[u8]) -> T,
}

impl<'a, T> Numbers<'a, T> {
    /// `bytes` must be `of.size()` for each element.
    pub(super) fn new(bytes: &'a [u8], of: Kind, read: fn(&[u8]) -> T) -> Numbers<'a, T> {
        Numbers { bytes: bytes.chunks_exact(of.size().unwrap_or(1)), read }
    }
}

impl<T> Iterator for Numbers<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.bytes.next().map(self.read)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.bytes.size_hint()
    }
}

impl<T> ExactSizeIterator for Numbers<'_, T> {}

impl<T> FusedIterator for Numbers<'_, T> {}

/// Which function reads a value of a kind, if any does.
pub(super) type Reader<T> = fn(Kind) -> Option<fn(&[u8]) -> T>;

/// The array at the cursor as numbers, each read by what `reader` has for the elements' kind; `None` where it has nothing.
pub(super) fn numbers<'a, T>(cursor: &mut Cursor<'a>, key: &str, reader: Reader<T>) -> Result<Option<Numbers<'a, T>>, FileError> {
    let head = ArrayHead::read(cursor, key)?;
    let (Some(read), Some(size)) = (reader(head.of), head.of.size()) else { return Ok(None) };
    let bytes = cursor.take(head.count as u64 * size as u64, format_args!("value of {}", Shown(key)))?;
    Ok(Some(Numbers::new(bytes, head.of, read)))
}

/// The bytes of one value, which `Kind::size` has measured.
macro_rules! number {
    ($ty:ty) => {
        |bytes| <$ty>::from_le_bytes(bytes.try_into().expect("as many bytes as the kind has"))
    };
    ($ty:ty as $to:ty) => {
        |bytes| <$to>::from(<$ty>::from_le_bytes(bytes.try_into().expect("as many bytes as the kind has")))
    };
}

/// Reads integers of any kind.
pub(super) fn integer(kind: Kind) -> Option<fn(&[u8]) -> i128> {
    Some(match kind {
        Kind::U8 => number!(u8 as i128),
        Kind::I8 => number!(i8 as i128),
        Kind::U16 => number!(u16 as i128),
        Kind::I16 => number!(i16 as i128),
        Kind::U32 => number!(u32 as i128),
        Kind::I32 => number!(i32 as i128),
        Kind::U64 => number!(u64 as i128),
        Kind::I64 => number!(i64 as i128),
        _ => return None,
    })
}

/// Reads floating-point numbers of both kinds.
pub(super) fn float(kind: Kind) -> Option<fn(&[u8]) -> f64> {
    Some(match kind {
        Kind::F32 => number!(f32 as f64),
        Kind::F64 => number!(f64),
        _ => return None,
    })
}

/// Reads floating-point numbers, rounded to f32.
pub(super) fn single(kind: Kind) -> Option<fn(&[u8]) -> f32> {
    Some(match kind {
        Kind::F32 => number!(f32),
        Kind::F64 => |bytes| f64::from_le_bytes(bytes.try_into().expect("as many bytes as the kind has")) as f32,
        _ => return None,
    })
}

/// Reads truth values.
pub(super) fn truth(kind: Kind) -> Option<fn(&[u8]) -> bool> {
    (kind == Kind::Bool).then_some(|bytes| bytes[0] != 0)
}
