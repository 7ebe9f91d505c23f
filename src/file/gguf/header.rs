//! The head of a GGUF file: magic, version, counts, metadata, and the list of tensors. The file's size bounds everything that it may
//! state: so many keys and tensors can't be there, so they are refused before memory is taken for them.

use super::Gguf;
use super::kind::Kind;
use crate::error::{FileError, Optional, file::Shown, file::shortened};
use crate::file::cursor::Cursor;
use crate::file::map::Map;
use crate::file::table::{Entry, Stored};
use kinglet_quant::Type;
use std::sync::Arc;

/// Where `general.alignment` is missing.
const DEFAULT_ALIGNMENT: usize = 32;
/// A huge page; nothing has a use for more.
const LARGEST_ALIGNMENT: usize = 1 << 21;
/// The specification asks for a multiple of 8.
const SMALLEST_ALIGNMENT: usize = 8;
const LONGEST_KEY: usize = u16::MAX as usize;
/// What ggml's tensors have.
const MOST_DIMENSIONS: usize = 4;
/// Length, one byte of name, kind, one byte of value.
const SMALLEST_KEY: usize = 8 + 1 + 4 + 1;
/// Length, one byte of name, number of dimensions, type, offset.
const SMALLEST_TENSOR: usize = 8 + 1 + 4 + 4 + 8;

/// Reads the head of the file that is number `part` of its model.
pub(super) fn read(map: &Arc<Map>, part: u16) -> Result<(Gguf, Vec<Entry>), FileError> {
    let mut cursor = Cursor::new(map, 0);
    cursor.take(4, format_args!("magic"))?;
    let version = read_version(&mut cursor)?;
    let tensors = cursor.u64(format_args!("tensor count"))?;
    let keys = cursor.u64(format_args!("key count"))?;
    let tensors = bounded(&cursor, "tensor count", tensors, cursor.left() / SMALLEST_TENSOR)?;
    let keys = bounded(&cursor, "key count", keys, cursor.left() / SMALLEST_KEY)?;

    let keys = read_keys(&mut cursor, keys)?;
    let by_key = (0..keys.len() as u32).collect();
    let mut gguf = Gguf { map: Arc::clone(map), version, alignment: DEFAULT_ALIGNMENT, keys, by_key };
    sort_keys(&mut gguf)?;
    gguf.alignment = read_alignment(&gguf)?;

    // Each tensor has a byte at least and the next one starts at the alignment.
    let fit = cursor.left().saturating_add(gguf.alignment) / (SMALLEST_TENSOR + gguf.alignment);
    let tensors = bounded(&cursor, "tensor count", tensors as u64, fit)?;
    let mut entries = Vec::with_capacity(tensors);
    for i in 0..tensors {
        entries.push(read_tensor(&mut cursor, i, gguf.alignment, part)?);
    }
    let start = cursor.at().checked_next_multiple_of(gguf.alignment).unwrap_or(usize::MAX);
    for entry in &mut entries {
        // A place that can't be counted is certainly outside the file, which is found with all others of that sort.
        entry.at = entry.at.saturating_add(start);
    }
    Ok((gguf, entries))
}

fn read_version(cursor: &mut Cursor<'_>) -> Result<u32, FileError> {
    let version = cursor.u32(format_args!("version"))?;
    let file = cursor.file().to_owned();
    match version {
        2 | 3 => Ok(version),
        _ if (1..=u32::from(u16::MAX)).contains(&version.swap_bytes()) => Err(FileError::BigEndian { file }),
        found => Err(FileError::Version { file, found }),
    }
}

fn bounded(cursor: &Cursor<'_>, field: &'static str, count: u64, fit: usize) -> Result<usize, FileError> {
    usize::try_from(count).ok().filter(|&count| count <= fit).ok_or_else(|| {
        FileError::field(cursor.file(), field, format_args!("at most {fit}, in the {} bytes that are left", cursor.left()), count)
    })
}

