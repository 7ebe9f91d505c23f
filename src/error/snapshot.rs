//! Why a saved session can't be taken up again.

use std::path::PathBuf;

/// A session's file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Reading or writing failed.
    #[error("can't {doing} the session {path}: {source}")]
    Io {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another kind of file, or one that is damaged.
    #[error("{path} is no whole session: {found}, expected {expected}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What would do.
        expected: String,
    },
    /// Of another model, or of this one computed in another way.
    #[error("the session {path} is of another {what}: {found}, expected {expected}")]
    Other {
        /// The file.
        path: PathBuf,
        /// Model, position scheme, cache types.
        what: &'static str,
        /// What is there.
        found: String,
        /// What would do.
        expected: String,
    },
}
