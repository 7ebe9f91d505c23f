//! Models in several GGUF files, `NAME-00001-of-00003.gguf` and so on, as `llama-gguf-split` writes them: the first has the metadata, each
//! has some of the tensors. Whichever part is opened, all are; their names are made from the opened one's, never from what a file says.

use super::{Gguf, header};
use crate::error::{FileError, Optional};
use crate::file::LoadMode;
use crate::file::map::Map;
use crate::file::table::{Gaps, Table};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens the model of which `map` is the only file or any part.
pub(in crate::file) fn open(map: Map, how: LoadMode) -> Result<(Gguf, Vec<Arc<Map>>, Table), FileError> {
    let map = Arc::new(map);
    let (gguf, entries) = header::read(&map, 0)?;
    let name = PartName::parse(map.path()).filter(|name| name.count > 1);
    let stated = gguf.u32("split.count").optional()?.filter(|&count| count > 1);
    if name.is_none() && stated.is_none() {
        let files = vec![map];
        let table = Table::new(entries, &files, Gaps::Allowed)?;
        return Ok((gguf, files, table));
    }
    let Some(name) = name else {
        let expected = "a file named NAME-00001-of-0000N.gguf, since this is a part of a model in several files";
        return Err(FileError::field(map.path(), "file name", expected, format_args!("{}", map.path().display())));
    };
    open_all(&name, &map, how)
}

fn open_all(name: &PartName, opened: &Arc<Map>, how: LoadMode) -> Result<(Gguf, Vec<Arc<Map>>, Table), FileError> {
    let (mut first, mut files, mut all) = (None, Vec::new(), Vec::new());
    for no in 1..=name.count {
        let map = if no == name.no { Arc::clone(opened) } else { Arc::new(open_part(opened, &name.path(no), how)?) };
        let (gguf, entries) = header::read(&map, no - 1)?;
        check(&gguf, "split.count", name.count.into())?;
        check(&gguf, "split.no", u64::from(no) - 1)?;
        all.extend(entries);
        files.push(map);
        first.get_or_insert(gguf);
    }
    let first = first.expect("a part's name counts from 1");
    if first.contains("split.tensors.count") {
        check(&first, "split.tensors.count", all.len() as u64)?;
    }
    let table = Table::new(all, &files, Gaps::Allowed)?;
    Ok((first, files, table))
}

fn open_part(opened: &Map, path: &Path, how: LoadMode) -> Result<Map, FileError> {
    if !path.exists() {
        return Err(FileError::MissingPart { file: opened.path().to_owned(), part: path.to_owned() });
    }
    Map::open(path, how)
}

fn check(gguf: &Gguf, key: &'static str, expected: u64) -> Result<(), FileError> {
    match gguf.u64(key)? {
        found if found == expected => Ok(()),
        found => Err(FileError::field(gguf.map.path(), key, expected, found)),
    }
}

/// The name of a part, taken apart.
#[derive(Debug, PartialEq)]
struct PartName {
    /// Everything before `-00001-of-`.
    stem: PathBuf,
    /// From 1.
    no: u16,
    count: u16,
}

impl PartName {
    fn parse(path: &Path) -> Option<PartName> {
        let stem = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
        let (stem, count) = stem.rsplit_once("-of-")?;
        let (stem, no) = stem.rsplit_once('-')?;
        let number =
            |digits: &str| (digits.len() == 5 && digits.bytes().all(|c| c.is_ascii_digit())).then(|| digits.parse().ok()).flatten();
        let (no, count) = (number(no)?, number(count)?);
        (1..=count).contains(&no).then(|| PartName { stem: path.with_file_name(stem), no, count })
    }

    fn path(&self, no: u16) -> PathBuf {
        let mut path = self.stem.clone().into_os_string();
        path.push(format!("-{no:05}-of-{:05}.gguf", self.count));
        path.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parts_name_gives_the_names_of_all_others() {
        let name = PartName::parse(Path::new("/models/a-of-b-00002-of-00003.gguf")).expect("a part's name");
        assert_eq!((name.no, name.count), (2, 3));
        assert_eq!(name.path(3), Path::new("/models/a-of-b-00003-of-00003.gguf"));
    }

    #[test]
    fn names_that_only_look_like_parts_are_not() {
        for name in
            ["a.gguf", "a-1-of-3.gguf", "a-00000-of-00003.gguf", "a-00004-of-00003.gguf", "a-0+001-of-00003.gguf", "a-00001-of-00003.bin"]
        {
            assert_eq!(PartName::parse(Path::new(name)), None, "{name}");
        }
    }
}
