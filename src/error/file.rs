//! What can be wrong with a model's files. Every variant names the file, the place in it, what was expected there and what was found;
//! names that come out of a file are shortened and their control characters escaped, so that no file writes to a terminal.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a model's file can't be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system refuses: no such file, no permission, an error of the disk.
    #[error("{}: can't {action}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What was tried: "open it", "map it" …
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A folder, a pipe or a device where a file must be.
    #[error("{}: expected a file, found {found}", file.display())]
    NotAFile {
        /// The path.
        file: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// A file of no bytes.
    #[error("{}: expected a model, found an empty file (0 bytes)", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// The first bytes are those of something else.
    #[error("{}: expected a GGUF or safetensors file, found {found}", file.display())]
    NotAModel {
        /// The file.
        file: PathBuf,
        /// What it looks like.
        found: String,
    },
    /// A folder without the files that make it a model.
    #[error("{}: expected {expected}, found {found}", folder.display())]
    NotAModelFolder {
        /// The folder.
        folder: PathBuf,
        /// The file that is missing.
        expected: &'static str,
        /// What is there instead.
        found: String,
    },
    /// A GGUF file for big-endian machines.
    #[error("{}: expected a little-endian GGUF file, found a big-endian one (for s390x or POWER); \
        convert the model again without --bigendian", file.display())]
    BigEndian {
        /// The file.
        file: PathBuf,
    },
    /// A GGUF version that nobody writes any more, or not yet.
    #[error("{}: version: expected GGUF 2 or 3, found {found}{}",
        file.display(), if *found < 2 { "; convert the model again" } else { "" })]
    Version {
        /// The file.
        file: PathBuf,
        /// The version it states.
        found: u32,
    },
    /// The file ends inside something, or a length points past its end.
    #[error("{}: {field} at byte {at}: expected {expected} bytes, found {found}; the file is cut short or damaged", file.display())]
    Truncated {
        /// The file.
        file: PathBuf,
        /// What was being read.
        field: String,
        /// Where it starts.
        at: u64,
        /// Bytes that it needs.
        expected: u64,
        /// Bytes from there to the end.
        found: u64,
    },
    /// A field with a value that it can't have.
    #[error("{}: {field}: expected {expected}, found {found}", file.display())]
    Field {
        /// The file.
        file: PathBuf,
        /// The field.
        field: String,
        /// What is allowed.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// The same name twice.
    #[error("{}: expected each {what} once, found `{name}` twice", file.display())]
    Duplicate {
        /// The file.
        file: PathBuf,
        /// `key` or `tensor`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Two tensors share bytes, or leave some between them that no tensor owns (which safetensors forbids).
    #[error("{}: tensor `{tensor}`: expected its bytes to follow on byte {expected}, where `{before}` ends, \
        found them at {found}", file.display())]
    Overlap {
        /// The file.
        file: PathBuf,
        /// The tensor that starts at the wrong place.
        tensor: String,
        /// The tensor before it.
        before: String,
        /// Where that one ends.
        expected: u64,
        /// Where this one starts.
        found: u64,
    },
    /// A tensor whose bytes end behind the file.
    #[error("{}: tensor `{tensor}`: expected its end within the file's {expected} bytes, found it at byte {found}; \
        the file is cut short or damaged", file.display())]
    OutsideFile {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// Size of the file.
        expected: u64,
        /// Where the tensor would end; `u64::MAX` where that can't be counted.
        found: u64,
    },
    /// A tensor in a type that kinglet can't compute with.
    #[error("{}: tensor `{tensor}`: expected a type that kinglet reads; {found}", file.display())]
    TensorType {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// What its type is, and what would help.
        found: String,
    },
    /// A key that is not there.
    #[error("{}: expected the key `{key}`, found none", file.display())]
    MissingKey {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
    },
    /// A key whose value has another type, or doesn't fit.
    #[error("{}: key `{key}`: expected {expected}, found {found}", file.display())]
    KeyType {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
        /// The type asked for.
        expected: &'static str,
        /// The type that is there, with the value where it is short.
        found: String,
    },
    /// A tensor that is not there.
    #[error("{}: expected the tensor `{tensor}`, found none of that name", file.display())]
    MissingTensor {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// One of a model's several files is not there.
    #[error("{}: expected its part {} beside it, found no such file", file.display(), part.display())]
    MissingPart {
        /// The file that was opened.
        file: PathBuf,
        /// The file that is missing.
        part: PathBuf,
    },
    /// The file lost bytes while it was in use.
    #[error("{}: expected the {expected} bytes it had when it was opened, found {found}; \
        another program changes it (--load read keeps a copy)", file.display())]
    Shrunk {
        /// The file.
        file: PathBuf,
        /// Size at opening.
        expected: u64,
        /// Size now.
        found: u64,
    },
    /// Text that is no JSON, or JSON of another shape.
    #[error("{}: {field}: expected {expected}, found {source}", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// Which part of the file.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A new file was filled in another order, or with other sizes, than announced.
    #[error("{}: {what}: expected {expected}, found {found}", file.display())]
    Plan {
        /// The file being written.
        file: PathBuf,
        /// What was to be written.
        what: String,
        /// What was announced.
        expected: String,
        /// What came.
        found: String,
    },
}

impl FileError {
    pub(crate) fn io(file: &Path, action: &'static str) -> impl FnOnce(io::Error) -> FileError {
        move |source| FileError::Io { file: file.to_owned(), action, source }
    }

    pub(crate) fn field(file: &Path, field: impl ToString, expected: impl ToString, found: impl ToString) -> FileError {
        FileError::Field { file: file.to_owned(), field: field.to_string(), expected: expected.to_string(), found: found.to_string() }
    }
}

/// For values that a file may leave out.
pub trait Optional<T> {
    /// `None` where the key is missing; other errors stay.
    ///
    /// # Errors
    /// All but [`FileError::MissingKey`].
    fn optional(self) -> Result<Option<T>, FileError>;
}

impl<T> Optional<T> for Result<T, FileError> {
    fn optional(self) -> Result<Option<T>, FileError> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(FileError::MissingKey { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A name out of a file, fit for a person's terminal and of bounded length.
pub(crate) fn shortened(name: &str) -> String {
    Excerpt(name, LONGEST_NAME).to_string()
}

/// The same in backquotes.
pub(crate) struct Shown<'a>(pub &'a str);

/// Characters of a name or of what was typed that a message repeats.
pub(crate) const LONGEST_NAME: usize = 100;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", Excerpt(self.0, LONGEST_NAME))
    }
}

/// The first so many characters of a text on one line, control and invisible characters escaped.
pub(crate) struct Excerpt<'a>(pub &'a str, pub usize);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(self.1).map_or(self.0.len(), |(at, _)| at);
        for c in self.0[..end].chars() {
            match c {
                '\'' | '"' | '`' => write!(f, "{c}")?,
                _ => write!(f, "{}", c.escape_debug())?,
            }
        }
        if end < self.0.len() { write!(f, "…") } else { Ok(()) }
    }
}
