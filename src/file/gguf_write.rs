//! Writes GGUF files. First a plan: keys and values, and every tensor's name, type and shape; then the bytes, one tensor after the other,
//! so that a model of any size passes through a few megabytes. The file appears under its name when it is whole: until then it has another
//! one, and what stood there before survives a crash or a full disk at any moment.

use super::gguf::{Gguf, Kind};
use crate::error::{FileError, file::Shown, file::shortened};
use kinglet_quant::Type;
use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

const ALIGNMENT: usize = 32;

/// A metadata value to be written.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum NewValue {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    Text(String),
    /// Elements, all of the stated kind.
    Array(Kind, Vec<NewValue>),
}

impl NewValue {
    /// Its kind in a file.
    pub fn kind(&self) -> Kind {
        match self {
            NewValue::U8(_) => Kind::U8,
            NewValue::I8(_) => Kind::I8,
            NewValue::U16(_) => Kind::U16,
            NewValue::I16(_) => Kind::I16,
            NewValue::U32(_) => Kind::U32,
            NewValue::I32(_) => Kind::I32,
            NewValue::U64(_) => Kind::U64,
            NewValue::I64(_) => Kind::I64,
            NewValue::F32(_) => Kind::F32,
            NewValue::F64(_) => Kind::F64,
            NewValue::Bool(_) => Kind::Bool,
            NewValue::Text(_) => Kind::Text,
            NewValue::Array(..) => Kind::Array,
        }
    }

    /// Appends the value without its kind.
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            NewValue::U8(v) => out.push(*v),
            NewValue::I8(v) => out.extend(v.to_le_bytes()),
            NewValue::U16(v) => out.extend(v.to_le_bytes()),
            NewValue::I16(v) => out.extend(v.to_le_bytes()),
            NewValue::U32(v) => out.extend(v.to_le_bytes()),
            NewValue::I32(v) => out.extend(v.to_le_bytes()),
            NewValue::U64(v) => out.extend(v.to_le_bytes()),
            NewValue::I64(v) => out.extend(v.to_le_bytes()),
            NewValue::F32(v) => out.extend(v.to_le_bytes()),
            NewValue::F64(v) => out.extend(v.to_le_bytes()),
            NewValue::Bool(v) => out.push(u8::from(*v)),
            NewValue::Text(text) => write_text(out, text),
            NewValue::Array(of, elements) => {
                out.extend(of.id().to_le_bytes());
                out.extend((elements.len() as u64).to_le_bytes());
                for element in elements {
                    assert_eq!(element.kind(), *of, "an array's elements are of one kind");
                    element.write(out);
                }
            }
        }
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// What a new file will hold. `'a` is the file whose metadata it keeps.
#[derive(Debug, Clone, Default)]
pub struct GgufPlan<'a> {
    /// Key, then kind and value as they stand in a file.
    keys: Vec<(Cow<'a, str>, Cow<'a, [u8]>)>,
    tensors: Vec<Planned>,
}

#[derive(Debug, Clone)]
struct Planned {
    name: String,
    ty: Type,
    shape: Vec<usize>,
}

impl Planned {
    /// Bytes; `None` where a row is no whole number of blocks, or there are more than can be counted.
    fn len(&self) -> Option<usize> {
        let (row, rows) = self.shape.split_last()?;
        rows.iter().try_fold(self.ty.bytes_for(*row)?, |bytes, &n| bytes.checked_mul(n)).filter(|&bytes| bytes > 0)
    }
}

impl<'a> GgufPlan<'a> {
    /// A plan for an empty file.
    pub fn new() -> GgufPlan<'a> {
        GgufPlan::default()
    }

    /// A plan that keeps all metadata of `gguf` but what says how it was laid out: its alignment and its parts.
    pub fn like(gguf: &'a Gguf) -> GgufPlan<'a> {
        let kept = |key: &str| key != "general.alignment" && !key.starts_with("split.");
        let keys = gguf.raw().filter(|(key, _)| kept(key)).map(|(key, raw)| (key.into(), raw.into())).collect();
        GgufPlan { keys, tensors: Vec::new() }
    }

    /// Adds a key, or gives it another value where it stands.
    ///
    /// # Panics
    /// Where an element of an array is of another kind than the array says.
    pub fn set(&mut self, key: &str, value: &NewValue) {
        let mut raw = value.kind().id().to_le_bytes().to_vec();
        value.write(&mut raw);
        match self.keys.iter_mut().find(|(name, _)| name == key) {
            Some((_, place)) => *place = raw.into(),
            None => self.keys.push((key.to_owned().into(), raw.into())),
        }
    }

    /// Leaves a key out.
    pub fn remove(&mut self, key: &str) {
        self.keys.retain(|(name, _)| name != key);
    }

    /// Adds a tensor; `shape` has the rows first.
    pub fn tensor(&mut self, name: &str, ty: Type, shape: &[usize]) {
        self.tensors.push(Planned { name: name.to_owned(), ty, shape: shape.to_vec() });
    }

    /// Writes the head, to a temporary file beside `path`; the tensors' bytes follow in the order in which they were planned.
    ///
    /// # Errors
    /// Where the file can't be written; where a tensor has rows of part blocks, a dimension of zero, or more than four; where two have the
    /// same name.
    pub fn create(self, path: &Path) -> Result<GgufWriter, FileError> {
        let mut names: Vec<&str> = self.tensors.iter().map(|tensor| &*tensor.name).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(FileError::Duplicate { file: path.to_owned(), what: "tensor", name: shortened(pair[0]) });
        }
        let mut head = Vec::from(*b"GGUF");
        head.extend(3u32.to_le_bytes());
        head.extend((self.tensors.len() as u64).to_le_bytes());
        head.extend((self.keys.len() as u64).to_le_bytes());
        for (key, raw) in &self.keys {
            write_text(&mut head, key);
            head.extend(&**raw);
        }
        let mut offset = 0usize;
        let mut lengths = Vec::with_capacity(self.tensors.len());
        for tensor in &self.tensors {
            let len = tensor.len().filter(|_| tensor.shape.len() <= 4);
            let next = len.and_then(|len| offset.checked_add(len)?.checked_next_multiple_of(ALIGNMENT));
            let (Some(len), Some(next)) = (len, next) else { return Err(unwritable(path, tensor)) };
            write_text(&mut head, &tensor.name);
            head.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().rev().for_each(|&dim| head.extend((dim as u64).to_le_bytes()));
            head.extend(tensor.ty.id().to_le_bytes());
            head.extend((offset as u64).to_le_bytes());
            lengths.push((tensor.name.clone(), len));
            offset = next;
        }
        head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
        let mut part = Part::create(path)?;
        part.write(&head)?;
        Ok(GgufWriter { part, lengths, done: 0, missing: None })
    }
}

