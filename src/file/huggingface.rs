//! A model as Hugging Face's libraries save it: a folder with `config.json` and one `model.safetensors`, or several with an index that
//! says which tensor is in which. Names of files that come out of the index stay within the folder.

use super::LoadMode;
use super::MetadataEntry;
use super::map::{Map, read_text};
use super::safetensors;
use super::table::{Gaps, Table};
use crate::error::{FileError, file::Excerpt, file::Shown};
use kinglet_models::Value;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Real ones have a few thousand bytes.
pub(super) const LARGEST_CONFIG: u64 = 1 << 20;
/// Commas and opening brackets in it; real ones have some hundred, and two for each label of a classifier. Parsed, each may take 400
/// bytes: the one value in `[0]` has room for four of 72 bytes, and a list that grows stands beside its copy.
const MOST_VALUES: usize = 1 << 14;
/// Bytes of a dotted key above which an object is shown whole: its key would be repeated for each of its members.
const LONGEST_PREFIX: usize = 250;
/// A hundred bytes for each of a million tensors.
const LARGEST_INDEX: u64 = 100 << 20;
const MOST_SHARDS: usize = 10_000;

/// The configuration of a model in a folder.
#[derive(Debug)]
pub(super) struct Config {
    root: Json,
}

/// Opens the model in `folder`; of its safetensors files only `single`, where that is given and the index doesn't list it.
pub(super) fn open(folder: &Path, single: Option<Map>, how: LoadMode) -> Result<(Config, Vec<Arc<Map>>, Table), FileError> {
    let config = Config::read(folder)?;
    let files = match (single, shards(folder)?) {
        (Some(map), shards) if !shards.iter().flatten().any(|shard| map.path().file_name() == Some(shard.as_ref())) => vec![Arc::new(map)],
        (_, Some(shards)) => open_shards(folder, &shards, how)?,
        (_, None) if folder.join(SINGLE).exists() => vec![Arc::new(Map::open(&folder.join(SINGLE), how)?)],
        (_, None) => return Err(not_a_model(folder, "model.safetensors or model.safetensors.index.json beside config.json")),
    };
    let mut entries = Vec::new();
    for (part, map) in files.iter().enumerate() {
        safetensors::read(map, part as u16, &mut entries)?;
    }
    let table = Table::new(entries, &files, Gaps::Refused)?;
    Ok((config, files, table))
}

/// The files that the index names, in order; `None` where the folder has no index.
fn shards(folder: &Path) -> Result<Option<BTreeSet<String>>, FileError> {
    let path = folder.join(INDEX);
    // A folder that has both was saved twice; what is whole goes first, as in transformers.
    if folder.join(SINGLE).exists() || !path.exists() {
        return Ok(None);
    }
    let text = read_text(&path, LARGEST_INDEX)?;
    let Index { weight_map: Files(files) } = serde_json::from_slice(&text).map_err(|source| FileError::Json {
        file: path.clone(),
        field: "weight_map",
        expected: "an object that names a file for each tensor",
        source,
    })?;
    if let Some(name) = files.iter().find(|name| !is_plain(name)) {
        return Err(FileError::field(&path, "weight_map", "names of safetensors files in the same folder", Shown(name)));
    }
    if files.is_empty() || files.len() > MOST_SHARDS {
        return Err(FileError::field(&path, "weight_map", format_args!("1 to {MOST_SHARDS} files"), files.len()));
    }
    Ok(Some(files))
}

/// Whether a name stays in its folder on every system.
fn is_plain(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.starts_with('.') && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c))
}

fn open_shards(folder: &Path, shards: &BTreeSet<String>, how: LoadMode) -> Result<Vec<Arc<Map>>, FileError> {
    let mut files = Vec::new();
    for shard in shards {
        let path = folder.join(shard);
        if !path.exists() {
            return Err(FileError::MissingPart { file: folder.join(INDEX), part: path });
        }
        files.push(Arc::new(Map::open(&path, how)?));
    }
    Ok(files)
}

/// The index file; what else it says is not needed.
#[derive(Deserialize)]
struct Index {
    weight_map: Files,
}

/// The distinct values of an object: its keys, the tensors' names, are in the shards' own headers.
struct Files(BTreeSet<String>);

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Files, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Files;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of file names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Files, A::Error> {
                let mut files = BTreeSet::new();
                while let Some((_, file)) = map.next_entry::<serde::de::IgnoredAny, Cow<'de, str>>()? {
                    if !files.contains(&*file) && files.len() <= MOST_SHARDS {
                        files.insert(file.into_owned());
                    }
                }
                Ok(Files(files))
            }
        }
        deserializer.deserialize_map(Values)
    }
}

