//! A model's files: opened, checked once, and from then on a table of tensors whose bytes are the mapped bytes. GGUF (one file or several)
//! and Hugging Face folders look the same from outside. Nothing here trusts a length, a count or an offset, and nothing is allocated on a
//! file's word: whatever it states is first compared with how many bytes it has.

#![deny(unsafe_code)]

mod cursor;
mod gguf;
mod gguf_write;
#[cfg(target_os = "linux")]
mod huge;
mod huggingface;
#[allow(unsafe_code)]
mod map;
mod pooling;
mod replace;
mod safetensors;
mod sniff;
mod table;

pub use gguf::{Gguf, Kind, Numbers, Strings};
pub use gguf_write::{GgufPlan, GgufWriter, NewValue};
pub(crate) use map::read_text;
pub use map::{LoadMode, OwnMemory};
pub use replace::replace;

use crate::error::{FileError, file::shortened};
use huggingface::Config;
use kinglet_models::{Layout, Metadata, Value};
use kinglet_quant::Type;
use map::Map;
use safetensors::DTYPES;
use sniff::Format;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use table::{Entry, Stored, Table};

/// One opened model: a GGUF file (or all files of a split one), or a Hugging Face folder.
///
/// ```no_run
/// use kinglet::file::ModelFile;
/// # fn main() -> Result<(), kinglet::error::FileError> {
/// let file = ModelFile::open("model.gguf".as_ref())?;
/// let embedding = file.tensor("token_embd.weight")?;
/// println!("{} {:?}: {} bytes", embedding.ty.name(), embedding.shape, embedding.bytes.len());
/// # Ok(())
/// # }
/// ```
pub struct ModelFile {
    path: PathBuf,
    source: Source,
    files: Vec<Arc<Map>>,
    table: Table,
}

enum Source {
    Gguf(Gguf),
    HuggingFace(Config),
}

/// A tensor as it lies in the file.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// How its weights are stored.
    pub ty: Type,
    /// Rows first: `[outputs, inputs]`. GGUF's own order is the reverse. Never empty; the product and the bytes fit together.
    pub shape: &'a [usize],
    /// The mapped bytes.
    pub bytes: &'a [u8],
}

/// Where a tensor's bytes, or some of them, lie in a model's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The file's number.
    part: u16,
    bytes: Range<usize>,
}

impl Span {
    /// Some of the bytes, counted from the first one.
    ///
    /// # Panics
    /// Where they pass the last one.
    pub fn slice(&self, bytes: Range<usize>) -> Span {
        assert!(bytes.start <= bytes.end && bytes.end <= self.bytes.len(), "{bytes:?} of {} bytes", self.bytes.len());
        Span { part: self.part, bytes: self.bytes.start + bytes.start..self.bytes.start + bytes.end }
    }
}

/// A line about a model's metadata, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataEntry {
    /// The key; dotted for the nested objects of a `config.json`. It is the file's own text: escape it before it goes to a terminal.
    pub key: String,
    /// `u32`, `text`, `array of i32 [262144]` …
    pub kind: String,
    /// The value as far as it fits into a line, control characters escaped.
    pub value: String,
}

impl ModelFile {
    /// Opens a GGUF file (any part of a split one), a folder with `config.json` and safetensors, or a safetensors file beside a
    /// `config.json`. The weights are mapped, not read.
    ///
    /// # Errors
    /// Where the file can't be read, is none of these, or is damaged.
    pub fn open(path: &Path) -> Result<ModelFile, FileError> {
        ModelFile::open_with(path, LoadMode::default())
    }

    /// As [`ModelFile::open`], and says how the file is brought into memory.
    ///
    /// # Errors
    /// As [`ModelFile::open`]; with [`LoadMode::Lock`] where the system doesn't allow so much locked memory.
    pub fn open_with(path: &Path, how: LoadMode) -> Result<ModelFile, FileError> {
        if path.is_dir() {
            return ModelFile::of_folder(path, path, None, how);
        }
        let map = Map::open(path, how)?;
        match sniff::format(&map)? {
            Format::Gguf => {
                let (gguf, files, table) = gguf::open(map, how)?;
                Ok(ModelFile { path: path.to_owned(), source: Source::Gguf(gguf), files, table })
            }
            Format::Safetensors => ModelFile::of_folder(path, parent(path), Some(map), how),
        }
    }

    fn of_folder(path: &Path, folder: &Path, single: Option<Map>, how: LoadMode) -> Result<ModelFile, FileError> {
        let (config, files, table) = huggingface::open(folder, single, how)?;
        Ok(ModelFile { path: path.to_owned(), source: Source::HuggingFace(config), files, table })
    }

