//! What a session refuses.

use crate::types::TokenId;

/// A session's limits and its input.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The cache would pass its bound.
    #[error(
        "the context is full: it holds {held} of {bound} tokens and {asked} more are to come; a larger one can be asked for (--context)"
    )]
    ContextFull {
        /// Tokens it may hold.
        bound: usize,
        /// Tokens it holds.
        held: usize,
        /// Tokens that were to be added.
        asked: usize,
    },
    /// The system has no more memory.
    #[error(
        "out of memory: the system has not got the {bytes} bytes for {what}; a shorter context (--context) or a smaller cache \
         (--cache-k q8_0 --cache-v q8_0) takes less"
    )]
    NoMemory {
        /// What they are for.
        what: &'static str,
        /// How much was asked for.
        bytes: usize,
    },
    /// What a session may come to is more than the memory that it may take.
    #[error(
        "a memory budget of {budget} (--memory) does not hold what is asked for: {room}; a shorter context (--context), a smaller cache \
         (--cache-k q8_0 --cache-v q8_0) or a larger budget will do"
    )]
    OverBudget {
        /// The bound, as people read it.
        budget: String,
        /// What would have to fit, likewise.
        room: String,
    },
    /// The model has learned a vector for each of its positions, and there are no more of them.
    #[error("{asked} tokens are asked for, but the model has learned {longest} positions; a shorter context is needed (--context)")]
    Positions {
        /// Positions it has.
        longest: usize,
        /// Tokens that a sequence was to have.
        asked: usize,
    },
    /// Tokens that see each other did not come together.
    #[error(
        "the first {prefix} tokens see each other and must come together, found {found}: a longer prompt or a shorter prefix is needed"
    )]
    PrefixApart {
        /// Tokens that see each other.
        prefix: usize,
        /// Tokens that came.
        found: usize,
    },
    /// What stays for ever would leave no room for what comes.
    #[error("{anchored} {what} in a context of {bound} tokens, expected fewer than {bound}: room must be left for what comes (--context)")]
    TooManyAnchors {
        /// Sinks, or pinned tokens (sinks among them).
        what: &'static str,
        /// How many would stay.
        anchored: usize,
        /// Tokens kept.
        bound: usize,
    },
    /// Tokens that are not in the cache.
    #[error("tokens {} to {} are not all held: of {len} that have come, some of them have left or are still to come", span.start, span.end)]
    NotHeld {
        /// The span that was asked for.
        span: std::ops::Range<usize>,
        /// Tokens that have come.
        len: usize,
    },
    /// A token id that the model has no embedding for.
    #[error("token {token} is outside the vocabulary of {n_vocab} tokens")]
    UnknownToken {
        /// The id.
        token: TokenId,
        /// Size of the vocabulary.
        n_vocab: usize,
    },
    /// A model that reads a text with its encoder before it writes one.
    #[error("{family} reads a text with an encoder and writes another one with a decoder: there is nothing it has read yet (kinglet run)")]
    NotEncoded {
        /// The model's family.
        family: &'static str,
    },
    /// A text for an encoder that the model has not.
    #[error("{family} has no encoder: a text is fed to its decoder")]
    NoEncoder {
        /// The model's family.
        family: &'static str,
    },
    /// A model whose tokens see later ones: a text can't be gone on with, and there are no logits.
    #[error("{family} is an encoder: it turns whole texts into vectors and continues none (kinglet embed)")]
    Encoder {
        /// The model's family.
        family: &'static str,
    },
    /// A text has more tokens than may be embedded.
    #[error("text {number} has {tokens} tokens, and the model takes {longest}; it can be cut (--truncate)")]
    TextTooLong {
        /// Which text, the first being 1.
        number: usize,
        /// Its tokens.
        tokens: usize,
        /// Tokens of a text at most.
        longest: usize,
    },
    /// A file asks for something between the hidden states and the vector of a text that kinglet does not do.
    #[error("{file}: {found}, expected {expected}")]
    Pooling {
        /// The file or the key that says so.
        file: String,
        /// What it says.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// Nothing to compute a next token from.
    #[error("nothing to compute: a session needs at least one token")]
    Empty,
    /// An option's value is out of its range.
    #[error("{option} is {found}, expected {expected}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What was given.
        found: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A tensor's values can't be used.
    #[error("tensor {name}: {found}, expected {expected}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is there.
        found: String,
        /// What would do.
        expected: String,
    },
}