fn unwritable(path: &Path, tensor: &Planned) -> FileError {
    FileError::Plan {
        file: path.to_owned(),
        what: format!("tensor {}", Shown(&tensor.name)),
        expected: format!("1 to 4 dimensions, rows of whole blocks of {}", tensor.ty.block_len()),
        found: format!("{} of shape {:?}", tensor.ty.name(), tensor.shape),
    }
}

/// A file whose head is written and whose tensors are to come. Dropped before [`GgufWriter::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct GgufWriter {
    part: Part,
    lengths: Vec<(String, usize)>,
    /// Tensors that are written whole.
    done: usize,
    /// Bytes that the tensor in work still needs.
    missing: Option<usize>,
}

impl GgufWriter {
    /// Writes the next bytes of the tensor `name`, which must be the one whose turn it is: all of them or a part.
    ///
    /// # Errors
    /// Where another tensor's turn it is, where there are more bytes than its shape has, or where the disk is full.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        let wrong = |expected: String, found: String| {
            let what = format!("tensor {}", Shown(name));
            Err(FileError::Plan { file: self.part.target.clone(), what, expected, found })
        };
        let Some((turn, len)) = self.lengths.get(self.done) else { return wrong("no more tensors".into(), "one more".into()) };
        if turn != name {
            return wrong(format!("the tensor {} first", Shown(turn)), "this one".into());
        }
        let missing = self.missing.unwrap_or(*len);
        let Some(rest) = missing.checked_sub(bytes.len()) else {
            return wrong(format!("{missing} more bytes of {len}"), format!("{}", bytes.len()));
        };
        let padding = if rest == 0 { len.next_multiple_of(ALIGNMENT) - len } else { 0 };
        self.part.write(bytes)?;
        self.part.write(&[0; ALIGNMENT][..padding])?;
        (self.missing, self.done) = if rest == 0 { (None, self.done + 1) } else { (Some(rest), self.done) };
        Ok(())
    }

    /// Brings everything to the disk and gives the file its name.
    ///
    /// # Errors
    /// Where a tensor is not written whole, or where the disk is full.
    pub fn finish(mut self) -> Result<(), FileError> {
        if let Some((name, _)) = self.lengths.get(self.done) {
            let (file, what) = (self.part.target.clone(), "tensors written whole".to_owned());
            let found = format!("{}; {} is next", self.done, Shown(name));
            return Err(FileError::Plan { file, what, expected: self.lengths.len().to_string(), found });
        }
        self.part.finish()
    }
}

/// A file under a temporary name beside its own.
#[derive(Debug)]
struct Part {
    target: PathBuf,
    path: PathBuf,
    /// None once the file has its own name.
    file: Option<BufWriter<File>>,
}

impl Part {
    fn create(target: &Path) -> Result<Part, FileError> {
        let failed = FileError::io(target, "write it");
        let Some(name) = target.file_name() else { return Err(failed(io::ErrorKind::InvalidFilename.into())) };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.part", std::process::id()));
        let path = target.with_file_name(hidden);
        // `create_new`: never through a link that somebody has put there.
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
        Ok(Part { target: target.to_owned(), path, file: Some(BufWriter::with_capacity(1 << 20, file)) })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes).map_err(FileError::io(&self.target, "write it"))
    }

    fn finish(&mut self) -> Result<(), FileError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let done = file.flush().and_then(|()| file.get_ref().sync_all()).and_then(|()| fs::rename(&self.path, &self.target));
        done.map_err(FileError::io(&self.target, "write it"))?;
        self.file = None;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // Without flushing what is buffered: the file goes.
            drop(file.into_parts());
            let _ = fs::remove_file(&self.path);
        }
    }
}
