//! Opening bytes as if they had been downloaded, and making GGUF bytes by hand, wrong ones too.

use crate::allocator::peak_of;
use kinglet::error::FileError;
use kinglet::file::ModelFile;
use kinglet_models::Metadata;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What opening may take beside the file's size: paths, messages, the parsed `config.json`.
const ALLOWANCE: usize = 64 << 10;

/// What a list of the metadata may take beside twice the file's size: for each of 16384 values a key, some words and an excerpt.
const LISTED: usize = 12 << 20;

/// A committed file of `make_gguf.py`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/files").join(name)
}

pub fn fixture_bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).expect("the fixture is committed")
}

/// A folder of its own for files to be opened.
pub struct Scratch(TempDir);

impl Scratch {
    pub fn new() -> Scratch {
        Scratch(tempfile::tempdir().expect("a folder for temporary files"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        // A file system may flush a file that is cut to nothing and written again; a new one waits for nobody.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, bytes).expect("the temporary folder takes files");
        path
    }

    /// Opens `bytes` as a file of that name.
    pub fn open(&self, name: &str, bytes: &[u8]) -> Result<ModelFile, FileError> {
        open(&self.write(name, bytes), bytes.len())
    }
}

/// Opens a model, and checks that it took no more memory than its `size` allows and that an error fits on a line. An opened model is
/// walked through: every value decoded, every byte of every tensor read.
pub fn open(path: &Path, size: usize) -> Result<ModelFile, FileError> {
    let (result, peak) = peak_of(|| ModelFile::open(path));
    assert!(peak <= size + ALLOWANCE, "opening {size} bytes took {peak} bytes of memory: {result:?}");
    match &result {
        Ok(file) => walk(file, size),
        Err(error) => {
            let line = error.to_string();
            assert!(!line.contains('\n') && line.len() < 1000, "no line for a person: {line:?}");
        }
    }
    result
}

fn walk(file: &ModelFile, size: usize) {
    let (count, peak) = peak_of(|| file.metadata().count());
    assert!(peak <= 2 * size + LISTED, "a list of {count} keys took {peak} bytes of memory");
    for entry in file.metadata() {
        file.get(&entry.key);
        if let Some(gguf) = file.gguf() {
            let key = &entry.key;
            let _ = (gguf.u32(key), gguf.u64(key), gguf.f32(key), gguf.bool(key), gguf.text(key).map(str::len));
            let _ = gguf.strings(key).map(|strings| strings.filter(Result::is_ok).count());
            let _ = (gguf.f32s(key).map(Iterator::count), gguf.bools(key).map(Iterator::count));
            let _ = (gguf.i32s(key).map(Iterator::count), gguf.u32s(key).map(Iterator::count));
        }
    }
    for tensor in file.tensors() {
        let weights: usize = tensor.shape.iter().product();
        assert_eq!(tensor.ty.bytes_for(weights), Some(tensor.bytes.len()), "{}: shape and bytes", tensor.name);
        let sum: u64 = tensor.bytes.iter().map(|&byte| u64::from(byte)).sum();
        let again = file.tensor(tensor.name).expect("a listed tensor can be found");
        assert_eq!(again.bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>(), sum);
        assert_eq!(file.tensor_shape(tensor.name).as_deref(), Some(tensor.shape));
    }
}

/// A GGUF file by hand: what is stated and what is there are told apart.
#[derive(Clone, Default)]
pub struct Raw {
    keys: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
}

impl Raw {
    pub fn new() -> Raw {
        Raw::default()
    }

    /// A key with a value of a kind (by its number), as bytes.
    pub fn key(mut self, key: &str, kind: u32, value: &[u8]) -> Raw {
        self.keys.push([&text(key)[..], &kind.to_le_bytes(), value].concat());
        self
    }

    /// A tensor with GGUF's order of dimensions.
    pub fn tensor(mut self, name: &str, dims: &[u64], ty: u32, offset: u64) -> Raw {
        let mut bytes = text(name);
        bytes.extend((dims.len() as u32).to_le_bytes());
        dims.iter().for_each(|dim| bytes.extend(dim.to_le_bytes()));
        bytes.extend(ty.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        self.tensors.push(bytes);
        self
    }

    /// The whole file, with so many bytes of tensors.
    pub fn build(&self, data: usize) -> Vec<u8> {
        self.stating(self.tensors.len() as u64, self.keys.len() as u64, data)
    }

    /// The same with counts that may lie.
    pub fn stating(&self, tensors: u64, keys: u64, data: usize) -> Vec<u8> {
        let mut bytes = Vec::from(*b"GGUF");
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(keys.to_le_bytes());
        self.keys.iter().chain(&self.tensors).for_each(|part| bytes.extend(part));
        bytes.resize(bytes.len().next_multiple_of(32) + data, 0);
        bytes
    }
}

/// A length and a text.
pub fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// The start of an array.
pub fn array(kind: u32, count: u64) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &count.to_le_bytes()].concat()
}

/// Fails unless the result is an error that matches and whose line has all of the texts.
#[macro_export]
macro_rules! assert_refused {
    ($result:expr, $pattern:pat, $($text:expr),+) => {{
        let error = $result.err().expect("an error");
        assert!(matches!(error, $pattern), "another error than expected: {error:?}");
        let line = error.to_string();
        $(assert!(line.contains($text), "{:?} is not in {line:?}", $text);)+
    }};
}
