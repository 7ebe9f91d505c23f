//! What templates take for granted because they are written for Python: how values are printed, `tojson` as `json.dumps`, `strftime`.

use chrono::NaiveDateTime;
use chrono::format::{Item, StrftimeItems};
use minijinja::formatting::{self, FormatStyle};
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, Output, State, Value};
use minijinja_contrib::pycompat;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use std::fmt::Write as _;
use std::io;

/// Prints a value where a template says `{{ value }}`.
pub(super) fn write(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => out.write_str(text)?,
        None => out.write_str(&text(value))?,
    }
    Ok(())
}

/// The filter `format`, with widths that the fuel can't bound: the engine makes what they ask for before it counts.
pub(super) fn format(text: &str, values: Rest<Value>) -> Result<String, Error> {
    widths_are_sane(text)?;
    formatting::format(FormatStyle::Printf, text, &values)
}

/// Methods of Python's types, `format` with the same bound.
pub(super) fn method(state: &mut State<'_, '_>, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    if let Some(text) = value.as_str().filter(|_| name == "format") {
        widths_are_sane(text)?;
    }
    pycompat::unknown_method_callback(state, value, name, arguments)
}

/// That no number in a format has more digits than any width has that a person would see.
fn widths_are_sane(text: &str) -> Result<(), Error> {
    const DIGITS: usize = 4;
    match text.split(|character: char| !character.is_ascii_digit()).find(|run| run.len() > DIGITS) {
        None => Ok(()),
        Some(run) => {
            let found: String = run.chars().take(20).collect();
            Err(Error::new(ErrorKind::InvalidOperation, format!("a format's width has at most {DIGITS} digits, found {found}")))
        }
    }
}

/// `str(value)`.
pub(super) fn text(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => repr(value),
    }
}

/// `repr(value)`, but nothing for an undefined value.
fn repr(value: &Value) -> String {
    let items = || value.try_iter().into_iter().flatten();
    match value.kind() {
        ValueKind::Undefined => String::new(),
        ValueKind::None => "None".to_owned(),
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.to_owned(),
        ValueKind::String => quoted(value.as_str().unwrap_or_default()),
        ValueKind::Seq => format!("[{}]", items().map(|item| repr(&item)).collect::<Vec<_>>().join(", ")),
        ValueKind::Map => {
            let entry = |key: Value| format!("{}: {}", repr(&key), value.get_item(&key).map(|item| repr(&item)).unwrap_or_default());
            format!("{{{}}}", items().map(entry).collect::<Vec<_>>().join(", "))
        }
        _ => value.to_string(),
    }
}

/// A text in Python's quotes.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut quoted = String::from(quote);
    for character in text.chars() {
        match character {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\\' => quoted.push_str("\\\\"),
            _ if character == quote => quoted.extend(['\\', quote]),
            _ => quoted.push(character),
        }
    }
    quoted.push(quote);
    quoted
}

/// `json.dumps(value, ensure_ascii=False, …)`, which is what Hugging Face has for `tojson`: nothing is escaped for HTML.
///
/// # Errors
/// For values that JSON doesn't have.
pub(super) fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let ensure_ascii: Option<bool> = options.get("ensure_ascii")?;
    let sort_keys: Option<bool> = options.get("sort_keys")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    options.assert_all_used()?;
    let failed = |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let mut tree = serde_json::to_value(value).map_err(failed)?;
    if sort_keys == Some(true) {
        tree.sort_all_objects();
    }
    let json = match (indent, separators.as_deref()) {
        (Some(indent), _) => dumps(&tree, PrettyFormatter::with_indent(" ".repeat(indent.min(64)).as_bytes())),
        (None, Some([item, key])) => dumps(&tree, Separators { item, key }),
        (None, _) => dumps(&tree, Separators { item: ", ", key: ": " }),
    };
    let json = json.map_err(failed)?;
    Ok(if ensure_ascii == Some(true) { ascii(&json) } else { json })
}

fn dumps(tree: &serde_json::Value, formatter: impl Formatter) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::new();
    tree.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// JSON with every character outside of ASCII as `\u` escapes of UTF-16.
fn ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a String doesn't fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

/// JSON on one line, with Python's spaces.
struct Separators<'s> {
    item: &'s str,
    key: &'s str,
}

impl Separators<'_> {
    fn between<W: io::Write + ?Sized>(&self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(self.item.as_bytes()) }
    }
}

impl Formatter for Separators<'_> {
    fn begin_array_value<W: io::Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.between(writer, first)
    }

    fn begin_object_key<W: io::Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.between(writer, first)
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.key.as_bytes())
    }
}

/// `now.strftime(format)`.
///
/// # Errors
/// Where the format has a specifier that doesn't exist, or one for time zones.
pub(super) fn strftime(now: NaiveDateTime, format: &str) -> Result<String, Error> {
    let wrong = || Error::new(ErrorKind::InvalidOperation, format!("strftime_now can't write the format {format:?}"));
    let items: Vec<Item<'_>> = StrftimeItems::new(format).collect();
    if items.iter().any(|item| matches!(item, Item::Error)) {
        return Err(wrong());
    }
    let mut text = String::new();
    write!(text, "{}", now.format_with_items(items.into_iter())).map_err(|_| wrong())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_printed_as_python_prints_them() {
        let value = Value::from(minijinja::value::Serde(serde_json::json!({"a": [true, null, "it's", 1.5], "b": "x\"\n"})));
        assert_eq!(text(&value), r#"{'a': [True, None, "it's", 1.5], 'b': 'x"\n'}"#);
        assert_eq!((text(&Value::UNDEFINED), text(&Value::from("plain"))), (String::new(), "plain".to_owned()));
    }

    #[test]
    fn strange_formats_of_time_are_errors() {
        let now = chrono::NaiveDate::from_ymd_opt(2024, 7, 6).unwrap().and_hms_opt(8, 5, 9).unwrap();
        assert_eq!(strftime(now, "%d %b %Y, %-d %B %H:%M").unwrap(), "06 Jul 2024, 6 July 08:05");
        assert!(strftime(now, "%Q").is_err() && strftime(now, "%Z %").is_err());
    }
}
