//! kinglet runs transformer models on the CPU: memory-mapped quantised weights, attention with relative positions fused into
//! the tile, a cache that streams.

pub mod error;
pub mod text;
pub mod types;
