//! SentencePiece's "SPM" (GGUF's `llama`): the pair of neighbours whose joined text has the best score is joined first; what remains
//! outside the vocabulary is spelled in bytes.

use super::merge::Merger;
use super::spelling::SPACE;
use super::vocabulary::Vocabulary;
use crate::types::TokenId;

/// What SPM needs beside the vocabulary.
#[derive(Debug)]
pub(crate) struct Spm {
    /// Of every token, lower is joined earlier.
    ranks: Vec<u32>,
    /// A text, also after a special token, begins with a space.
    space_prefix: bool,
    unknown: Option<TokenId>,
}

impl Spm {
    /// `scores` has an entry for every token: the higher, the earlier it is made.
    pub(crate) fn new(scores: &[f32], space_prefix: bool, unknown: Option<TokenId>) -> Self {
        Spm { ranks: scores.iter().map(|&score| !ordered(score)).collect(), space_prefix, unknown }
    }

    /// Appends the tokens of `text`; `first` where nothing or a special token stands before it.
    pub(crate) fn encode(&self, vocabulary: &Vocabulary, text: &str, first: bool, tokens: &mut Vec<TokenId>) {
        let prefix = if self.space_prefix && first { SPACE } else { "" };
        let word = prefix.to_owned() + &text.replace(' ', SPACE);
        let rank = |pair: &[u8], _: usize| vocabulary.find_plain(pair).map(|id| self.ranks[id.index()]);
        Merger::default().merge(&word, rank, |piece| match vocabulary.find_plain(piece) {
            Some(id) => tokens.push(id),
            None => spell(vocabulary, piece, self.unknown, tokens),
        });
    }
}

/// Appends `piece` byte by byte; where the vocabulary has no bytes, `unknown` once.
pub(crate) fn spell(vocabulary: &Vocabulary, piece: &[u8], unknown: Option<TokenId>, tokens: &mut Vec<TokenId>) {
    let before = tokens.len();
    for &byte in piece {
        match vocabulary.find_byte(byte) {
            Some(id) => tokens.push(id),
            None => {
                tokens.truncate(before);
                tokens.extend(unknown);
                return;
            }
        }
    }
}

/// A number that grows with `score`.
fn ordered(score: f32) -> u32 {
    // IEEE 754 numbers compare like sign-and-magnitude integers; both zeros should be one rank.
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

#[cfg(test)]
mod tests {
    use super::ordered;

    #[test]
    fn scores_keep_their_order() {
        let scores = [f32::NEG_INFINITY, -1e9, -2.5, -1e-30, 0.0, 1e-30, 7.0, f32::INFINITY];
        assert!(scores.windows(2).all(|pair| ordered(pair[0]) < ordered(pair[1])));
        assert_eq!(ordered(-0.0), ordered(0.0));
    }
}
