//! A place in a file's bytes from which numbers and texts are read. Every read is checked against what is left and says, where that
//! fails, which field it was; the field's name costs nothing until then (`format_args!`).

use super::map::Map;
use crate::error::FileError;
use std::fmt::Arguments;
use std::path::Path;

/// Reads little-endian values one after the other.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    file: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At byte `at`, which may lie behind the end: then nothing is left.
    pub fn new(map: &'a Map, at: usize) -> Cursor<'a> {
        Cursor { file: map.path(), bytes: map.bytes(), at }
    }

    pub fn file(&self) -> &'a Path {
        self.file
    }

    pub fn at(&self) -> usize {
        self.at
    }

    /// Bytes up to the end of the file.
    pub fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: u64, field: Arguments<'_>) -> Result<&'a [u8], FileError> {
        let end = usize::try_from(n).ok().and_then(|n| self.at.checked_add(n));
        let Some(taken) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            let (file, at, found) = (self.file.to_owned(), self.at as u64, self.left() as u64);
            return Err(FileError::Truncated { file, field: field.to_string(), at, expected: n, found });
        };
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: Arguments<'_>) -> Result<[u8; N], FileError> {
        let bytes = self.take(N as u64, field)?;
        Ok(bytes.try_into().expect("take returns as many bytes as asked"))
    }

    pub fn u32(&mut self, field: Arguments<'_>) -> Result<u32, FileError> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub fn u64(&mut self, field: Arguments<'_>) -> Result<u64, FileError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A 64-bit length and as many bytes.
    pub fn string(&mut self, field: Arguments<'_>) -> Result<&'a [u8], FileError> {
        let len = self.array(field).map(u64::from_le_bytes)?;
        self.take(len, field)
    }

    /// A string that must be UTF-8.
    pub fn text(&mut self, field: Arguments<'_>) -> Result<&'a str, FileError> {
        let bytes = self.string(field)?;
        std::str::from_utf8(bytes).map_err(|error| {
            let from = &bytes[error.valid_up_to()..];
            FileError::field(self.file, field, "text in UTF-8", format_args!("the bytes {:02x?}", &from[..from.len().min(4)]))
        })
    }
}
