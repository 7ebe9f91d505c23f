//! What a model makes of a text: perplexity, as the peers measure it.
#![forbid(unsafe_code)]

mod meter;
mod perplexity;
mod recall;
mod retrieval;
mod stream;

pub use meter::{MEASURED, Meter, Resident, resident};
pub use perplexity::{Perplexity, perplexity};
pub use recall::{Dialogue, Recalled};
pub use retrieval::{ANSWER, Probe, Question, sentences};
pub use stream::{Bin, Bins, End, Scored, Streamed, by_position, likelihoods, stream};
