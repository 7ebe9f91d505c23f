//! The vocabulary: what each token's text is, what kind of token it is, which bytes it stands for, and which token has a given text.
//! The lookup table holds nothing but ids (4 bytes a token) and compares with the texts themselves, so that it is made in a few
//! milliseconds even for 262 144 tokens.

use super::spelling::Spelling;
use super::strings::Strings;
use crate::error::TextError;
use crate::types::TokenId;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::borrow::Cow;
use std::hash::BuildHasher;

/// What a token is for, as GGUF's `tokenizer.ggml.token_type` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A piece of text.
    Normal,
    /// Stands for what the vocabulary can't spell.
    Unknown,
    /// Structure (`<|im_end|>`): never made from a user's text, never shown as text.
    Control,
    /// Text that is always one token, looked for before anything else.
    UserDefined,
    /// A row nobody uses.
    Unused,
    /// One byte, spelled `<0x0A>`.
    Byte,
}

impl TokenKind {
    /// From the number in `tokenizer.ggml.token_type`; as in llama.cpp, numbers that mean nothing are unused tokens.
    pub(crate) fn from_gguf(kind: i32) -> TokenKind {
        match kind {
            1 => TokenKind::Normal,
            2 => TokenKind::Unknown,
            3 => TokenKind::Control,
            4 => TokenKind::UserDefined,
            6 => TokenKind::Byte,
            _ => TokenKind::Unused,
        }
    }

    /// Whether its text is structure rather than text.
    pub(crate) fn is_special(self) -> bool {
        matches!(self, TokenKind::Control | TokenKind::Unknown)
    }
}

/// An index from texts to rows: the texts' hashes, resolved by comparing with the table of texts.
#[derive(Debug)]
pub(crate) struct Index {
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Index {
    /// The index of `texts`; of equal texts the first counts. Empty texts are left out.
    pub(crate) fn new(texts: &Strings) -> Self {
        let hasher = DefaultHashBuilder::default();
        let mut table = HashTable::with_capacity(texts.len());
        let hash = |row: &u32| hasher.hash_one(texts.get(*row as usize));
        for (row, text) in texts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            table.entry(hasher.hash_one(text), |&other| texts.get(other as usize) == text, hash).or_insert(row as u32);
        }
        Index { table, hasher }
    }

    /// The row of `texts`, the table that the index was made of, that holds `text`.
    pub(crate) fn find(&self, texts: &Strings, text: &[u8]) -> Option<u32> {
        self.table.find(self.hasher.hash_one(text), |&row| texts.get(row as usize) == text).copied()
    }
}

/// All tokens of a model.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    texts: Strings,
    kinds: Vec<TokenKind>,
    index: Index,
    spelling: Spelling,
    longest: usize,
}

impl Vocabulary {
    /// `kinds` has an entry for every text.
    pub(crate) fn new(texts: Strings, kinds: Vec<TokenKind>, spelling: Spelling) -> Self {
        let index = Index::new(&texts);
        let longest = texts.iter().map(<[u8]>::len).max().unwrap_or(0);
        Vocabulary { texts, kinds, index, spelling, longest }
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Bytes of the longest token's text.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    pub(crate) fn kind(&self, id: TokenId) -> TokenKind {
        self.kinds[id.index()]
    }

    pub(crate) fn set_kind(&mut self, id: TokenId, kind: TokenKind) {
        self.kinds[id.index()] = kind;
    }

    /// A token's text as the file spells it.
    pub(crate) fn text(&self, id: TokenId) -> &[u8] {
        self.texts.get(id.index())
    }

    /// The token with this text, of whatever kind.
    pub(crate) fn find(&self, text: &[u8]) -> Option<TokenId> {
        if text.len() > self.longest {
            return None;
        }
        self.index.find(&self.texts, text).map(TokenId)
    }

    /// The token with this text that a text may be made of. Control tokens are none of them, even where merges would lead to one
    /// (llama.cpp gives them out): a user's text must not become structure.
    pub(crate) fn find_plain(&self, text: &[u8]) -> Option<TokenId> {
        self.find(text).filter(|&id| !self.kind(id).is_special())
    }

    /// The token that stands for one byte: `<0x0A>`.
    pub(crate) fn find_byte(&self, byte: u8) -> Option<TokenId> {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let text = [b'<', b'0', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)], b'>'];
        self.find_plain(&text)
    }

    /// Every token whose kind `wanted` accepts.
    pub(crate) fn of_kind(&self, wanted: impl Fn(TokenKind) -> bool) -> impl Iterator<Item = TokenId> {
        self.kinds.iter().enumerate().filter(move |(_, kind)| wanted(**kind)).map(|(row, _)| TokenId(row as u32))
    }

    /// `id`, or an error where it is outside the vocabulary.
    pub(crate) fn check(&self, id: TokenId) -> Result<TokenId, TextError> {
        if id.index() < self.len() { Ok(id) } else { Err(TextError::UnknownToken { id, n_vocab: self.len() }) }
    }

    /// The bytes of text that a token stands for: none for control, unknown and unused tokens.
    pub(crate) fn bytes(&self, id: TokenId) -> Cow<'_, [u8]> {
        match self.kind(id) {
            TokenKind::Control | TokenKind::Unknown | TokenKind::Unused => Cow::Borrowed(&[]),
            TokenKind::UserDefined => Cow::Borrowed(self.text(id)),
            TokenKind::Normal => self.spelling.bytes(self.text(id)),
            TokenKind::Byte => spelled_byte(self.text(id)).map_or(Cow::Borrowed(self.text(id)), |byte| Cow::Owned(vec![byte])),
        }
    }

    /// A token as people read it: special tokens by their text, others by their bytes (invalid UTF-8 as U+FFFD).
    pub(crate) fn piece(&self, id: TokenId) -> String {
        let bytes = match self.kind(id) {
            TokenKind::Control | TokenKind::Unknown | TokenKind::Unused => Cow::Borrowed(self.text(id)),
            _ => self.bytes(id),
        };
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The byte that `<0x0A>` spells.
fn spelled_byte(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