    /// Brings mapped files into huge pages as far as a second allows, where they lie in small ones and the system has others: weights are
    /// read at up to twice the speed then. It takes 0.6 s for a gigabyte that was just written, and next to nothing the next time.
    pub fn settle(&self) {
        let deadline = Instant::now() + map::SETTLING;
        self.files.iter().for_each(|map| map.settle(deadline));
    }

    /// The tensor `name`.
    ///
    /// # Errors
    /// As [`ModelFile::find`].
    pub fn tensor(&self, name: &str) -> Result<Tensor<'_>, FileError> {
        self.find(name).map(|(_, tensor)| tensor)
    }

    /// The tensor `name`, and where its bytes lie.
    ///
    /// # Errors
    /// Where there is none, where it holds something else than weights (the integer buffers of some safetensors files), or where its file
    /// has lost bytes since it was opened.
    pub fn find(&self, name: &str) -> Result<(Span, Tensor<'_>), FileError> {
        let Some(index) = self.table.find(name) else {
            return Err(FileError::MissingTensor { file: self.path.clone(), tensor: shortened(name) });
        };
        let entry = &self.table.entries()[index];
        let map = &self.files[usize::from(entry.part)];
        map.check()?;
        match entry.stored {
            Stored::Weights(_) => Ok(self.weights(entry).expect("the table was checked against its files")),
            Stored::Other(dtype) => {
                let (file, tensor) = (map.path().to_owned(), shortened(name));
                Err(FileError::TensorType { file, tensor, found: format!("{} holds no weights", DTYPES[usize::from(dtype)].name) })
            }
        }
    }

    /// The bytes of a place that [`ModelFile::find`] returned, or of some of it: two lines of memory are touched for them, which counts
    /// where a product takes ten microseconds and begins with cold caches.
    ///
    /// # Panics
    /// Where it is a place in another model.
    pub fn bytes_at(&self, span: &Span) -> &[u8] {
        &self.files[usize::from(span.part)].bytes()[span.bytes.clone()]
    }

    /// All tensors that hold weights, in the order of the file (or files).
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'_>> {
        self.table.entries().iter().filter_map(|entry| self.weights(entry)).map(|(_, tensor)| tensor)
    }

    fn weights<'a>(&'a self, entry: &'a Entry) -> Option<(Span, Tensor<'a>)> {
        let Stored::Weights(ty) = entry.stored else { return None };
        let span = Span { part: entry.part, bytes: entry.at..entry.at.checked_add(entry.len()?)? };
        let bytes = self.files[usize::from(span.part)].bytes().get(span.bytes.clone())?;
        Some((span, Tensor { name: &entry.name, ty, shape: &entry.shape, bytes }))
    }

    /// All metadata in the order of the file, for people.
    pub fn metadata(&self) -> Box<dyn Iterator<Item = MetadataEntry> + '_> {
        match &self.source {
            Source::Gguf(gguf) => Box::new(gguf.entries()),
            Source::HuggingFace(config) => Box::new(config.entries()),
        }
    }

    /// The metadata of a GGUF file; `None` for a Hugging Face folder.
    pub fn gguf(&self) -> Option<&Gguf> {
        match &self.source {
            Source::Gguf(gguf) => Some(gguf),
            Source::HuggingFace(_) => None,
        }
    }

    /// What was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that holds it, where a `tokenizer.json` may lie.
    pub fn folder(&self) -> Option<&Path> {
        self.files.first().map(|map| parent(map.path()))
    }

    /// Bytes of all files together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|map| map.bytes().len() as u64).sum()
    }

    /// Fails where a file has become shorter since it was opened. Reading the lost bytes would end the process, so callers ask at the
    /// start of each turn; it takes a fraction of a microsecond.
    ///
    /// # Errors
    /// [`FileError::Shrunk`], with both sizes.
    pub fn check(&self) -> Result<(), FileError> {
        self.files.iter().try_for_each(|map| map.check())
    }
}

impl fmt::Debug for ModelFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelFile({}, {} tensors)", self.path.display(), self.table.entries().len())
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

impl Metadata for ModelFile {
    fn layout(&self) -> Layout {
        match &self.source {
            Source::Gguf(_) => Layout::Gguf,
            Source::HuggingFace(_) => Layout::HuggingFace,
        }
    }

    fn get(&self, key: &str) -> Option<Value> {
        match &self.source {
            Source::Gguf(gguf) => gguf.value(key),
            Source::HuggingFace(config) => config.value(key),
        }
    }

    fn tensor_shape(&self, name: &str) -> Option<Vec<usize>> {
        let entry = &self.table.entries()[self.table.find(name)?];
        matches!(entry.stored, Stored::Weights(_)).then(|| entry.shape.to_vec())
    }

    fn tensor_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.table.entries().iter().map(|entry| &*entry.name))
    }
}
