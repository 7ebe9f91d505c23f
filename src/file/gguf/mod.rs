//! GGUF's metadata: keys with typed values, kept where they are in the map. Opening notes where each key starts; values are decoded when
//! somebody asks, texts are slices of the map and arrays are iterators over it, so that a large vocabulary costs nothing until it is used.

mod arrays;
mod header;
mod kind;
mod show;
mod split;

pub use arrays::{Numbers, Strings};
pub use kind::Kind;
pub(super) use split::open;

use super::MetadataEntry;
use super::cursor::Cursor;
use super::map::Map;
use crate::error::{FileError, file::Shown, file::shortened};
use arrays::{Reader, float, integer, numbers, single, truth};
use kind::ArrayHead;
use kinglet_models::Value;
use show::{describe, show};
use std::fmt;
use std::sync::Arc;

/// [`Value`] takes 32 bytes where an element takes as little as one. Longer lists are no hyper-parameters; [`Gguf`] iterates over them.
const LONGEST_LIST: usize = 1 << 14;

/// The metadata of a GGUF file. Typed accessors fail with [`FileError::MissingKey`] or [`FileError::KeyType`];
/// [`Optional::optional`](crate::error::Optional) turns the former into `None`.
pub struct Gguf {
    map: Arc<Map>,
    version: u32,
    alignment: usize,
    /// Where each key starts, in the file's order.
    keys: Vec<usize>,
    /// Indices of `keys` in the order of the keys' names.
    by_key: Vec<u32>,
}

/// A key of the file, its value's kind, and where the value is.
struct Found<'a> {
    key: &'a str,
    kind: Kind,
    value: Cursor<'a>,
}

impl Gguf {
    /// The format's version, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Tensors start at multiples of so many bytes.
    pub fn alignment(&self) -> usize {
        self.alignment
    }

    /// Whether there is such a key.
    pub fn contains(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    /// Every key with its kind and its value as far as that fits into a line, in the file's order.
    pub fn entries(&self) -> impl Iterator<Item = MetadataEntry> {
        self.founds().map(|found| MetadataEntry {
            key: found.key.to_owned(),
            kind: describe(found.kind, &found.value, found.key),
            value: show(found.kind, &found.value, found.key),
        })
    }

    /// Every key, in the file's order, with the bytes of its kind and value, for a writer that keeps them.
    pub(super) fn raw(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.founds().filter_map(|Found { key, kind, value }| {
            let mut end = value.clone();
            kind.skip(&mut end, key).ok()?;
            Some((key, &self.map.bytes()[value.at() - 4..end.at()]))
        })
    }

    /// An integer of any kind that fits.
    ///
    /// # Errors
    /// See [`Gguf`].
    pub fn u32(&self, key: &str) -> Result<u32, FileError> {
        self.integer(key, "an integer from 0 to 2^32 - 1")
    }

    /// An integer of any kind that fits.
    ///
    /// # Errors
    /// See [`Gguf`].
    pub fn u64(&self, key: &str) -> Result<u64, FileError> {
        self.integer(key, "an integer from 0 to 2^64 - 1")
    }

    /// A floating-point number of either kind, rounded to f32.
    ///
    /// # Errors
    /// See [`Gguf`].
    pub fn f32(&self, key: &str) -> Result<f32, FileError> {
        let found = self.find(key)?;
        let Some(read) = single(found.kind) else { return Err(self.wrong(&found, "f32")) };
        found.scalar().map(read)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// See [`Gguf`].
    pub fn bool(&self, key: &str) -> Result<bool, FileError> {
        let found = self.find(key)?;
        let Some(read) = truth(found.kind) else { return Err(self.wrong(&found, "bool")) };
        found.scalar().map(read)
    }

    /// A text, as it lies in the map.
    ///
    /// # Errors
    /// See [`Gguf`].
    pub fn text(&self, key: &str) -> Result<&str, FileError> {
        let mut found = self.find(key)?;
        if found.kind != Kind::Text {
            return Err(self.wrong(&found, "text"));
        }
        found.value.text(format_args!("value of {}", Shown(found.key)))
    }

    /// An array of texts, decoded as they are asked for.
    ///
    /// # Errors
    /// See [`Gguf`].
    pub fn strings(&self, key: &str) -> Result<Strings<'_>, FileError> {
        let found = self.find(key)?;
        let mut value = found.value.clone();
        if found.kind == Kind::Array {
            let head = ArrayHead::read(&mut value, found.key)?;
            if head.of == Kind::Text {
                return Ok(Strings::new(value, found.key, head.count));
            }
        }
        Err(self.wrong(&found, "array of text"))
    }

    /// An array of floating-point numbers of either kind, rounded to f32.
    ///
    /// # Errors
    /// See [`Gguf`].
    pub fn f32s(&self, key: &str) -> Result<Numbers<'_, f32>, FileError> {
        self.array(key, "array of f32", single)
    }

