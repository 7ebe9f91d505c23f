//! The forward pass over a batch of rows: what a family's recipe says, done with the kernels of `kinglet_quant`.
#![forbid(unsafe_code)]

mod attend;
mod batch;
mod decoder;
mod embed;
mod feed;
mod input;
mod linear;
mod weights;

pub use batch::{Rows, Segment, Span};
pub use decoder::{Decoder, Means, Output, Rotations, Workspace};
pub use linear::Arithmetic;
