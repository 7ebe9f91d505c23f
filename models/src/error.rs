//! What can be wrong with a model's metadata or tensors. One line each, with the key or tensor as the file spells it.

use thiserror::Error;

/// Why a file is not a model that this crate can describe.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file's architecture is none of the families'.
    #[error("unknown architecture `{found}`{}; known: {}", suggestion(.nearest), .known.join(", "))]
    UnknownArchitecture {
        /// The name in the file.
        found: String,
        /// A known name that is spelled alike.
        nearest: Option<&'static str>,
        /// All names that are known for this kind of file.
        known: Vec<&'static str>,
    },
    /// A hyper-parameter without a default is not in the file.
    #[error("`{key}` is missing")]
    MissingKey {
        /// As the file would spell it.
        key: String,
    },
    /// A hyper-parameter has a value that no model can have.
    #[error("`{key}`: expected {expected}, found {found}")]
    WrongValue {
        /// As the file spells it.
        key: String,
        /// What would be right, in words.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A hyper-parameter asks for something that kinglet does not do.
    #[error("`{key}` is {found}: {why}")]
    Unsupported {
        /// As the file spells it.
        key: String,
        /// What is there.
        found: String,
        /// What it would take, or what helps.
        why: &'static str,
    },
    /// A tensor that the family needs is not in the file.
    #[error("tensor `{name}` is missing")]
    MissingTensor {
        /// As the file would spell it.
        name: String,
    },
    /// A tensor's shape contradicts the hyper-parameters.
    #[error("tensor `{name}`: expected shape {expected:?}, found {found:?}")]
    WrongShape {
        /// As the file spells it.
        name: String,
        /// Rows first.
        expected: Vec<usize>,
        /// Rows first.
        found: Vec<usize>,
    },
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}
