//! Where the questions come from: a line editor with history where a person sits at the terminal, else the lines of stdin.

use super::commands;
use crate::cli::Failure;
use crate::cli::terminal::{Paint, note};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Cmd, Config, Context, Editor, Helper, Highlighter, Hinter, KeyCode, KeyEvent, Modifiers};
use std::io::{self, IsTerminal};
use std::path::PathBuf;

/// What was typed.
#[derive(Debug)]
pub enum Line {
    /// A question or a command.
    Text(String),
    /// Nothing, or Ctrl-C.
    Empty,
    /// Ctrl-D, or the end of the pipe.
    End,
}

/// The source of lines.
pub enum Lines {
    /// A person.
    Editor {
        /// The line editor.
        editor: Box<Editor<Keys, DefaultHistory>>,
        /// Where its history is kept, if anywhere.
        history: Option<PathBuf>,
    },
    /// A pipe or a file.
    Pipe,
}

/// Tab completes commands; a backslash at the end goes on in the next line.
#[derive(Helper, Highlighter, Hinter)]
pub struct Keys;

impl Validator for Keys {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if context.input().ends_with('\\') { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Completer for Keys {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let Some(begun) = line[..position].strip_prefix('/') else { return Ok((0, Vec::new())) };
        Ok((0, commands::names().filter(|name| name.starts_with(begun)).map(|name| format!("/{name} ")).collect()))
    }
}

impl Lines {
    /// The editor where stdin and stderr are a terminal, else the pipe.
    pub fn open() -> Result<Lines, Failure> {
        if !io::stdin().is_terminal() {
            return Ok(Lines::Pipe);
        }
        let failed = |e: ReadlineError| Failure::error(format!("cannot edit lines here: {e}"));
        // A paste of several lines is one question: the terminal brackets it, and the editor keeps its line ends.
        let config = Config::builder().bracketed_paste(true).history_ignore_space(true).auto_add_history(false).build();
        let mut editor = Editor::with_config(config).map_err(failed)?;
        editor.set_helper(Some(Keys));
        editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::ALT), Cmd::Newline);
        let history = history_file();
        if let Some(path) = &history {
            // The first chat has no history, and one that can't be read is not worth a word.
            let _ = editor.load_history(path);
        }
        Ok(Lines::Editor { editor: Box::new(editor), history })
    }

    /// Whether a person is there.
    pub fn interactive(&self) -> bool {
        matches!(self, Lines::Editor { .. })
    }

    /// The next line.
    pub fn next(&mut self) -> Result<Line, Failure> {
        match self {
            Lines::Pipe => read_line(),
            Lines::Editor { editor, history } => {
                let plain = "> ";
                let line = match editor.readline(&(plain, Paint::stdout().blue(plain))) {
                    Ok(line) => line,
                    Err(ReadlineError::Eof) => return Ok(Line::End),
                    Err(ReadlineError::Interrupted) => {
                        note("(Ctrl-D ends the chat)");
                        return Ok(Line::Empty);
                    }
                    Err(e) => return Err(Failure::error(format!("cannot read from the terminal: {e}"))),
                };
                let text = line.replace("\\\n", "\n");
                if text.trim().is_empty() {
                    return Ok(Line::Empty);
                }
                // What can't be remembered is still a question.
                let _ = editor.add_history_entry(line.as_str());
                if let Some(path) = history {
                    let _ = editor.append_history(path);
                }
                Ok(Line::Text(text))
            }
        }
    }
}

fn read_line() -> Result<Line, Failure> {
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(0) => Ok(Line::End),
        Ok(_) if line.trim().is_empty() => Ok(Line::Empty),
        Ok(_) => Ok(Line::Text(line.trim_end_matches(['\n', '\r']).to_owned())),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(Failure::error("stdin is no UTF-8 text")),
        Err(e) => Err(Failure::io("cannot read stdin", &e)),
    }
}

/// In the user's state folder (or the data folder where the system has no such thing).
fn history_file() -> Option<PathBuf> {
    let folder = dirs::state_dir().or_else(dirs::data_local_dir)?.join("kinglet");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("chat_history"))
}
