//! Relative-position schemes: one file each, filling the slots that the attention tile knows (`docs/architecture.md`).
#![forbid(unsafe_code)]

mod distance;
mod rope;
mod scheme;

pub use distance::{DistanceBias, Relative, t5_bucket};
pub use rope::{Rotation, TurnTable};
pub use scheme::Scheme;