    /// An array of truth values.
    ///
    /// # Errors
    /// See [`Gguf`].
    pub fn bools(&self, key: &str) -> Result<Numbers<'_, bool>, FileError> {
        self.array(key, "array of bool", truth)
    }

    /// An array of integers of any kind, all of which fit.
    ///
    /// # Errors
    /// See [`Gguf`].
    pub fn i32s(&self, key: &str) -> Result<impl ExactSizeIterator<Item = i32> + Clone, FileError> {
        self.integers(key, "array of integers from -2^31 to 2^31 - 1")
    }

    /// An array of integers of any kind, all of which fit.
    ///
    /// # Errors
    /// See [`Gguf`].
    pub fn u32s(&self, key: &str) -> Result<impl ExactSizeIterator<Item = u32> + Clone, FileError> {
        self.integers(key, "array of integers from 0 to 2^32 - 1")
    }

    /// Any value that a family's hyper-parameters may have; `None` for a missing key and for lists of more than 16 384 elements.
    pub(super) fn value(&self, key: &str) -> Option<Value> {
        let mut found = self.find(key).ok()?;
        value(found.kind, &mut found.value, found.key, &mut { LONGEST_LIST })
    }

    fn integer<T: TryFrom<i128>>(&self, key: &str, expected: &'static str) -> Result<T, FileError> {
        let found = self.find(key)?;
        let Some(read) = integer(found.kind) else { return Err(self.wrong(&found, expected)) };
        T::try_from(read(found.scalar()?)).map_err(|_| self.wrong(&found, expected))
    }

    fn integers<T>(&self, key: &str, expected: &'static str) -> Result<impl ExactSizeIterator<Item = T> + Clone + use<'_, T>, FileError>
    where
        T: TryFrom<i128> + Default,
    {
        let numbers = self.array(key, expected, integer)?;
        if numbers.clone().any(|n| T::try_from(n).is_err()) {
            return Err(self.wrong(&self.find(key)?, expected));
        }
        Ok(numbers.map(|n| T::try_from(n).unwrap_or_default()))
    }

    fn array<T>(&self, key: &str, expected: &'static str, reader: Reader<T>) -> Result<Numbers<'_, T>, FileError> {
        let found = self.find(key)?;
        if found.kind != Kind::Array {
            return Err(self.wrong(&found, expected));
        }
        numbers(&mut found.value.clone(), found.key, reader)?.ok_or_else(|| self.wrong(&found, expected))
    }

    fn wrong(&self, found: &Found<'_>, expected: &'static str) -> FileError {
        let kind = describe(found.kind, &found.value, found.key);
        let found_text = format!("{kind}: {}", show(found.kind, &found.value, found.key));
        FileError::KeyType { file: self.map.path().to_owned(), key: shortened(found.key), expected, found: found_text }
    }

    fn find(&self, key: &str) -> Result<Found<'_>, FileError> {
        self.map.check()?;
        let missing = || FileError::MissingKey { file: self.map.path().to_owned(), key: shortened(key) };
        let place = self.by_key.binary_search_by(|&i| self.name(i).cmp(key.as_bytes())).map_err(|_| missing())?;
        self.found(self.keys[self.by_key[place] as usize])
    }

    fn founds(&self) -> impl Iterator<Item = Found<'_>> {
        self.keys.iter().filter_map(|&at| self.found(at).ok())
    }

    fn found(&self, at: usize) -> Result<Found<'_>, FileError> {
        let mut value = Cursor::new(&self.map, at);
        let key = value.text(format_args!("a key"))?;
        let kind = Kind::read(&mut value, key)?;
        Ok(Found { key, kind, value })
    }

    /// The bytes of key number `i`; none where the file has been changed meanwhile.
    fn name(&self, i: u32) -> &[u8] {
        Cursor::new(&self.map, self.keys[i as usize]).string(format_args!("a key")).unwrap_or_default()
    }
}

impl fmt::Debug for Gguf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gguf({}, version {}, {} keys)", self.map.path().display(), self.version, self.keys.len())
    }
}

impl<'a> Found<'a> {
    /// The bytes of a value of fixed size.
    fn scalar(&self) -> Result<&'a [u8], FileError> {
        let size = self.kind.size().unwrap_or(0) as u64;
        self.value.clone().take(size, format_args!("value of {}", Shown(self.key)))
    }
}

/// Decodes a value whole; `budget` is how many more list elements there may be.
fn value(kind: Kind, cursor: &mut Cursor<'_>, key: &str, budget: &mut usize) -> Option<Value> {
    if kind == Kind::Text {
        return Some(Value::Text(cursor.text(format_args!("value of {}", Shown(key))).ok()?.to_owned()));
    }
    if kind == Kind::Array {
        let head = ArrayHead::read(cursor, key).ok()?;
        *budget = budget.checked_sub(head.count)?;
        return (0..head.count).map(|_| value(head.of, cursor, key, budget)).collect::<Option<Vec<_>>>().map(Value::List);
    }
    let bytes = cursor.take(kind.size()? as u64, format_args!("value of {}", Shown(key))).ok()?;
    if let Some(read) = integer(kind) {
        let n = read(bytes);
        return Some(i64::try_from(n).map_or(Value::Float(n as f64), Value::Int));
    }
    float(kind).map(|read| Value::Float(read(bytes))).or_else(|| truth(kind).map(|read| Value::Bool(read(bytes))))
}
