//! Keeps a message's text from becoming structure. U+FDD0, which no text may contain (Unicode reserves it for use inside a program), is
//! put before everything that spells a control token; after the template has run, it says where no special token begins.
//!
//! The marker stands before the token's text, not inside it, so that a template that looks for `</think>` in a message finds it.

use super::super::Tokenizer;
use serde_json::Value;

const MARKER: char = '\u{FDD0}';

/// Marks texts for one tokenizer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard<'t> {
    tokenizer: &'t Tokenizer,
}

impl<'t> Guard<'t> {
    pub(super) fn new(tokenizer: &'t Tokenizer) -> Self {
        Guard { tokenizer }
    }

    /// `text` with a marker before every control token in it. A marker that was there becomes U+FFFD.
    pub(super) fn mark(&self, text: &str) -> String {
        let text = text.replace(MARKER, "\u{FFFD}");
        let mut marked = String::with_capacity(text.len() + 16);
        let mut end = 0;
        for start in self.tokenizer.control_starts(&text) {
            marked.push_str(&text[end..start]);
            marked.push(MARKER);
            end = start;
        }
        marked + &text[end..]
    }

    /// `value` with every text in it marked.
    pub(super) fn mark_all(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.mark(text)),
            Value::Array(items) => items.iter().map(|item| self.mark_all(item)).collect(),
            Value::Object(entries) => entries.iter().map(|(key, item)| (self.mark(key), self.mark_all(item))).collect(),
            other => other.clone(),
        }
    }
}

/// `marked` without its markers, and where they were.
pub(super) fn unmark(marked: &str) -> (String, Vec<usize>) {
    let mut text = String::with_capacity(marked.len());
    let mut barriers = Vec::new();
    for (number, part) in marked.split(MARKER).enumerate() {
        if number > 0 && barriers.last() != Some(&text.len()) {
            barriers.push(text.len());
        }
        text.push_str(part);
    }
    (text, barriers)
}

#[cfg(test)]
mod tests {
    use super::unmark;

    #[test]
    fn markers_become_barriers() {
        assert_eq!(unmark("a\u{FDD0}<x>\u{FDD0}\u{FDD0}b"), ("a<x>b".to_owned(), vec![1, 4]));
        assert_eq!(unmark("plain"), ("plain".to_owned(), vec![]));
    }
}
