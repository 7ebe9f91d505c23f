//! The numbers that reference programs leave in safetensors files beside the tiny models: 32-bit words by name, read without the reader
//! that is under test.

use kinglet::TokenId;
use std::path::Path;

/// An opened file.
pub struct Words {
    header: serde_json::Value,
    contents: Vec<u8>,
}

impl Words {
    pub fn read(path: &Path) -> Words {
        let bytes = std::fs::read(path).unwrap();
        let (length, rest) = bytes.split_at(8);
        let (header, contents) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
        Words { header: serde_json::from_slice(header).unwrap(), contents: contents.to_vec() }
    }

    fn of<T>(&self, name: &str, number: impl Fn([u8; 4]) -> T) -> Vec<T> {
        let at = |i: usize| self.header[name]["data_offsets"][i].as_u64().unwrap() as usize;
        self.contents[at(0)..at(1)].chunks_exact(4).map(|word| number(word.try_into().unwrap())).collect()
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        self.of(name, f32::from_le_bytes)
    }

    pub fn counts(&self, name: &str) -> Vec<usize> {
        self.of(name, |word| u32::from_le_bytes(word) as usize)
    }

    pub fn tokens(&self, name: &str) -> Vec<TokenId> {
        self.of(name, |word| TokenId(u32::from_le_bytes(word)))
    }
}
