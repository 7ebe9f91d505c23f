//! What can be wrong with a tokenizer, a chat template, or the texts that go through them.

use super::FileError;
use crate::types::TokenId;

/// An error of the text floor: one line for a person.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// Neither the model's file nor the folder it lies in has a tokenizer.
    #[error("the model has no tokenizer: no `tokenizer.ggml.model` in its metadata and no tokenizer.json beside it")]
    NoTokenizer,
    /// `tokenizer.ggml.model` names a kind of tokenizer that kinglet has not got.
    #[error("tokenizer.ggml.model: unknown kind of tokenizer `{found}`; known are {known}")]
    UnknownKind {
        /// What the file says.
        found: String,
        /// The kinds that are known, separated by commas.
        known: String,
    },
    /// `tokenizer.ggml.pre` names rules that kinglet has not got. Other rules would give other tokens than the model was trained on.
    #[error("tokenizer.ggml.pre: unknown pre-tokenizer `{found}`{nearest}; known are {known}")]
    UnknownPreTokenizer {
        /// What the file says.
        found: String,
        /// `" (did you mean …?)"`, or empty.
        nearest: String,
        /// The names that are known, separated by commas.
        known: String,
    },
    /// The tokenizer's metadata can't be read, or is not what it should be.
    #[error(transparent)]
    Metadata(#[from] FileError),
    /// A list of the metadata has another length than the vocabulary, or its content is no such thing.
    #[error("the tokenizer's `{key}` should be {expected}, found {found}")]
    Malformed {
        /// The metadata key.
        key: &'static str,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A file beside the model can't be read or understood.
    #[error("{file}: {why}")]
    File {
        /// The file's path.
        file: String,
        /// What the system or the parser said.
        why: String,
    },
    /// A tokenizer made from tokenizer.json refused a text.
    #[error("tokenizer.json can't encode the text: {why}")]
    Encode {
        /// What the library said.
        why: String,
    },
    /// A text that is longer than a tokenizer takes at once.
    #[error("the text has {bytes} bytes, more than the {limit} that can be tokenized at once")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A token id outside the vocabulary.
    #[error("token {id} is outside the vocabulary of {n_vocab} tokens")]
    UnknownToken {
        /// The id.
        id: TokenId,
        /// How many tokens there are.
        n_vocab: usize,
    },
    /// A model without a chat template, of a family for which none is known.
    #[error("the model has no chat template, and none is known for it; give one of {known} or a Jinja template")]
    NoTemplate {
        /// The names of the built-in templates, separated by commas.
        known: String,
    },
    /// The template can't be parsed.
    #[error("chat template, line {line}: {why}")]
    TemplateSyntax {
        /// Its line, from 1.
        line: usize,
        /// What the parser said.
        why: String,
    },
    /// The template failed on these messages.
    #[error("chat template, line {line}, at `{expression}`: {why}")]
    Template {
        /// Its line, from 1.
        line: usize,
        /// The expression or variable that failed, as the template has it.
        expression: String,
        /// What is wrong with it.
        why: String,
    },
    /// The template refused these messages by `raise_exception`.
    #[error("the chat template refuses these messages: {message} (line {line})")]
    Refused {
        /// The template's own words.
        message: String,
        /// The line that refused, from 1.
        line: usize,
    },
    /// The template ran longer, or wrote more, than a template may.
    #[error("the chat template goes on past {what}; it may be damaged")]
    Unbounded {
        /// The limit it met.
        what: String,
    },
}

/// What somebody else's code or file says, which may be anything, as one line of at most so many characters.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(most).flat_map(char::escape_debug).collect();
    if line.chars().nth(most).is_some() { format!("{short}…") } else { short }
}
