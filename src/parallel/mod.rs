//! The team of workers that goes through a forward pass together, and how work is cut among them. Cuts are static, and no
//! result depends on where they fall, so that any number of threads gives the same bits.

mod cut;
pub mod machine;
mod mask;
mod team;

pub use cut::{cut_by_cost, cut_evenly, share};
pub use mask::CpuMask;
pub use team::{Crew, Crossings, Team};
