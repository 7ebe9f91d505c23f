//! From a row of logits to the next token, and when to stop. A [`Sampler`] runs the chain of samplers that llama.cpp's users
//! know, with the same names, order and defaults; a [`Stopper`] decides what of the text may be shown and when it ends; a
//! [`PromptLookup`] guesses tokens ahead, which [`verify`] accepts only where the sampler would have chosen them anyway.
//!
//! ```
//! use kinglet::generate::{Sampler, SamplerOptions};
//!
//! let options = SamplerOptions { temp: 0.7, seed: Some(42), ..SamplerOptions::default() };
//! let mut sampler = Sampler::new(options, 4)?;
//! let sampled = sampler.sample(&[0.1, 2.0, 1.5, -3.0])?;
//! sampler.accept(sampled.token); // the penalties look at what was accepted
//! # Ok::<(), kinglet::error::generate::GenerateError>(())
//! ```

#![forbid(unsafe_code)]

mod candidates;
mod exp;
mod finish;
mod history;
mod lookup;
mod options;
mod random;
mod sampler;
mod samplers;
mod select;
mod stop;

pub use finish::{FinishReason, Step, Stopper};
pub use lookup::{LookupOptions, PromptLookup, verify};
pub use options::SamplerOptions;
pub(crate) use random::Random;
pub use sampler::{Sampled, Sampler};
pub use samplers::{Breakers, SAMPLERS, SamplerKind};
pub use stop::{StopStrings, Text};
