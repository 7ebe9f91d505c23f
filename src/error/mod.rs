//! What can go wrong, floor by floor. Each variant says what was being done to what, what was expected and what was found, in one line
//! for a person.

mod text;

pub use text::TextError;
