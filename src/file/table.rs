//! Which tensors a model has and where their bytes lie, over all of its files. Built once, with every check that the bytes behind a name
//! are inside its file and nobody else's; afterwards a lookup is a binary search and a tensor is a slice of the map.

use super::map::Map;
use super::safetensors::DTYPES;
use crate::error::{FileError, file::shortened};
use kinglet_quant::Type;
use std::sync::Arc;

/// How a tensor is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// Weights that kinglet computes with.
    Weights(Type),
    /// Something else that may lie in a safetensors file beside them, such as BERT's integer `position_ids`: an index of [`DTYPES`].
    Other(u8),
}

/// One tensor. Small, because a damaged file may state many: with its name and shape it takes no more than in the file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub name: Box<str>,
    /// Rows first.
    pub shape: Box<[usize]>,
    /// First byte within its file.
    pub at: usize,
    pub stored: Stored,
    /// Index of its file.
    pub part: u16,
}

impl Entry {
    /// Bytes it takes; `None` where its rows are no whole blocks or it has more than can be counted.
    pub fn len(&self) -> Option<usize> {
        match self.stored {
            Stored::Weights(ty) => {
                let (row, rows) = self.shape.split_last().map_or((1, &[][..]), |(row, rows)| (*row, rows));
                rows.iter().try_fold(ty.bytes_for(row)?, |bytes, &n| bytes.checked_mul(n))
            }
            Stored::Other(dtype) => {
                let bits = self.shape.iter().try_fold(DTYPES[usize::from(dtype)].bits, |bits, &n| bits.checked_mul(n))?;
                bits.is_multiple_of(8).then_some(bits / 8)
            }
        }
    }
}

/// Whether bytes may lie between two tensors: GGUF pads to its alignment, safetensors allows none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gaps {
    Allowed,
    Refused,
}

/// The tensors of a model, checked.
#[derive(Debug)]
pub(super) struct Table {
    entries: Vec<Entry>,
    /// Indices of the entries in the order of their names.
    by_name: Vec<u32>,
}

impl Table {
    /// Checks that every tensor lies in its file (`files[entry.part]`), that no two share bytes, and that no name stands twice.
    pub fn new(entries: Vec<Entry>, files: &[Arc<Map>], gaps: Gaps) -> Result<Table, FileError> {
        let count =
            u32::try_from(entries.len()).map_err(|_| FileError::field(files[0].path(), "tensors", "fewer than 2^32", entries.len()))?;
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_unstable_by_key(|&i| {
            let entry = &entries[i as usize];
            (entry.part, entry.at, entry.len())
        });
        check_places(&entries, &order, files, gaps)?;
        order.sort_unstable_by_key(|&i| &entries[i as usize].name);
        for pair in order.windows(2) {
            let (a, b) = (&entries[pair[0] as usize], &entries[pair[1] as usize]);
            if a.name == b.name {
                let file = files[usize::from(a.part.max(b.part))].path().to_owned();
                return Err(FileError::Duplicate { file, what: "tensor", name: shortened(&a.name) });
            }
        }
        Ok(Table { entries, by_name: order })
    }

    /// The index of the tensor `name`.
    pub fn find(&self, name: &str) -> Option<usize> {
        let place = self.by_name.binary_search_by(|&i| (*self.entries[i as usize].name).cmp(name)).ok()?;
        Some(self.by_name[place] as usize)
    }

    /// All tensors, in the files' order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// Walks through the tensors in the order of their bytes.
fn check_places(entries: &[Entry], order: &[u32], files: &[Arc<Map>], gaps: Gaps) -> Result<(), FileError> {
    let mut before: Option<(&Entry, usize)> = None;
    for &i in order {
        let entry = &entries[i as usize];
        let map = &files[usize::from(entry.part)];
        let (file, size) = (map.path().to_owned(), map.bytes().len());
        let end = entry.len().and_then(|len| entry.at.checked_add(len));
        let Some(end) = end.filter(|&end| end <= size) else {
            let found = end.map_or(u64::MAX, |end| end as u64);
            return Err(FileError::OutsideFile { file, tensor: shortened(&entry.name), expected: size as u64, found });
        };
        if let Some((previous, expected)) = before.filter(|(previous, _)| previous.part == entry.part) {
            let broken = if gaps == Gaps::Refused { entry.at != expected } else { entry.at < expected };
            if broken {
                let (tensor, before) = (shortened(&entry.name), shortened(&previous.name));
                let (expected, found) = (expected as u64, entry.at as u64);
                return Err(FileError::Overlap { file, tensor, before, expected, found });
            }
        }
        before = Some((entry, end));
    }
    Ok(())
}
