//! BERT's WordPiece (GGUF's `bert`): the text is cleaned and cut at white space and punctuation, then each word is cut from the left into
//! the longest tokens there are; a word that can't be cut entirely is one unknown token. GGUF writes the first piece of a word with `▁`
//! and the others without a mark.

use super::spelling::SPACE;
use super::vocabulary::Vocabulary;
use crate::error::TextError;
use crate::types::TokenId;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

/// What WordPiece needs beside the vocabulary.
#[derive(Debug)]
pub(crate) struct WordPiece {
    normalizer: BertNormalizer,
    unknown: Option<TokenId>,
}

impl WordPiece {
    /// Whether texts are lower-cased and lose their accents is the model's choice.
    pub(crate) fn new(lowercase: bool, strip_accents: bool, unknown: Option<TokenId>) -> Self {
        WordPiece { normalizer: BertNormalizer::new(true, true, Some(strip_accents), lowercase), unknown }
    }

    /// Appends the tokens of `text`.
    ///
    /// # Errors
    /// Where the library refuses the text.
    pub(crate) fn encode(&self, vocabulary: &Vocabulary, text: &str, tokens: &mut Vec<TokenId>) -> Result<(), TextError> {
        let refused = |source: tokenizers::Error| TextError::Encode { why: source.to_string() };
        let mut normalized = NormalizedString::from(text);
        self.normalizer.normalize(&mut normalized).map_err(refused)?;
        let mut words = PreTokenizedString::from(normalized);
        BertPreTokenizer.pre_tokenize(&mut words).map_err(refused)?;
        for (word, _, _) in words.get_splits(OffsetReferential::Normalized, OffsetType::Byte) {
            self.cut(vocabulary, &(SPACE.to_owned() + word), tokens);
        }
        Ok(())
    }

    /// Appends the tokens of one word.
    fn cut(&self, vocabulary: &Vocabulary, word: &str, tokens: &mut Vec<TokenId>) {
        let before = tokens.len();
        let mut rest = word.as_bytes();
        while !rest.is_empty() {
            let lengths = (1..=rest.len().min(vocabulary.longest())).rev();
            match lengths.filter_map(|len| vocabulary.find_plain(&rest[..len]).map(|id| (id, len))).next() {
                Some((id, len)) => {
                    tokens.push(id);
                    rest = &rest[len..];
                }
                None => {
                    tokens.truncate(before);
                    tokens.extend(self.unknown);
                    return;
                }
            }
        }
    }
}
