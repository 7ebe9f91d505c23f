//! tokenizer.json, as Hugging Face folders have it, through the `tokenizers` crate. It takes many times as long to make as a tokenizer
//! from GGUF, so that it is used only where there is nothing else.
//!
//! The crate is built on fancy-regex: the alternative, Oniguruma, is a C library that a static build would have to carry.

use super::guarded::guarded;
use super::source::Named;
use super::special::Special;
use super::spelling::Spelling;
use super::strings::Strings;
use super::vocabulary::{TokenKind, Vocabulary};
use crate::error::{TextError, one_line};
use crate::file::read_text;
use crate::types::TokenId;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;
use tokenizers::Encoding;

/// A tokenizer of the `tokenizers` crate, twice: whether it finds special tokens is not an argument of its functions but a property of
/// its object. The second one is made when it is first needed.
#[derive(Debug)]
pub(crate) struct Library {
    finds_special: tokenizers::Tokenizer,
    plain: OnceLock<tokenizers::Tokenizer>,
}

/// Bytes of a tokenizer.json; those of 262 144 tokens have 35 MB.
const LARGEST_TOKENIZER: u64 = 256 << 20;
/// Bytes of the small files beside it; tokenizer_config.json comes to 2 MB.
const LARGEST_BESIDE: u64 = 16 << 20;

/// What a folder holds: the tokenizer, its tokens, those of them that tokenizer_config.json names, and what ends a generation.
pub(crate) struct Folder {
    pub(crate) library: Library,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) named: Named,
    pub(crate) eog: Vec<TokenId>,
    /// Tokens that take the white space before them, and after them.
    pub(crate) strips: (Vec<TokenId>, Vec<TokenId>),
}

impl Folder {
    /// Reads tokenizer.json and the small files beside it; `None` where there is no tokenizer.json.
    ///
    /// # Errors
    /// Where one of them can't be read or understood.
    pub(crate) fn read(folder: &Path) -> Result<Option<Folder>, TextError> {
        let path = folder.join("tokenizer.json");
        if !path.is_file() {
            return Ok(None);
        }
        let failed = |why: String| unreadable(&path, why);
        let bytes = read_text(&path, LARGEST_TOKENIZER)?;
        // What is no JSON at all is told best by a parser that expects next to nothing of it.
        let rules = serde_json::from_slice::<Rules>(&bytes).map_err(|error| failed(error.to_string()))?;
        if !rules.normalizer.is_none_or(|normalizer| normalizer.fits()) {
            return Err(failed("precompiled_charsmap: expected a table of the size that it states".to_owned()));
        }
        let library = guarded(|| tokenizers::Tokenizer::from_bytes(&bytes)).map_err(failed)?;
        let mut library = library.map_err(|error| failed(error.to_string()))?;
        library.with_truncation(None).map_err(|error| failed(error.to_string()))?;
        library.with_padding(None);
        let vocabulary = vocabulary(&library).map_err(failed)?;
        let config = read_json(folder, "tokenizer_config.json")?;
        let token = |key| config.as_ref().and_then(|config| token_text(config, key)).and_then(|text| vocabulary.find(text.as_bytes()));
        let named = Named { bos: token("bos_token"), eos: token("eos_token"), unknown: token("unk_token"), ..Named::default() };
        let configs = [read_json(folder, "generation_config.json")?, read_json(folder, "config.json")?];
        let ends = configs.iter().flatten().flat_map(|config| ids(&config["eos_token_id"]));
        let ends = ends.filter(|id| id.index() < vocabulary.len()).collect();
        let strips = |wanted: fn(&tokenizers::AddedToken) -> bool| {
            let added = library.get_added_tokens_decoder();
            added.iter().filter(|(_, token)| wanted(token)).map(|(&id, _)| TokenId(id)).collect()
        };
        let strips = (strips(|token| token.lstrip), strips(|token| token.rstrip));
        Ok(Some(Folder { library: Library { finds_special: library, plain: OnceLock::new() }, vocabulary, named, eog: ends, strips }))
    }
}

impl Library {
    /// Appends the tokens of `text`.
    ///
    /// # Errors
    /// Where tokenizer.json's rules refuse it (a model without an unknown token, for example).
    pub(crate) fn encode(&self, text: &str, special: Special, tokens: &mut Vec<TokenId>) -> Result<(), TextError> {
        let library = || match special {
            Special::Match => &self.finds_special,
            Special::Plain => self.plain.get_or_init(|| {
                let mut plain = self.finds_special.clone();
                plain.set_encode_special_tokens(true);
                plain
            }),
        };
        let encoding = encode(library, text, false)?;
        tokens.extend(encoding.get_ids().iter().copied().map(TokenId));
        Ok(())
    }

    /// What tokenizer.json's rules put before a text and after it.
    ///
    /// # Errors
    /// Where they refuse a text of one letter.
    pub(crate) fn frame(&self) -> Result<(Vec<TokenId>, Vec<TokenId>), TextError> {
        let ids = |framed| {
            let encoding = encode(|| &self.finds_special, "a", framed)?;
            Ok::<_, TextError>(encoding.get_ids().iter().copied().map(TokenId).collect::<Vec<_>>())
        };
        let (text, framed) = (ids(false)?, ids(true)?);
        let at = framed.windows(text.len().max(1)).position(|part| part == text).unwrap_or(0);
        let after = framed.get(at + text.len()..).unwrap_or_default().to_vec();
        Ok((framed[..at].to_vec(), after))
    }

