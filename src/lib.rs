//! kinglet runs transformer models on the CPU: memory-mapped quantised weights, attention with relative positions fused into
//! the tile, a cache that streams.

pub mod attention;
#[cfg(feature = "cli")]
pub mod cli;
pub mod error;
pub mod generate;
pub mod kv;
pub mod math;
pub mod parallel;
pub mod position;
pub mod types;
