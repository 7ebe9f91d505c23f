//! kinglet runs transformer models on the CPU: memory-mapped quantised weights, attention with relative positions fused into
//! the tile, a cache that streams.
//!
//! [`Model::open`] is where a program begins; [`Session`] is what it works with.

pub mod attention;
#[cfg(feature = "cli")]
pub mod cli;
pub mod error;
pub mod eval;
pub mod file;
pub mod forward;
pub mod generate;
pub mod kv;
pub mod math;
pub mod parallel;
pub mod position;
pub mod session;
pub mod text;
pub mod types;

pub use error::Error;
pub use generate::{FinishReason, SamplerOptions};
pub use kinglet_quant::isa::Level;
pub use session::{
    Budget, EmbedOptions, Event, GenerateOptions, Generation, Model, ModelOptions, Pooling, PromptCache, Session, SessionOptions, Stats,
    feed_together,
};
pub use text::Message;
pub use types::TokenId;

/// The program in README.md, for `cargo test --doc`.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
