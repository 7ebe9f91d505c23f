//! The environment that templates run in, set up as Hugging Face's `apply_chat_template` sets up Jinja.

use super::failure::Refusal;
use super::python;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};
use std::borrow::Cow;

/// What a template may spend: about one for each instruction and for each 64 bytes that it makes. This is a part of a second and 64 MB at
/// worst; a conversation of a thousand messages takes a twentieth of it.
const FUEL: u64 = 1_000_000;

/// `trim_blocks`, `lstrip_blocks`, loop controls, Python's methods, and the functions that templates expect.
pub(super) fn hugging_face() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().expect("Jinja's own delimiters"));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(python::method);
    environment.set_formatter(python::write);
    // Errors carry the place in the source only so.
    environment.set_debug(true);
    environment.set_fuel(Some(FUEL));
    environment.add_function("raise_exception", raise_exception);
    environment.add_filter("format", python::format);
    environment.add_filter("tojson", python::tojson);
    environment.add_filter("string", python::text);
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment
}

fn raise_exception(message: &str) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, "refused").with_source(Refusal(message.to_owned())))
}

/// `{% generation %}…{% endgeneration %}`, which marks the assistant's words for training, means nothing here: it becomes a block that
/// changes nothing, with the same white-space control and as many lines.
pub(super) fn without_generation_tags(source: &str) -> Cow<'_, str> {
    let mut changed: Cow<'_, str> = source.into();
    for (tag, block) in [("generation", "if true"), ("endgeneration", "endif")] {
        for (open, close) in [("{%", "%}"), ("{%-", "%}"), ("{%", "-%}"), ("{%-", "-%}")] {
            let written = format!("{open} {tag} {close}");
            if changed.contains(&written) {
                changed = changed.replace(&written, &format!("{open} {block} {close}")).into();
            }
        }
    }
    changed
}
