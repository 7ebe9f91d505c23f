//! SentencePiece's unigram model (GGUF's `t5`): of all ways to cut the normalized text into tokens, the one with the best sum of scores
//! (Viterbi's algorithm, Kudo 2018). A character that no token begins with costs more than the worst token.

use super::charsmap::CharsMap;
use super::spelling::SPACE;
use super::vocabulary::{TokenKind, Vocabulary};
use crate::types::TokenId;
use std::cmp::Ordering;

/// What the unigram model needs beside the vocabulary.
#[derive(Debug)]
pub(crate) struct Unigram {
    scores: Vec<f32>,
    /// The tokens that texts are cut into, in the order of their texts: a trie in the form of a sorted list.
    sorted: Vec<u32>,
    unknown: TokenId,
    unknown_score: f64,
    charsmap: CharsMap,
    spaces: SpaceRules,
}

/// How white space is normalized.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpaceRules {
    /// A space is put before the text.
    pub(crate) prefix: bool,
    /// Runs of spaces become one, those at both ends none.
    pub(crate) merge: bool,
}

/// How much worse than the worst token an unknown character is.
const UNKNOWN_PENALTY: f64 = 10.0;

/// The best way to cut the text up to some byte: its last token, where that begins, and the sum of scores.
#[derive(Debug, Clone, Copy)]
struct Best {
    token: TokenId,
    start: usize,
    score: f64,
}

impl Unigram {
    /// `scores` are logarithms of probabilities, one for every token.
    pub(crate) fn new(vocabulary: &Vocabulary, scores: Vec<f32>, unknown: TokenId, charsmap: CharsMap, spaces: SpaceRules) -> Self {
        let used = |kind| matches!(kind, TokenKind::Normal | TokenKind::UserDefined | TokenKind::Unused);
        let mut sorted: Vec<u32> = vocabulary.of_kind(used).map(|id| id.0).collect();
        sorted.sort_unstable_by_key(|&id| vocabulary.text(TokenId(id)));
        let normal = vocabulary.of_kind(|kind| kind == TokenKind::Normal).map(|id| scores[id.index()]);
        let worst = normal.min_by(f32::total_cmp).unwrap_or(0.0);
        Unigram { unknown_score: f64::from(worst) - UNKNOWN_PENALTY, scores, sorted, unknown, charsmap, spaces }
    }

    /// Appends the tokens of `text`.
    pub(crate) fn encode(&self, vocabulary: &Vocabulary, text: &str, tokens: &mut Vec<TokenId>) {
        let normalized = self.normalize(text);
        let best = self.best_cuts(vocabulary, normalized.as_bytes());
        let mut backwards = Vec::new();
        let mut end = normalized.len();
        while end > 0 {
            let Best { token, start, .. } = best[end];
            // Unknown characters in a row are one token.
            if token != self.unknown || backwards.last() != Some(&token) {
                backwards.push(token);
            }
            end = start;
        }
        tokens.extend(backwards.into_iter().rev());
    }

    /// For every end in `text` the best way to get there.
    fn best_cuts(&self, vocabulary: &Vocabulary, text: &[u8]) -> Vec<Best> {
        let nowhere = Best { token: self.unknown, start: 0, score: f64::NEG_INFINITY };
        let mut best = vec![nowhere; text.len() + 1];
        best[0].score = 0.0;
        let mut start = 0;
        while start < text.len() {
            let character = start + utf8_len(text[start]).min(text.len() - start);
            let so_far = best[start].score;
            let mut offer = |token, end: usize, score: f64| {
                if so_far + score > best[end].score {
                    best[end] = Best { token, start, score: so_far + score };
                }
            };
            let mut is_known = false;
            for (token, end) in self.tokens_at(vocabulary, text, start) {
                is_known |= end == character;
                let is_text = vocabulary.kind(token) == TokenKind::UserDefined;
                offer(token, end, if is_text { 0.0 } else { f64::from(self.scores[token.index()]) });
            }
            if !is_known {
                offer(self.unknown, character, self.unknown_score);
            }
            start = character;
        }
        best
    }

    /// The tokens that `text[start..]` begins with, and their ends, the shortest first.
    fn tokens_at(&self, vocabulary: &Vocabulary, text: &[u8], start: usize) -> impl Iterator<Item = (TokenId, usize)> {
        let mut range = self.sorted.as_slice();
        let mut end = start;
        std::iter::from_fn(move || {
            while let (Some(&byte), false) = (text.get(end), range.is_empty()) {
                let depth = end - start;
                let compare = |id: &u32| vocabulary.text(TokenId(*id)).get(depth).cmp(&Some(&byte));
                range = &range[range.partition_point(|id| compare(id) == Ordering::Less)..];
                range = &range[..range.partition_point(|id| compare(id) == Ordering::Equal)];
                end += 1;
                if let Some(&id) = range.first().filter(|&&id| vocabulary.text(TokenId(id)).len() == depth + 1) {
                    return Some((TokenId(id), end));
                }
            }
            None
        })
    }

    /// The text after the model's character map, with its spaces as `▁`.
    fn normalize(&self, text: &str) -> String {
        let mut normalized = String::with_capacity(text.len() * 2);
        let (mut in_word, mut has_prefix) = (false, false);
        self.charsmap.map(text, |character| {
            if character != ' ' {
                if !in_word && ((self.spaces.prefix && !has_prefix) || self.spaces.merge) {
                    normalized.push_str(SPACE);
                    has_prefix = true;
                }
                in_word = true;
                normalized.push(character);
            } else {
                in_word = false;
                if !self.spaces.merge {
                    normalized.push_str(SPACE);
                }
            }
        });
        normalized
    }
}

/// Bytes of the character that begins with `first`.
fn utf8_len(first: u8) -> usize {
    match first {
        0..=0xBF => 1,
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        _ => 4,
    }
}
