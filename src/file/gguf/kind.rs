//! The kinds of value that GGUF metadata can hold, with their numbers and sizes; and how to step over a value without decoding it,
//! which is all that happens to a vocabulary of 262 144 strings when a file is opened.

use crate::error::{FileError, file::Shown};
use crate::file::cursor::Cursor;
use std::fmt;

/// Arrays within arrays deeper than this are an attack: no writer nests at all.
const DEEPEST: usize = 8;

/// The kind of a metadata value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

/// In the order of their numbers: kind, name, bytes of a value (0 where that varies).
const TABLE: [(Kind, &str, usize); 13] = [
    (Kind::U8, "u8", 1),
    (Kind::I8, "i8", 1),
    (Kind::U16, "u16", 2),
    (Kind::I16, "i16", 2),
    (Kind::U32, "u32", 4),
    (Kind::I32, "i32", 4),
    (Kind::F32, "f32", 4),
    (Kind::Bool, "bool", 1),
    (Kind::Text, "text", 0),
    (Kind::Array, "array", 0),
    (Kind::U64, "u64", 8),
    (Kind::I64, "i64", 8),
    (Kind::F64, "f64", 8),
];

impl Kind {
    /// The kind with GGUF's number `id`.
    pub fn from_id(id: u32) -> Option<Kind> {
        TABLE.get(id as usize).map(|row| row.0)
    }

    /// GGUF's number.
    pub fn id(self) -> u32 {
        self as u32
    }

    /// Its name: `u32`, `text` …
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// Bytes of one value; `None` for texts and arrays.
    pub fn size(self) -> Option<usize> {
        match TABLE[self as usize].2 {
            0 => None,
            size => Some(size),
        }
    }

    /// Reads a kind.
    pub(super) fn read(cursor: &mut Cursor<'_>, key: &str) -> Result<Kind, FileError> {
        let id = cursor.u32(format_args!("kind of {}", Shown(key)))?;
        Kind::from_id(id).ok_or_else(|| {
            FileError::field(cursor.file(), format_args!("kind of {}", Shown(key)), "a kind of value from 0 (u8) to 12 (f64)", id)
        })
    }

    /// Steps over a value, checking it: lengths, kinds, truth values, and that a text that stands alone is UTF-8.
    pub(super) fn skip(self, cursor: &mut Cursor<'_>, key: &str) -> Result<(), FileError> {
        match self {
            Kind::Text => cursor.text(format_args!("value of {}", Shown(key))).map(drop),
            Kind::Array => skip_array(cursor, key, 1),
            scalar => {
                let bytes = cursor.take(scalar.size().unwrap_or(0) as u64, format_args!("value of {}", Shown(key)))?;
                if scalar == Kind::Bool { check_bools(cursor, key, bytes) } else { Ok(()) }
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn check_bools(cursor: &Cursor<'_>, key: &str, bytes: &[u8]) -> Result<(), FileError> {
    match bytes.iter().find(|&&byte| byte > 1) {
        Some(byte) => Err(FileError::field(cursor.file(), format_args!("value of {}", Shown(key)), "0 (false) or 1 (true)", byte)),
        None => Ok(()),
    }
}

/// The start of an array: the kind of its elements and how many there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct ArrayHead {
    pub of: Kind,
    pub count: usize,
}

impl ArrayHead {
    /// Reads it, and checks that so many elements can be in what is left of the file.
    pub fn read(cursor: &mut Cursor<'_>, key: &str) -> Result<ArrayHead, FileError> {
        let of = Kind::read(cursor, key)?;
        let count = cursor.u64(format_args!("length of the array {}", Shown(key)))?;
        let smallest = match of {
            Kind::Text => 8,
            Kind::Array => 12,
            scalar => scalar.size().unwrap_or(1),
        };
        let fit = cursor.left() / smallest;
        let count = usize::try_from(count).ok().filter(|&count| count <= fit).ok_or_else(|| {
            let expected = format!("at most {fit} elements of {of}, in the {} bytes that are left", cursor.left());
            FileError::field(cursor.file(), format_args!("length of the array {}", Shown(key)), expected, count)
        })?;
        Ok(ArrayHead { of, count })
    }
}

fn skip_array(cursor: &mut Cursor<'_>, key: &str, depth: usize) -> Result<(), FileError> {
    if depth > DEEPEST {
        let expected = format!("arrays nested at most {DEEPEST} deep");
        return Err(FileError::field(cursor.file(), format_args!("value of {}", Shown(key)), expected, "a deeper one"));
    }
    let head = ArrayHead::read(cursor, key)?;
    match (head.of, head.of.size()) {
        (_, Some(size)) => {
            let bytes = cursor.take(head.count as u64 * size as u64, format_args!("value of {}", Shown(key)))?;
            if head.of == Kind::Bool { check_bools(cursor, key, bytes) } else { Ok(()) }
        }
        (Kind::Array, None) => (0..head.count).try_for_each(|_| skip_array(cursor, key, depth + 1)),
        (_, None) => (0..head.count).try_for_each(|_| cursor.string(format_args!("a text of {}", Shown(key))).map(drop)),
    }
}
