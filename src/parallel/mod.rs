//! The team of workers that goes through a forward pass together, and how work is cut among them: beforehand, into pieces, of which
//! whoever is done early takes over some. No result depends on where cuts fall or on who runs a piece, so that any number of threads gives
//! the same bits.

mod cut;
pub mod machine;
mod mask;
mod pieces;
mod team;

pub use cut::{cut_by_cost, cut_evenly, share, taper};
pub use mask::CpuMask;
pub use pieces::Pieces;
pub use team::{Crew, Crossings, Team};
