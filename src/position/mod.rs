//! Relative-position schemes: one file each, filling the slots that the attention tile knows (`docs/architecture.md`).
#![forbid(unsafe_code)]

mod rope;

pub use rope::{Rotation, TurnTable};
