//! Metadata as a map that a test may change, filled from a fixture: `config.json` with a safetensors header, or a GGUF header.
//! The readers are as short as trusted files allow; the runtime has its own.

#![allow(dead_code, reason = "each test binary uses another part")]

use kinglet_models::{Layout, Metadata, ModelError, Spec, Value, resolve};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A model file's metadata, all of it in memory.
#[derive(Debug, Clone)]
pub struct Memory {
    pub layout: Layout,
    pub values: BTreeMap<String, Value>,
    pub shapes: BTreeMap<String, Vec<usize>>,
}

impl Metadata for Memory {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn get(&self, key: &str) -> Option<Value> {
        self.values.get(key).cloned()
    }

    fn tensor_shape(&self, name: &str) -> Option<Vec<usize>> {
        self.shapes.get(name).cloned()
    }

    fn tensor_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.shapes.keys().map(String::as_str))
    }
}

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models")
}

/// The names of all Hugging Face fixtures.
pub fn folders() -> Vec<String> {
    names(|path| path.is_dir())
}

/// The names of all GGUF fixtures, with their suffix.
pub fn gguf_files() -> Vec<String> {
    names(|path| path.extension().is_some_and(|suffix| suffix == "gguf"))
}

fn names(wanted: impl Fn(&Path) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir(models()).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> =
        entries.filter(|path| wanted(path)).map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    assert!(!names.is_empty());
    names
}

impl Memory {
    /// A fixture, by its folder's or its file's name.
    pub fn of(name: &str) -> Memory {
        if name.ends_with(".gguf") { gguf(&std::fs::read(models().join(name)).unwrap()) } else { folder(&models().join(name)) }
    }

    pub fn resolve(&self) -> Result<Spec, ModelError> {
        resolve(self)
    }

    /// The error that this metadata has once `key` is `value`.
    pub fn with(&self, key: &str, value: Value) -> Memory {
        let mut changed = self.clone();
        changed.values.insert(key.into(), value);
        changed
    }

    /// Without the key, and without all keys inside it.
    pub fn without(&self, key: &str) -> Memory {
        let mut changed = self.clone();
        let inside = format!("{key}.");
        changed.values.retain(|other, _| other != key && !other.starts_with(&inside));
        changed
    }

    pub fn with_shape(&self, name: &str, shape: &[usize]) -> Memory {
        let mut changed = self.clone();
        changed.shapes.insert(name.into(), shape.into());
        changed
    }

    pub fn without_tensor(&self, name: &str) -> Memory {
        let mut changed = self.clone();
        assert!(changed.shapes.remove(name).is_some(), "no tensor {name}");
        changed
    }
}

pub fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn folder(path: &Path) -> Memory {
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(path.join("config.json")).unwrap()).unwrap();
    let mut memory = Memory { layout: Layout::HuggingFace, values: BTreeMap::new(), shapes: BTreeMap::new() };
    flatten("", &config, &mut memory.values);
    let weights = std::fs::read(path.join("model.safetensors")).unwrap();
    let length = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&weights[8..8 + length]).unwrap();
    for (name, tensor) in header.iter().filter(|(name, _)| *name != "__metadata__") {
        let shape = tensor["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
        memory.shapes.insert(name.clone(), shape);
    }
    memory
}

fn flatten(key: &str, json: &serde_json::Value, values: &mut BTreeMap<String, Value>) {
    if let serde_json::Value::Object(fields) = json {
        for (field, json) in fields {
            let key = if key.is_empty() { field.clone() } else { format!("{key}.{field}") };
            flatten(&key, json, values);
        }
    } else {
        values.insert(key.into(), value(json));
    }
}

fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap()), Value::Int),
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Array(items) => Value::List(items.iter().map(value).collect()),
        serde_json::Value::Object(_) => panic!("objects are flattened before"),
    }
}

fn gguf(bytes: &[u8]) -> Memory {
    let mut cursor = Cursor { bytes };
    assert_eq!(cursor.take(4), b"GGUF");
    let (_version, n_tensors, n_values) = (cursor.int(4), cursor.int(8), cursor.int(8));
    let mut memory = Memory { layout: Layout::Gguf, values: BTreeMap::new(), shapes: BTreeMap::new() };
    for _ in 0..n_values {
        let (key, kind) = (cursor.text(), cursor.int(4));
        let value = cursor.value(kind);
        memory.values.insert(key, value);
    }
    for _ in 0..n_tensors {
        let name = cursor.text();
        let n_dims = cursor.int(4);
        let mut shape: Vec<usize> = (0..n_dims).map(|_| cursor.int(8) as usize).collect();
        shape.reverse();
        let (_type, _offset) = (cursor.int(4), cursor.int(8));
        memory.shapes.insert(name, shape);
    }
    memory
}

struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(n);
        self.bytes = rest;
        taken
    }

    fn int(&mut self, width: usize) -> i64 {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(self.take(width));
        i64::from_le_bytes(wide)
    }

    fn text(&mut self) -> String {
        let length = self.int(8) as usize;
        String::from_utf8(self.take(length).to_vec()).unwrap()
    }

    fn value(&mut self, kind: i64) -> Value {
        match kind {
            0 | 1 => Value::Int(self.int(1)),
            2 | 3 => Value::Int(self.int(2)),
            4 | 5 => Value::Int(self.int(4)),
            6 => Value::Float(f32::from_le_bytes(self.take(4).try_into().unwrap()).into()),
            7 => Value::Bool(self.int(1) != 0),
            8 => Value::Text(self.text()),
            9 => {
                let (kind, length) = (self.int(4), self.int(8));
                Value::List((0..length).map(|_| self.value(kind)).collect())
            }
            10 | 11 => Value::Int(self.int(8)),
            12 => Value::Float(f64::from_le_bytes(self.take(8).try_into().unwrap())),
            other => panic!("GGUF has no value type {other}"),
        }
    }
}
