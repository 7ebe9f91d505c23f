//! Byte-pair encoding (GGUF's `gpt2` and `gemma4`): a pre-tokenizer cuts the text into words, each word is written in the
//! vocabulary's spelling, and neighbours are joined in the order in which the merges were learned.
//!
//! The merges are kept as they stand in the file (`Ġt he`) and are found by hashing the pair with its space: nothing is parsed when the
//! tokenizer is made.

use super::merge::Merger;
use super::pre::PreTokenizer;
use super::spelling::{SPACE, to_alphabet};
use super::strings::Strings;
use super::vocabulary::{Index, Vocabulary};
use crate::types::TokenId;

/// What BPE needs beside the vocabulary.
#[derive(Debug)]
pub(crate) struct Bpe {
    merges: Strings,
    ranks: Index,
    longest: usize,
    pre: PreTokenizer,
}

impl Bpe {
    /// `merges` holds `left right` pairs, the first learned first.
    pub(crate) fn new(merges: Strings, pre: PreTokenizer) -> Self {
        let longest = merges.iter().map(<[u8]>::len).max().unwrap_or(0);
        Bpe { ranks: Index::new(&merges), merges, longest, pre }
    }

    /// Appends the tokens of `text`.
    pub(crate) fn encode(&self, vocabulary: &Vocabulary, text: &str, tokens: &mut Vec<TokenId>) {
        let rules = self.pre.rules();
        let spaced = rules.spaced.then(|| text.replace(' ', SPACE));
        let (mut merger, mut letters, mut pair) = (Merger::default(), String::new(), Vec::new());
        self.pre.split(spaced.as_deref().unwrap_or(text), &mut |word| {
            letters.clear();
            if rules.spaced {
                letters.push_str(word);
            } else {
                to_alphabet(word.as_bytes(), &mut letters);
            }
            // Gemma 4 has runs of newlines as tokens that no merge leads to.
            let whole = rules.ignore_merges || (rules.spaced && word.bytes().all(|byte| byte == b'\n'));
            match vocabulary.find_plain(letters.as_bytes()).filter(|_| whole) {
                Some(id) => tokens.push(id),
                None => self.merge(vocabulary, &letters, &mut merger, &mut pair, tokens),
            }
        });
    }

    fn merge(&self, vocabulary: &Vocabulary, letters: &str, merger: &mut Merger, key: &mut Vec<u8>, tokens: &mut Vec<TokenId>) {
        let rank = |pair: &[u8], middle: usize| {
            if pair.len() >= self.longest {
                return None;
            }
            key.clear();
            key.extend_from_slice(&pair[..middle]);
            key.push(b' ');
            key.extend_from_slice(&pair[middle..]);
            self.ranks.find(&self.merges, key)
        };
        merger.merge(letters, rank, |piece| match vocabulary.find_plain(piece) {
            Some(id) => tokens.push(id),
            None => self.spell(vocabulary, piece, tokens),
        });
    }

    /// Appends a piece that is no token character by character, or byte by byte. As in llama.cpp, what the vocabulary can't spell is
    /// left out.
    fn spell(&self, vocabulary: &Vocabulary, piece: &[u8], tokens: &mut Vec<TokenId>) {
        if self.pre.rules().spaced {
            tokens.extend(piece.iter().filter_map(|&byte| vocabulary.find_byte(byte)));
        } else {
            let letters = String::from_utf8_lossy(piece);
            tokens.extend(letters.chars().filter_map(|letter| vocabulary.find_plain(letter.encode_utf8(&mut [0; 4]).as_bytes())));
        }
    }
}
