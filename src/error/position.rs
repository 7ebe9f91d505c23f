//! What a position scheme can't be. Of what was written, the beginning is repeated, on one line.

use super::file::{Excerpt, LONGEST_NAME};

/// A scheme that can't be read, or that a model can't take.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PositionError {
    /// No scheme has this name.
    #[error("unknown position scheme \"{}\", expected {expected}", Excerpt(term, LONGEST_NAME))]
    Unknown {
        /// What was written.
        term: String,
        /// What may be.
        expected: &'static str,
    },
    /// One scheme twice.
    #[error("position scheme {term} is given twice, expected each once")]
    Twice {
        /// Its name.
        term: String,
    },
    /// An option that the scheme does not have, or a value out of its range.
    #[error(
        "position scheme \"{}\": option \"{}\" can't be used, expected {expected}",
        Excerpt(term, LONGEST_NAME),
        Excerpt(option, LONGEST_NAME)
    )]
    Option {
        /// The scheme as it was written.
        term: String,
        /// The option as it was written.
        option: String,
        /// What would do.
        expected: &'static str,
    },
    /// Tokens must not see later ones.
    #[error("{} is for models whose tokens see earlier ones alone, and {family} has an encoder", Excerpt(scheme, LONGEST_NAME))]
    NotCausal {
        /// The scheme.
        scheme: String,
        /// What the model is.
        family: &'static str,
    },
    /// Heads are too narrow.
    #[error("{scheme} needs at least {expected} rotated dimensions, and this model has {dims}")]
    TooFewDimensions {
        /// The scheme.
        scheme: &'static str,
        /// What the model has.
        dims: usize,
        /// What it takes.
        expected: usize,
    },
}
