//! What a model makes of a text: perplexity, as the peers measure it.
#![forbid(unsafe_code)]

mod perplexity;

pub use perplexity::{Perplexity, perplexity};
