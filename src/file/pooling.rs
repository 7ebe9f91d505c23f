//! What a model's files say comes after its hidden states where it is one for embeddings: a key of GGUF, or the small files that
//! sentence-transformers keeps beside a model.

use super::huggingface::{LARGEST_CONFIG, json_of};
use super::{ModelFile, Source};
use crate::error::{FileError, Optional, file::Shown};
use serde_json::Value as Json;
use std::path::Path;

/// The list of what a text goes through, one after the other.
const MODULES: &str = "modules.json";
/// Where the pooling's settings are, unless the list says otherwise.
const USUAL_FOLDER: &str = "1_Pooling";
/// How GGUF numbers the ways of pooling.
const GGUF_NAMES: [&str; 5] = ["none", "mean", "cls", "last", "rank"];
/// What llama.cpp writes into models that it saves and that said nothing.
const UNSPECIFIED: u32 = u32::MAX;
/// How sentence-transformers spells them where it has a key for each, and GGUF's name.
const SWITCHES: [(&str, &str); 6] = [
    ("pooling_mode_mean_tokens", "mean"),
    ("pooling_mode_cls_token", "cls"),
    ("pooling_mode_lasttoken", "last"),
    ("pooling_mode_max_tokens", "max"),
    ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len"),
    ("pooling_mode_weightedmean_tokens", "weightedmean"),
];

impl ModelFile {
    /// How the model's files want hidden states to become a text's vector: `mean`, `cls`, `last`, or another word of theirs, several of
    /// them with `+` between. `None` where they don't say.
    ///
    /// # Errors
    /// Where a file can't be read, or something else than pooling and normalising is to be done.
    pub fn pooling(&self) -> Result<Option<String>, FileError> {
        match &self.source {
            Source::Gguf(gguf) => {
                let key = format!("{}.pooling_type", gguf.text("general.architecture")?);
                let Some(number) = gguf.u32(&key).optional()? else { return Ok(None) };
                if number == UNSPECIFIED {
                    return Ok(None);
                }
                let name = GGUF_NAMES.get(number as usize).map_or_else(|| number.to_string(), |name| (*name).to_owned());
                Ok(Some(name).filter(|name| name != "none"))
            }
            Source::HuggingFace(_) => self.folder().map_or(Ok(None), of_folder),
        }
    }
}

fn of_folder(folder: &Path) -> Result<Option<String>, FileError> {
    let pooling = match json_of(&folder.join(MODULES), LARGEST_CONFIG)? {
        Some(modules) => pooling_module(&folder.join(MODULES), &modules)?,
        None => Some(USUAL_FOLDER.to_owned()),
    };
    let Some(config) = pooling.map(|name| folder.join(name).join("config.json")) else { return Ok(None) };
    let Some(settings) = json_of(&config, LARGEST_CONFIG)? else { return Ok(None) };
    if let Some(mode) = settings.get("pooling_mode").and_then(Json::as_str) {
        return Ok(Some(if mode == "lasttoken" { "last" } else { mode }.to_owned()));
    }
    let on: Vec<&str> = SWITCHES.iter().filter(|(key, _)| settings.get(key) == Some(&Json::Bool(true))).map(|(_, name)| *name).collect();
    Ok(Some(on.join("+")).filter(|names| !names.is_empty()))
}

/// The folder of the pooling module; the others must be ones that change nothing of a vector but its length.
fn pooling_module(file: &Path, modules: &Json) -> Result<Option<String>, FileError> {
    let mut pooling = None;
    for (number, module) in modules.as_array().into_iter().flatten().enumerate() {
        let word = |key| module.get(key).and_then(Json::as_str).unwrap_or_default();
        let field = || format!("module {number}");
        match word("type").rsplit('.').next().unwrap_or_default() {
            "Transformer" | "Normalize" => {}
            "Pooling" if word("path").bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c)) => {
                pooling = Some(word("path").to_owned())
            }
            "Pooling" => return Err(FileError::field(file, field(), "a folder's name", Shown(word("path")))),
            other => return Err(FileError::field(file, field(), "Transformer, Pooling or Normalize", Shown(other))),
        }
    }
    Ok(pooling)
}
