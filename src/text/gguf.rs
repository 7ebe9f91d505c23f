//! Takes what a GGUF file says of its tokenizer out of the metadata: the one place that knows the keys.

use super::source::{Named, Source};
use super::strings::Strings;
use super::vocabulary::TokenKind;
use crate::error::{FileError, Optional, TextError};
use crate::file::Gguf;
use crate::types::TokenId;

/// The description of a file's tokenizer; `None` where it has none.
///
/// # Errors
/// Where a key has another type than it should, or a list another length.
pub(crate) fn read(gguf: &Gguf) -> Result<Option<Source>, TextError> {
    let Some(kind) = gguf.text("tokenizer.ggml.model").optional()?.filter(|kind| !["no_vocab", "none"].contains(kind)) else {
        return Ok(None);
    };
    let text = |key| Ok::<_, FileError>(gguf.text(key).optional()?.map(str::to_owned));
    let flag = |key| gguf.bool(key).optional();
    let texts = strings(gguf, "tokenizer.ggml.tokens")?;
    let kinds = match gguf.i32s("tokenizer.ggml.token_type").optional()? {
        Some(kinds) => kinds.take(texts.len()).map(TokenKind::from_gguf).collect(),
        None => vec![TokenKind::Normal; texts.len()],
    };
    same_length("tokenizer.ggml.token_type", kinds.len(), texts.len())?;
    let scores = if is_scored(kind) { scores(gguf, texts.len())? } else { Vec::new() };
    let merges = if is_merged(kind) { strings(gguf, "tokenizer.ggml.merges")? } else { Strings::default() };
    Ok(Some(Source {
        kind: kind.to_owned(),
        pre: text("tokenizer.ggml.pre")?,
        texts,
        kinds,
        scores,
        merges,
        charsmap: charsmap(gguf)?,
        named: named(gguf)?,
        add_bos: flag("tokenizer.ggml.add_bos_token")?,
        add_eos: flag("tokenizer.ggml.add_eos_token")?,
        space_prefix: flag("tokenizer.ggml.add_space_prefix")?,
        merge_spaces: flag("tokenizer.ggml.remove_extra_whitespaces")?,
        lowercase: flag("tokenizer.ggml.normalizer.lowercase")?,
        strip_accents: flag("tokenizer.ggml.normalizer.strip_accents")?,
        architecture: text("general.architecture")?.unwrap_or_default(),
        name: text("general.name")?.unwrap_or_default().to_lowercase(),
    }))
}

fn is_scored(kind: &str) -> bool {
    ["llama", "t5"].contains(&kind)
}

fn is_merged(kind: &str) -> bool {
    ["gpt2", "gemma4"].contains(&kind)
}

fn strings(gguf: &Gguf, key: &'static str) -> Result<Strings, TextError> {
    let texts = gguf.strings(key)?;
    let mut strings = Strings::with_capacity(texts.remaining());
    for text in texts {
        strings.push(text?.as_bytes());
    }
    Ok(strings)
}

fn scores(gguf: &Gguf, n_vocab: usize) -> Result<Vec<f32>, TextError> {
    const KEY: &str = "tokenizer.ggml.scores";
    let scores = gguf.f32s(KEY).optional()?.map_or_else(|| vec![0.0; n_vocab], Iterator::collect);
    same_length(KEY, scores.len(), n_vocab)?;
    Ok(scores)
}

fn charsmap(gguf: &Gguf) -> Result<Vec<u8>, TextError> {
    // Files have it as i8 or as u8.
    let bytes = gguf.i32s("tokenizer.ggml.precompiled_charsmap").optional()?;
    Ok(bytes.map_or_else(Vec::new, |bytes| bytes.map(|byte| byte as u8).collect()))
}

fn named(gguf: &Gguf) -> Result<Named, TextError> {
    let id = |key| Ok::<_, FileError>(gguf.u32(key).optional()?.map(TokenId));
    Ok(Named {
        bos: id("tokenizer.ggml.bos_token_id")?,
        eos: id("tokenizer.ggml.eos_token_id")?,
        eot: id("tokenizer.ggml.eot_token_id")?,
        eom: id("tokenizer.ggml.eom_token_id")?,
        unknown: id("tokenizer.ggml.unknown_token_id")?,
        // The key is misspelled in the format.
        separator: id("tokenizer.ggml.seperator_token_id")?,
    })
}

/// llama.cpp accepts lists that are longer than the vocabulary; so do we, for the vocabulary's part of them.
fn same_length(key: &'static str, found: usize, expected: usize) -> Result<(), TextError> {
    if found >= expected {
        return Ok(());
    }
    Err(TextError::Malformed { key, expected: format!("a list of {expected}, one for each token"), found: format!("{found}") })
}
