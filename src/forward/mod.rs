//! The forward pass over a batch of rows: what a family's recipe says, done with the kernels of `kinglet_quant`.
#![forbid(unsafe_code)]

mod attend;
mod batch;
mod content;
mod convolve;
mod decoder;
mod embed;
mod encode;
mod feed;
mod input;
mod layer;
mod linear;
mod positions;
mod profile;
mod room;
mod tap;
mod weights;

pub use batch::{Rows, Segment, Span};
pub use decoder::{Cancelled, Decoder, Means, Output, Workspace};
pub use linear::Arithmetic;
pub use positions::Positions;
pub use profile::{Amount, Profile, Spent, Step};
pub use tap::{Heads, Tap};