    /// Whether a prompt begins with `bos`, and whether it ends with `eos`.
    pub(crate) fn adds(&self, named: &Named) -> (bool, bool) {
        let Ok(encoding) = encode(|| &self.finds_special, "a", true) else { return (false, false) };
        let is = |id: Option<&u32>, token: Option<TokenId>| id.is_some() && id.copied().map(TokenId) == token;
        (is(encoding.get_ids().first(), named.bos), is(encoding.get_ids().last(), named.eos))
    }
}

/// The library's own encoding, and an error where it has none.
fn encode<'t>(library: impl FnOnce() -> &'t tokenizers::Tokenizer, text: &str, framed: bool) -> Result<Encoding, TextError> {
    let failed = |why: String| TextError::Encode { why: one_line(&why, 500) };
    guarded(|| library().encode_fast(text, framed)).map_err(failed)?.map_err(|error| failed(error.to_string()))
}

/// Every token of `library`, in a table.
fn vocabulary(library: &tokenizers::Tokenizer) -> Result<Vocabulary, String> {
    let by_text: HashMap<String, u32> = library.get_vocab(true);
    let rows = by_text.values().max().map_or(0, |&id| id as usize + 1);
    // Ids have gaps, but not more gaps than tokens.
    if rows > 2 * by_text.len() + 65_536 {
        return Err(format!("the highest token id is {}, but there are only {} tokens", rows - 1, by_text.len()));
    }
    let mut by_id = vec![""; rows];
    by_text.iter().for_each(|(text, &id)| by_id[id as usize] = text);
    let spelling = spelling(library);
    let mut kinds: Vec<TokenKind> = by_id.iter().map(|text| kind(text, spelling)).collect();
    for (id, token) in library.get_added_tokens_decoder() {
        if let Some(kind) = kinds.get_mut(id as usize) {
            *kind = if token.special { TokenKind::Control } else { TokenKind::UserDefined };
        }
    }
    let texts: Strings = by_id.iter().map(|text| text.as_bytes()).collect();
    Ok(Vocabulary::new(texts, kinds, spelling))
}

fn kind(text: &str, spelling: Spelling) -> TokenKind {
    match text {
        "" => TokenKind::Unused,
        _ if spelling == Spelling::Spaced && text.len() == 6 && text.starts_with("<0x") && text.ends_with('>') => TokenKind::Byte,
        _ => TokenKind::Normal,
    }
}

/// What is looked at before the library is: it takes as much memory as a table in the file says that it has.
#[derive(Deserialize)]
struct Rules {
    #[serde(default)]
    normalizer: Option<Normalizer>,
}

/// A table, or a sequence of normalizers that may have one.
#[derive(Deserialize)]
struct Normalizer {
    #[serde(default)]
    precompiled_charsmap: Option<String>,
    #[serde(default)]
    normalizers: Vec<Normalizer>,
}

impl Normalizer {
    /// Whether each table has at least as many bytes as it says in its first four.
    fn fits(&self) -> bool {
        let table = self.precompiled_charsmap.as_deref().unwrap_or_default();
        stated(table).is_none_or(|size| size as usize <= table.len()) && self.normalizers.iter().all(Normalizer::fits)
    }
}

/// The number in the first four bytes of a text in base64; `None` where it has fewer, or is none, which the library refuses.
fn stated(base64: &str) -> Option<u32> {
    let digits = base64.as_bytes().get(..6)?.iter().map(|&c| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    });
    // 36 bits; the last four are the fifth byte's.
    let bits = digits.into_iter().try_fold(0u64, |bits, digit| Some(bits << 6 | u64::from(digit?)))?;
    Some(((bits >> 4) as u32).swap_bytes())
}

/// How the tokens are spelled, which the decoder (or, where there is none, the pre-tokenizer) tells.
fn spelling(library: &tokenizers::Tokenizer) -> Spelling {
    let parts = [serde_json::to_string(&library.get_decoder()), serde_json::to_string(&library.get_pre_tokenizer())];
    let has = |name: &str| parts.iter().flatten().any(|part| part.contains(name));
    if has("\"ByteLevel\"") {
        Spelling::ByteLevel
    } else if has("\"WordPiece\"") {
        Spelling::WordPiece
    } else {
        Spelling::Spaced
    }
}

/// A file beside the model is not what it should be.
pub(crate) fn unreadable(path: &Path, why: impl ToString) -> TextError {
    TextError::File { file: path.display().to_string(), why: one_line(&why.to_string(), 500) }
}

/// A JSON file of the folder; `None` where there is none.
///
/// # Errors
/// Where it can't be read, is larger than any is, or is no JSON.
pub(crate) fn read_json(folder: &Path, name: &str) -> Result<Option<Value>, TextError> {
    let Some(text) = read_beside(folder, name)? else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|error| unreadable(&folder.join(name), error))
}

/// A small file of the folder; `None` where there is none.
///
/// # Errors
/// Where it can't be read, or is larger than any is.
pub(crate) fn read_beside(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, TextError> {
    let path = folder.join(name);
    if path.exists() { Ok(Some(read_text(&path, LARGEST_BESIDE)?)) } else { Ok(None) }
}

/// A token's text in tokenizer_config.json: `"bos_token": "<s>"` or `"bos_token": {"content": "<s>", …}`.
pub(crate) fn token_text<'v>(config: &'v Value, key: &str) -> Option<&'v str> {
    let token = config.get(key)?;
    token.as_str().or_else(|| token.get("content")?.as_str())
}

/// One id or a list of ids.
fn ids(value: &Value) -> Vec<TokenId> {
    let one = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok()).map(TokenId);
    value.as_array().map_or_else(|| one(value).into_iter().collect(), |list| list.iter().filter_map(one).collect())
}
