//! What a file looks like that is no GGUF file: people rename downloads, fetch a page in place of a file, or clone a repository without
//! its large files. The first bytes tell.

use super::map::Map;
use crate::error::FileError;

/// First bytes and what begins with them.
const KNOWN: [(&[u8], &str); 20] = [
    (b"FUGG", "a GGUF file with its bytes swapped, for big-endian machines"),
    (b"tjgg", "a GGJT file (llama.cpp before August 2023); convert the model again"),
    (b"fmgg", "a GGMF file (llama.cpp before August 2023); convert the model again"),
    (b"lmgg", "a GGML file (llama.cpp before August 2023); convert the model again"),
    (b"algg", "a LoRA adapter in the old GGLA format"),
    (b"GGLA", "a LoRA adapter in the old GGLA format"),
    (b"PK\x03\x04", "a zip archive (a PyTorch checkpoint is one); safetensors or GGUF files of the same model are wanted"),
    (b"\x80\x02", "a Python pickle (an old PyTorch checkpoint); safetensors or GGUF files of the same model are wanted"),
    (b"\x89HDF", "an HDF5 file (Keras, TensorFlow)"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; run `git lfs pull`"),
    (b"<", "a page of HTML or XML; the download was answered with a page instead of the file"),
    (b"{", "JSON; the folder that holds it may be a model"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"\xfd7zXZ", "an xz archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"\x7fELF", "a program"),
    (b"ONNX", "an ONNX file"),
    (b"\x08", "a protocol buffer (ONNX or a SentencePiece model)"),
];

/// The formats that can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Gguf,
    Safetensors,
}

/// Which format a file has.
pub(super) fn format(map: &Map) -> Result<Format, FileError> {
    let bytes = map.bytes();
    if bytes.starts_with(b"GGUF") {
        return Ok(Format::Gguf);
    }
    // Eight bytes of header length, then JSON. What is wrong with a length that lies, the reader says; but eight letters are no length.
    if bytes.get(8) == Some(&b'{') && !bytes[..8].iter().all(|c| c.is_ascii_graphic() || c.is_ascii_whitespace()) {
        return Ok(Format::Safetensors);
    }
    let file = map.path().to_owned();
    if b"GGUF".starts_with(bytes) {
        return Err(FileError::Truncated { file, field: "magic".into(), at: 0, expected: 4, found: bytes.len() as u64 });
    }
    let known = KNOWN.iter().find(|(first, _)| bytes.starts_with(first));
    let found = match known {
        Some((_, what)) => (*what).to_owned(),
        None if map.path().extension().is_some_and(|extension| extension == "safetensors") => return Ok(Format::Safetensors),
        None => format!("a file that starts with the bytes {:02x?}", &bytes[..bytes.len().min(8)]),
    };
    Err(FileError::NotAModel { file, found })
}
