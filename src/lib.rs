//! kinglet runs transformer models on the CPU: memory-mapped quantised weights, attention with relative positions fused into
//! the tile, a cache that streams.

#[cfg(feature = "cli")]
pub mod cli;
pub mod types;
