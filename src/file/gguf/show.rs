//! Metadata for people: what kind a value is of, and as much of it as fits into a line.

use super::arrays::{float, integer, truth};
use super::kind::{ArrayHead, Kind};
use crate::error::file::Excerpt;
use crate::file::cursor::Cursor;

/// Characters of a text, and elements of an array, that are shown.
const TEXT: usize = 80;
const ELEMENTS: usize = 6;

/// `u32`, `text`, `array of i32 [262144]`.
pub(super) fn describe(kind: Kind, value: &Cursor<'_>, key: &str) -> String {
    match kind {
        Kind::Array => match ArrayHead::read(&mut value.clone(), key) {
            Ok(head) => format!("array of {} [{}]", head.of, head.count),
            Err(_) => kind.name().to_owned(),
        },
        scalar => scalar.name().to_owned(),
    }
}

/// The value, cut where it is long. Texts within arrays are in quotes.
pub(super) fn show(kind: Kind, value: &Cursor<'_>, key: &str) -> String {
    one(kind, &mut value.clone(), key, false).unwrap_or_else(|| "(unreadable)".to_owned())
}

fn one(kind: Kind, cursor: &mut Cursor<'_>, key: &str, within: bool) -> Option<String> {
    match kind {
        Kind::Text => {
            let bytes = cursor.string(format_args!("a text")).ok()?;
            // Cut first: a text may be as large as the file.
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * TEXT + 4)]);
            let excerpt = Excerpt(&text, TEXT);
            Some(if within { format!("\"{excerpt}\"") } else { excerpt.to_string() })
        }
        Kind::Array => {
            let head = ArrayHead::read(cursor, key).ok()?;
            if head.of == Kind::Array && within {
                return Some("[…]".to_owned());
            }
            let mut parts = (0..head.count.min(ELEMENTS)).map(|_| one(head.of, cursor, key, true)).collect::<Option<Vec<_>>>()?;
            if head.count > ELEMENTS {
                parts.push("…".to_owned());
            }
            Some(format!("[{}]", parts.join(", ")))
        }
        scalar => {
            let bytes = cursor.take(scalar.size()? as u64, format_args!("a value")).ok()?;
            integer(scalar)
                .map(|read| read(bytes).to_string())
                .or_else(|| float(scalar).map(|read| number(scalar, read(bytes))))
                .or_else(|| truth(scalar).map(|read| read(bytes).to_string()))
        }
    }
}

/// With the digits that the kind has: 1e-6 as f32 is not 9.999999974752427e-7.
fn number(kind: Kind, value: f64) -> String {
    if kind == Kind::F32 { format!("{:?}", value as f32) } else { format!("{value:?}") }
}
