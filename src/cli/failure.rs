//! How a command ends badly: one line for a person, a hint where one helps, and the exit code that scripts look at.
//! Every error of the library becomes one of these at the door of the program, so that printing stands in one place.

use crate::error::file::FileError;
use crate::error::{Error, SessionError};
use std::fmt;
use std::io;
use std::process::ExitCode;

/// Exit codes, as `kinglet --help` lists them.
pub mod code {
    /// Something that the command needed was missing or broken.
    pub const ERROR: u8 = 1;
    /// The command line itself is wrong.
    pub const USAGE: u8 = 2;
    /// Ctrl-C.
    pub const INTERRUPTED: u8 = 130;
}

/// Why a command did not finish.
#[derive(Debug)]
pub enum Failure {
    /// The reader of our output has gone (`kinglet … | head -1`): no error, nothing to say.
    Closed,
    /// Ctrl-C, or another request to end: the person knows.
    Interrupted,
    /// The command line asks for what can't be.
    Usage(Message),
    /// Anything else.
    Error(Message),
}

/// The line, and the hint below it.
#[derive(Debug)]
pub struct Message {
    what: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure at run time.
    pub fn error(what: impl fmt::Display) -> Failure {
        Failure::Error(Message { what: what.to_string(), hint: None })
    }

    /// A wrong command line that clap could not see.
    pub fn usage(what: impl fmt::Display) -> Failure {
        Failure::Usage(Message { what: what.to_string(), hint: None })
    }

    /// Adds what the person could do about it.
    pub fn hint(mut self, hint: impl fmt::Display) -> Failure {
        if let Failure::Usage(message) | Failure::Error(message) = &mut self {
            message.hint = Some(hint.to_string());
        }
        self
    }

    /// Something about a file: `cannot read x.txt: permission denied`.
    pub fn io(what: impl fmt::Display, error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Closed,
            io::ErrorKind::StorageFull => Failure::error(format!("{what}: the disk is full")).hint("free some space and try again"),
            _ => Failure::error(format!("{what}: {}", reason(error))),
        }
    }

    /// Prints the one line (and the hint) on stderr and gives the exit code.
    pub fn report(self) -> ExitCode {
        let (message, code) = match self {
            Failure::Closed => return ExitCode::SUCCESS,
            Failure::Interrupted => return ExitCode::from(super::interrupt::code()),
            Failure::Usage(message) => (message, code::USAGE),
            Failure::Error(message) => (message, code::ERROR),
        };
        let paint = super::terminal::Paint::stderr();
        eprintln!("{} {}", paint.red("error:"), message.what);
        if let Some(hint) = message.hint {
            eprintln!("{} {hint}", paint.blue("hint:"));
        }
        ExitCode::from(code)
    }
}

/// What the system says, without Rust's `(os error 2)`.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Closed => f.write_str("the output was closed"),
            Failure::Interrupted => f.write_str("interrupted"),
            Failure::Usage(message) | Failure::Error(message) => f.write_str(&message.what),
        }
    }
}

/// The library's errors are written for a person already; wrong values of options are wrong command lines.
impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            // A full disk is told as such, with the hint, whoever was writing.
            Error::File(FileError::Io { file, action, source }) => Failure::io(format!("{}: can't {action}", file.display()), &source),
            Error::Session(SessionError::Option { .. }) | Error::Generate(_) => Failure::usage(error),
            _ => Failure::error(error),
        }
    }
}

/// Writing to stdout is what fails without a better description; everything else goes through [`Failure::io`].
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::io("cannot write the output", &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_alike_whoever_was_writing() {
        let source = io::Error::from(io::ErrorKind::StorageFull);
        let library = Error::from(FileError::Io { file: "out.gguf".into(), action: "write it", source });
        let Failure::Error(message) = Failure::from(library) else { panic!("a full disk is an error") };
        assert_eq!(message.what, "out.gguf: can't write it: the disk is full");
        assert!(message.hint.is_some());
    }
}
