//! Transformer model families as data: hyper-parameters, tensor names and layer recipes, without any arithmetic.
//! A family is one file in `family/` and one line in [`FAMILIES`].

#![forbid(unsafe_code)]

mod metadata;
mod spec;

pub use metadata::{Layout, Metadata, Value};
pub use spec::*;
