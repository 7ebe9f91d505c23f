//! What can go wrong while tokens are chosen: parameters outside their range, and logits that leave nothing to choose from.

use crate::types::TokenId;

/// A parameter or a row of logits that generation can't work with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GenerateError {
    /// A number in `SamplerOptions` or `LookupOptions` is outside its range.
    #[error("{name} must be {allowed}, found {found}")]
    Parameter {
        /// The field's name, which is llama.cpp's name for it too.
        name: &'static str,
        /// The range in words.
        allowed: &'static str,
        /// The value that was given.
        found: f64,
    },
    /// `logit_bias` names a token that the model doesn't have.
    #[error("logit_bias names token {token}, expected a token below the vocabulary's size {n_vocab}")]
    BiasOutsideVocabulary {
        /// The token named.
        token: TokenId,
        /// Number of tokens in the vocabulary.
        n_vocab: usize,
    },
    /// A name in a list of samplers that no sampler has.
    #[error("no sampler is named {name:?}, expected a list of {known} with ';' between")]
    UnknownSampler {
        /// The name given.
        name: String,
        /// All names, with commas between.
        known: String,
    },
    /// A row of logits of the wrong length.
    #[error("the model gave {found} logits, expected one for each of the {expected} tokens of the vocabulary")]
    LogitCount {
        /// The vocabulary's size that the sampler was made for.
        expected: usize,
        /// The row's length.
        found: usize,
    },
    /// No logit is a finite number: the model's arithmetic broke down, or biases forbid every token.
    #[error("none of the {n_vocab} tokens can be sampled: every logit is NaN, infinite, or forbidden by logit_bias")]
    NoCandidate {
        /// Number of tokens in the vocabulary.
        n_vocab: usize,
    },
    /// An empty stop string would stop every text before its first character.
    #[error("stop string {index} is empty, expected at least one character")]
    EmptyStopString {
        /// Its place in the list, counted from 0.
        index: usize,
    },
}
