//! From tokens back to text, one at a time. A token may end in the middle of a character; what is not yet certain waits for the next.

use super::vocabulary::Vocabulary;
use crate::types::TokenId;
use std::sync::Arc;

/// Turns a stream of tokens into text that never has half a character in it.
#[derive(Debug, Clone)]
pub struct Decoder {
    vocabulary: Arc<Vocabulary>,
    pending: Vec<u8>,
}

impl Decoder {
    pub(crate) fn new(vocabulary: Arc<Vocabulary>) -> Self {
        Decoder { vocabulary, pending: Vec::new() }
    }

    /// The text that `token` completes: empty for control tokens, for ids outside the vocabulary and within a character. Bytes that can't
    /// be UTF-8 become U+FFFD as soon as that is certain.
    pub fn push(&mut self, token: TokenId) -> String {
        if self.vocabulary.check(token).is_ok() {
            self.pending.extend_from_slice(&self.vocabulary.bytes(token));
        }
        let mut text = String::new();
        let mut unfinished = 0;
        let end = self.pending.len();
        let mut chunks = self.pending.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            if chunks.peek().is_none() && may_go_on(chunk.invalid()) {
                unfinished = chunk.invalid().len();
            } else if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.pending.drain(..end - unfinished);
        text
    }

    /// What is left at the end: U+FFFD for half a character.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// Whether `bytes` is the beginning of a character.
fn may_go_on(bytes: &[u8]) -> bool {
    !bytes.is_empty() && matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}