/// Steps over all keys and values and notes where each key starts.
fn read_keys(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<usize>, FileError> {
    let mut keys = Vec::with_capacity(count);
    for i in 0..count {
        keys.push(cursor.at());
        let key = cursor.text(format_args!("key number {i}"))?;
        if key.is_empty() || key.len() > LONGEST_KEY {
            let expected = format!("1 to {LONGEST_KEY} bytes");
            return Err(FileError::field(cursor.file(), format_args!("length of key number {i}"), expected, key.len()));
        }
        Kind::read(cursor, key)?.skip(cursor, key)?;
    }
    Ok(keys)
}

fn sort_keys(gguf: &mut Gguf) -> Result<(), FileError> {
    let mut by_key = std::mem::take(&mut gguf.by_key);
    by_key.sort_unstable_by(|&a, &b| gguf.name(a).cmp(gguf.name(b)));
    if let Some(pair) = by_key.windows(2).find(|pair| gguf.name(pair[0]) == gguf.name(pair[1])) {
        let name = shortened(&String::from_utf8_lossy(gguf.name(pair[0])));
        return Err(FileError::Duplicate { file: gguf.map.path().to_owned(), what: "key", name });
    }
    gguf.by_key = by_key;
    Ok(())
}

fn read_alignment(gguf: &Gguf) -> Result<usize, FileError> {
    const KEY: &str = "general.alignment";
    let Some(found) = gguf.find(KEY).optional()? else { return Ok(DEFAULT_ALIGNMENT) };
    if found.kind != Kind::U32 {
        return Err(gguf.wrong(&found, "u32"));
    }
    let alignment = gguf.u32(KEY)? as usize;
    if !alignment.is_power_of_two() || !(SMALLEST_ALIGNMENT..=LARGEST_ALIGNMENT).contains(&alignment) {
        let expected = format!("a power of two from {SMALLEST_ALIGNMENT} to {LARGEST_ALIGNMENT}");
        return Err(FileError::field(gguf.map.path(), KEY, expected, alignment));
    }
    Ok(alignment)
}

/// Reads what the file says of a tensor; its place counts from the start of the data.
fn read_tensor(cursor: &mut Cursor<'_>, i: usize, alignment: usize, part: u16) -> Result<Entry, FileError> {
    let file = cursor.file();
    let name = cursor.text(format_args!("name of tensor number {i}"))?;
    let shown = Shown(name);
    if name.is_empty() || name.len() > LONGEST_KEY {
        let expected = format!("1 to {LONGEST_KEY} bytes");
        return Err(FileError::field(file, format_args!("length of the name of tensor number {i}"), expected, name.len()));
    }
    let shape = read_shape(cursor, name)?;
    let id = cursor.u32(format_args!("type of tensor {shown}"))?;
    let ty = Type::from_id(id).map_err(|unknown| FileError::TensorType {
        file: file.to_owned(),
        tensor: shortened(name),
        found: unknown.to_string(),
    })?;
    let row = shape[shape.len() - 1];
    if !row.is_multiple_of(ty.block_len()) {
        let expected = format!("a multiple of {} (a block of {})", ty.block_len(), ty.name());
        return Err(FileError::field(file, format_args!("row length of tensor {shown}"), expected, row));
    }
    let offset = cursor.u64(format_args!("offset of tensor {shown}"))?;
    if !offset.is_multiple_of(alignment as u64) {
        let expected = format!("a multiple of the alignment, {alignment}");
        return Err(FileError::field(file, format_args!("offset of tensor {shown}"), expected, offset));
    }
    let at = usize::try_from(offset).unwrap_or(usize::MAX);
    Ok(Entry { name: name.into(), shape, at, stored: Stored::Weights(ty), part })
}

/// The dimensions, which GGUF lists with the row's length first, turned round: rows first. A scalar is `[1]`.
fn read_shape(cursor: &mut Cursor<'_>, name: &str) -> Result<Box<[usize]>, FileError> {
    let n = cursor.u32(format_args!("number of dimensions of tensor {}", Shown(name)))? as usize;
    if n > MOST_DIMENSIONS {
        let field = format!("number of dimensions of tensor {}", Shown(name));
        return Err(FileError::field(cursor.file(), field, format_args!("at most {MOST_DIMENSIONS}"), n));
    }
    let mut dims = [1; MOST_DIMENSIONS];
    for (d, dim) in dims[..n].iter_mut().enumerate() {
        let found = cursor.u64(format_args!("dimension {d} of tensor {}", Shown(name)))?;
        *dim = usize::try_from(found).ok().filter(|&dim| dim > 0).ok_or_else(|| {
            FileError::field(
                cursor.file(),
                format_args!("dimension {d} of tensor {}", Shown(name)),
                format_args!("1 to {}", usize::MAX),
                found,
            )
        })?;
    }
    Ok(dims[..n.max(1)].iter().rev().copied().collect())
}
