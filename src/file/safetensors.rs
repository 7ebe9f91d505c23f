//! The head of a safetensors file: eight bytes of length, then JSON that names each tensor's type, shape and place. The checks are those
//! of the format's own library and two more (no name twice, no dimension of zero for weights), done while the JSON goes by, so that an
//! error names the tensor and a header that lies takes no memory.

use super::cursor::Cursor;
use super::map::Map;
use super::table::{Entry, Stored};
use crate::error::{FileError, file::Shown, file::shortened};
use kinglet_quant::Type;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::path::Path;

/// The bound that the format's own library sets.
const LONGEST_HEADER: u64 = 100_000_000;
/// More than any framework's convolutions need.
const MOST_DIMENSIONS: usize = 8;
/// `"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},` and four bytes of weights.
const SMALLEST_TENSOR: usize = 52;
/// Stands once in each tensor's entry.
const DTYPE: &[u8] = b"\"dtype\"";

/// A type that a safetensors file can state.
#[derive(Debug)]
pub(super) struct Dtype {
    pub name: &'static str,
    pub bits: usize,
    pub readable: Readable,
}

/// What becomes of a tensor of some type.
#[derive(Debug, Clone, Copy)]
pub(super) enum Readable {
    /// Weights.
    As(Type),
    /// Integers and truth values: buffers that models keep beside their weights. An error only where somebody asks for one.
    Aside,
    /// Weights in a type that kinglet has no arithmetic for.
    No,
}

/// Every type of the format.
pub(super) const DTYPES: [Dtype; 22] = {
    use Readable::{As, Aside, No};
    const fn row(name: &'static str, bits: usize, readable: Readable) -> Dtype {
        Dtype { name, bits, readable }
    }
    [
        row("F32", 32, As(Type::F32)),
        row("F16", 16, As(Type::F16)),
        row("BF16", 16, As(Type::BF16)),
        row("BOOL", 8, Aside),
        row("U8", 8, Aside),
        row("I8", 8, Aside),
        row("U16", 16, Aside),
        row("I16", 16, Aside),
        row("U32", 32, Aside),
        row("I32", 32, Aside),
        row("U64", 64, Aside),
        row("I64", 64, Aside),
        row("F64", 64, No),
        row("F8_E4M3", 8, No),
        row("F8_E5M2", 8, No),
        row("F8_E8M0", 8, No),
        row("F8_E4M3FNUZ", 8, No),
        row("F8_E5M2FNUZ", 8, No),
        row("F6_E2M3", 6, No),
        row("F6_E3M2", 6, No),
        row("F4", 4, No),
        row("C64", 64, No),
    ]
};

/// Reads the head of the file that is number `part` of its model and appends its tensors.
pub(super) fn read(map: &Map, part: u16, entries: &mut Vec<Entry>) -> Result<(), FileError> {
    let mut cursor = Cursor::new(map, 0);
    let length = cursor.u64(format_args!("length of the header"))?;
    if length > LONGEST_HEADER {
        return Err(FileError::field(map.path(), "length of the header", format_args!("at most {LONGEST_HEADER} bytes"), length));
    }
    let header = cursor.take(length, format_args!("header"))?;
    let start = cursor.at();
    // No more than the header has room for, whatever it repeats.
    let stated = header.windows(DTYPE.len()).filter(|&window| window == DTYPE).count();
    entries.reserve_exact(stated.min(header.len() / SMALLEST_TENSOR));
    let known = entries.len();
    let mut reader = Header { file: map.path(), part, start, size: map.bytes().len(), entries, problem: None };
    let mut json = serde_json::Deserializer::from_slice(header);
    let result = (&mut reader).deserialize(&mut json).and_then(|()| json.end());
    if let Some(problem) = reader.problem {
        return Err(problem);
    }
    result.map_err(|source| FileError::Json {
        file: map.path().to_owned(),
        field: "header",
        expected: "JSON that lists tensors with dtype, shape and data_offsets",
        source,
    })?;
    check_ends(map, start, &entries[known..])
}

