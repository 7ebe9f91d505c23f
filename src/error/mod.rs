//! What can go wrong, one enum per floor: each variant says what, where, what was expected and what was found.

#![forbid(unsafe_code)]

pub mod generate;
