//! Groups of flags that several commands share, with llama.cpp's names, and what they become in the library's terms.

mod answer;
mod mask;
mod model;
mod sampling;

pub use answer::AnswerFlags;
pub use mask::MaskFlags;
pub use model::{ContextFlags, Full, ModelFlags, OpenFlags, TokenizerFlags};
pub use sampling::SamplingFlags;
