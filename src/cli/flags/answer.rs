//! How long an answer may be and what ends it.

use super::SamplingFlags;
use crate::GenerateOptions;
use crate::cli::Failure;
use clap::Args;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How long an answer may be, what ends it, how its tokens are chosen.
#[derive(Debug, Args)]
#[command(next_help_heading = "Answer")]
pub struct AnswerFlags {
    /// Tokens at most; -1: until the model ends or the context is full
    #[arg(short, long, value_name = "N", visible_aliases = ["predict", "max-tokens"], default_value_t = 512, allow_negative_numbers = true)]
    n_predict: i64,

    /// A text that ends the answer and is not part of it; may be repeated
    #[arg(short = 'r', long, value_name = "TEXT", visible_alias = "reverse-prompt")]
    stop: Vec<String>,

    /// Go on where the model would end
    #[arg(long)]
    ignore_eos: bool,

    /// Guess N tokens ahead from the text's own repetitions: faster for summaries, edits and code, and the answer is the same
    #[arg(long, value_name = "N", visible_alias = "draft-max", value_parser = clap::value_parser!(u8).range(0..=64))]
    speculate: Option<u8>,

    /// Timings, memory and counts on stderr at the end
    #[arg(long)]
    pub stats: bool,

    #[command(flatten)]
    sampling: SamplingFlags,
}

impl AnswerFlags {
    /// In the library's terms; `advised` is the temperature for this model, `cancel` the flag that ends the answer.
    pub fn options(&self, advised: Option<f32>, cancel: Arc<AtomicBool>) -> Result<GenerateOptions, Failure> {
        Ok(GenerateOptions {
            sampler: self.sampling.options(advised)?,
            max_tokens: self.max_tokens()?,
            stop: self.stop.clone(),
            ignore_eos: self.ignore_eos,
            speculate: self.speculate.map(usize::from),
            cancel: Some(cancel),
        })
    }

    /// `-n`; `None` is no bound.
    pub fn max_tokens(&self) -> Result<Option<usize>, Failure> {
        match self.n_predict {
            -1 | -2 => Ok(None),
            n => usize::try_from(n).map(Some).map_err(|_| Failure::usage(format!("-n is {n}, expected a number of tokens or -1"))),
        }
    }
}