/// A JSON file of at most `limit` bytes; `None` where it is not there.
pub(super) fn json_of(path: &Path, limit: u64) -> Result<Option<Json>, FileError> {
    if !path.exists() {
        return Ok(None);
    }
    parse(path, limit, "JSON").map(Some)
}

/// A JSON file of at most `limit` bytes that takes no more memory than [`MOST_VALUES`] do.
fn parse(path: &Path, limit: u64, expected: &'static str) -> Result<Json, FileError> {
    let text = read_text(path, limit)?;
    let values = text.iter().filter(|byte| b",[{".contains(byte)).count();
    if values > MOST_VALUES {
        return Err(FileError::field(path, "text", format_args!("at most {MOST_VALUES} commas and brackets"), values));
    }
    serde_json::from_slice(&text).map_err(|source| FileError::Json { file: path.to_owned(), field: "text", expected, source })
}

impl Config {
    fn read(folder: &Path) -> Result<Config, FileError> {
        let path = folder.join(CONFIG);
        if !path.exists() {
            return Err(not_a_model(folder, "a config.json in it"));
        }
        let root = parse(&path, LARGEST_CONFIG, "a model's configuration in JSON")?;
        if !root.is_object() {
            return Err(FileError::field(&path, "text", "a JSON object", kind(&root)));
        }
        let config = Config { root };
        if let Some(method) = config.find("quantization_config.quant_method") {
            let expected = "weights as they were trained (F32, F16 or BF16), or a GGUF file for quantised ones";
            return Err(FileError::field(&path, "quantization_config.quant_method", expected, show(method)));
        }
        Ok(config)
    }

    fn find(&self, key: &str) -> Option<&Json> {
        key.split('.').try_fold(&self.root, |place, step| place.get(step))
    }

    /// The value at a dotted key; `None` for `null`, objects, and lists that contain them.
    pub fn value(&self, key: &str) -> Option<Value> {
        value(self.find(key)?)
    }

    /// All values with their dotted keys.
    pub fn entries(&self) -> impl Iterator<Item = MetadataEntry> {
        let mut entries = Vec::new();
        flatten("", &self.root, &mut entries);
        entries.into_iter()
    }
}

fn flatten(prefix: &str, json: &Json, entries: &mut Vec<MetadataEntry>) {
    match json {
        Json::Object(members) if prefix.len() <= LONGEST_PREFIX => {
            for (name, member) in members {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&key, member, entries);
            }
        }
        leaf => entries.push(MetadataEntry { key: prefix.to_owned(), kind: kind(leaf), value: show(leaf) }),
    }
}

fn value(json: &Json) -> Option<Value> {
    match json {
        Json::Object(_) => None,
        Json::Null => Some(Value::Null),
        Json::Bool(b) => Some(Value::Bool(*b)),
        Json::Number(n) => n.as_i64().map(Value::Int).or_else(|| n.as_f64().map(Value::Float)),
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Array(list) => list.iter().map(value).collect::<Option<Vec<_>>>().map(Value::List),
    }
}

fn kind(json: &Json) -> String {
    match json {
        Json::Null => "null".into(),
        Json::Bool(_) => "bool".into(),
        Json::Number(n) if n.is_f64() => "float".into(),
        Json::Number(_) => "integer".into(),
        Json::String(_) => "text".into(),
        Json::Array(list) => format!("array [{}]", list.len()),
        Json::Object(_) => "object".into(),
    }
}

fn show(json: &Json) -> String {
    match json {
        Json::String(text) => Excerpt(text, 80).to_string(),
        other => Excerpt(&other.to_string(), 80).to_string(),
    }
}

/// Says what a folder has instead: a GGUF file in it is the likely answer to what was meant.
fn not_a_model(folder: &Path, expected: &'static str) -> FileError {
    let is_weights =
        |path: &PathBuf| path.extension().is_some_and(|extension| ["gguf", "safetensors", "bin"].iter().any(|e| extension == *e));
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = files.filter(is_weights).min().and_then(|path| Some(Shown(&path.file_name()?.to_string_lossy()).to_string()));
    FileError::NotAModelFolder { folder: folder.to_owned(), expected, found: found.unwrap_or_else(|| "none".to_owned()) }
}
