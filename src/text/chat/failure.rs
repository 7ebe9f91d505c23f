//! What went wrong in a template, in one line for a person: which line of it, and which of its expressions.

use crate::error::{TextError, one_line};
use minijinja::{Error, ErrorKind};
use std::error::Error as _;

/// What `raise_exception` was called with, on its way through the engine.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refusal(pub(super) String);

/// The error of our own for one of the engine's.
pub(super) fn explain(error: &Error) -> TextError {
    let line = error.line().unwrap_or(1);
    if let Some(Refusal(message)) = refusal(error) {
        return TextError::Refused { message: one_line(message, 500), line };
    }
    let why = why(error);
    match error.kind() {
        ErrorKind::SyntaxError => TextError::TemplateSyntax { line, why },
        ErrorKind::OutOfFuel => TextError::Unbounded { what: "the time and memory that a template may take".to_owned() },
        _ => TextError::Template { line, expression: expression(error), why },
    }
}

fn refusal(error: &Error) -> Option<&Refusal> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(refusal) = error.downcast_ref() {
            return Some(refusal);
        }
        source = error.source();
    }
    None
}

fn why(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {}", error.kind(), one_line(detail, 500)),
        None => error.kind().to_string(),
    }
}

/// The expression that failed, as the template has it.
fn expression(error: &Error) -> String {
    let source = error.template_source().zip(error.range()).and_then(|(source, range)| source.get(range)).unwrap_or("?");
    one_line(source, 80)
}
