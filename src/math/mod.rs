//! f32 operations on the rows of a batch, each written once over the vector primitives of `kinglet_quant::isa` and run at the
//! level that was chosen at start.
#![forbid(unsafe_code)]

mod activation;
mod hadamard;
mod norm;
mod row;

pub use activation::Activate;
pub use hadamard::hadamard;
pub use norm::normalise;
pub use row::{add_scaled, softcap};