/// The tensors' bytes begin where the header ends and end where the file ends.
fn check_ends(map: &Map, start: usize, entries: &[Entry]) -> Result<(), FileError> {
    let first = entries.iter().map(|entry| entry.at).min().unwrap_or(start);
    if first != start {
        return Err(FileError::field(
            map.path(),
            "data_offsets",
            "a tensor that begins at 0",
            format_args!("the first at {}", first - start),
        ));
    }
    let end = entries.iter().filter_map(|entry| entry.at.checked_add(entry.len()?)).max().unwrap_or(start);
    if end != map.bytes().len() {
        let expected = format!("{end} bytes, where the last tensor ends");
        return Err(FileError::field(map.path(), "size of the file", expected, map.bytes().len()));
    }
    Ok(())
}

/// Takes the header's entries as the JSON goes by. What is wrong with one is kept in `problem`, because serde's errors are only text.
struct Header<'a> {
    file: &'a Path,
    part: u16,
    start: usize,
    size: usize,
    entries: &'a mut Vec<Entry>,
    problem: Option<FileError>,
}

impl<'de> DeserializeSeed<'de> for &mut Header<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Header<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object that lists tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let stated: Stating = map.next_value()?;
            match self.entry(&name, &stated) {
                Ok(entry) => self.entries.push(entry),
                Err(problem) => {
                    self.problem = Some(problem);
                    return Err(A::Error::custom("see the problem"));
                }
            }
        }
        Ok(())
    }
}

impl Header<'_> {
    fn entry(&self, name: &str, stated: &Stating<'_>) -> Result<Entry, FileError> {
        let wrong = |field: &str, expected: String, found: String| {
            FileError::field(self.file, format_args!("{field} of tensor {}", Shown(name)), expected, found)
        };
        if name.is_empty() {
            return Err(FileError::field(self.file, "name of a tensor", "at least one character", "none"));
        }
        let unreadable = |found: &str| FileError::TensorType {
            file: self.file.to_owned(),
            tensor: shortened(name),
            found: format!("{} is none of F32, F16 and BF16", shortened(found)),
        };
        let dtype = DTYPES.iter().position(|dtype| dtype.name == stated.dtype).ok_or_else(|| unreadable(&stated.dtype))?;
        let stored = match DTYPES[dtype].readable {
            Readable::As(ty) => Stored::Weights(ty),
            Readable::Aside => Stored::Other(dtype as u8),
            Readable::No => return Err(unreadable(&stated.dtype)),
        };
        let dims = &stated.shape.dims[..stated.shape.n];
        if matches!(stored, Stored::Weights(_)) && dims.contains(&0) {
            return Err(wrong("shape", "dimensions of at least 1".into(), format!("{dims:?}")));
        }
        let [begin, end] = stated.data_offsets;
        let place = begin.checked_add(self.start).zip(end.checked_add(self.start)).filter(|&(begin, end)| begin <= end && end <= self.size);
        let Some((at, end)) = place else {
            let expected = format!("two rising offsets up to {}", self.size - self.start);
            return Err(wrong("data_offsets", expected, format!("[{begin}, {end}]")));
        };
        // A scalar is a list of one, as in GGUF.
        let shape: Box<[usize]> = if dims.is_empty() { [1].into() } else { dims.into() };
        let entry = Entry { name: name.into(), shape, at, stored, part: self.part };
        match entry.len() {
            Some(len) if len == end - at => Ok(entry),
            len => {
                let expected =
                    len.map_or("bytes that can be counted".into(), |len| format!("{len} bytes ({} of shape {dims:?})", stated.dtype));
                Err(wrong("data_offsets", expected, format!("{} bytes ([{begin}, {}])", end - at, end - self.start)))
            }
        }
    }
}

/// What the header states of a tensor.
#[derive(Deserialize)]
struct Stating<'a> {
    #[serde(borrow)]
    dtype: Cow<'a, str>,
    shape: Shape,
    data_offsets: [usize; 2],
}

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A short list of dimensions; a long one ends the reading instead of taking memory.
struct Shape {
    dims: [usize; MOST_DIMENSIONS],
    n: usize,
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
        struct Dims;
        impl<'de> Visitor<'de> for Dims {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MOST_DIMENSIONS} dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
                let mut shape = Shape { dims: [0; MOST_DIMENSIONS], n: 0 };
                while let Some(dim) = seq.next_element()? {
                    *shape.dims.get_mut(shape.n).ok_or_else(|| A::Error::invalid_length(shape.n + 1, &self))? = dim;
                    shape.n += 1;
                }
                Ok(shape)
            }
        }
        deserializer.deserialize_seq(Dims)
    }
}
