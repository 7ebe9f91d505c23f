//! Text that comes in: from a file, from stdin, from a command line with escapes. What is not UTF-8 is refused in one line.

use super::Failure;
use super::terminal::note;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

/// A whole file as text.
pub fn text_of(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure::io(format!("cannot read {}", path.display()), &e))?;
    utf8(bytes, &path.display().to_string())
}

/// All of stdin as text; `what` is asked for where a person sits there.
pub fn stdin(what: &str) -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        note(format!("type {what}, then Ctrl-D"));
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map_err(|e| Failure::io("cannot read stdin", &e))?;
    utf8(bytes, "stdin")
}

fn utf8(bytes: Vec<u8>, whence: &str) -> Result<String, Failure> {
    String::from_utf8(bytes)
        .map_err(|e| Failure::error(format!("{whence} is no UTF-8 text: byte {} breaks it", e.utf8_error().valid_up_to())))
}

/// `\n`, `\r`, `\t`, `\\`, `\"` and `\'` become what they stand for; any other backslash stays.
pub fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let meant = match (c, chars.peek()) {
            ('\\', Some('n')) => '\n',
            ('\\', Some('r')) => '\r',
            ('\\', Some('t')) => '\t',
            ('\\', Some(&same @ ('\\' | '"' | '\''))) => same,
            _ => {
                plain.push(c);
                continue;
            }
        };
        chars.next();
        plain.push(meant);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn escapes_become_what_they_stand_for() {
        assert_eq!(unescape(r"a\nb\tc\\n\'\x\"), "a\nb\tc\\n'\\x\\");
    }
}
