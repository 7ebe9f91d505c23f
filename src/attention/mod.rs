//! Attention over a paged cache, with softmax taken online: no score matrix and no rotated copy of the cache ever lies in memory. Keys
//! are taken in fixed ranges (pages) with a partial softmax each, merged in order, so that a prefill, a decode whose pages are shared out
//! among workers, and any mixture of sequences give the same bits.
#![forbid(unsafe_code)]

mod apart;
mod element;
mod merge;
mod slots;
mod softmax;
#[cfg(test)]
mod tests;
mod tile;

pub use element::{BLOCK, CacheType, Numbers, Part};
pub use merge::{Merge, partial_in, partial_len};
pub use slots::{Content, Slots, View};
pub use tile::{Attend, Partial, rows_together};

/// Keys that share one partial softmax; the tokens of a cache page.
pub const PAGE: usize = 128;

/// Keys that lie side by side in a page: one or more whole vectors on every ISA level.
pub const TILE: usize = 16;
