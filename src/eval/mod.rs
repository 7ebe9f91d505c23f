//! What a model makes of a text: perplexity, as the peers measure it, and what the position lab measures beyond: streams, retrieval,
//! recall, where attention looks, and whether it does the same far out. Everything here is data; printing is done elsewhere.
#![forbid(unsafe_code)]

mod decay;
mod heads;
mod meter;
mod perplexity;
mod recall;
mod repeats;
mod retrieval;
mod stability;
mod stream;

pub use decay::{Curve, Distance, Spread, curve, spreads};
pub use heads::{HeadShape, LayerHeads, Turning, entropy, heads, softmax};
pub use meter::{MEASURED, Meter, Resident, resident};
pub use perplexity::{Perplexity, perplexity};
pub use recall::{Dialogue, Recalled};
pub use repeats::repeated;
pub use retrieval::{ANSWER, Probe, Question, prose, sentences};
pub use stability::{Stability, stability};
pub use stream::{Bin, Bins, End, Scored, Streamed, by_position, likelihoods, stream};
