//! `kinglet perplexity -m MODEL -f TEXT`: llama-perplexity's figure, to compare formats, models and programs with each other.

use super::flags::ModelFlags;
use super::terminal::{count_bar, note};
use super::{Command, Failure, input, interrupt};
use crate::SessionOptions;
use crate::eval::{Perplexity as Score, perplexity};
use crate::kv::Policy;
use crate::text::Special;
use crate::types::TokenId;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  kinglet perplexity -f wiki.test.raw
  kinglet perplexity -m gemma-3-270m -f wiki.test.raw -c 512 --chunks 20
  kinglet perplexity -f book.txt --reference --chunks 2        the plain f32 arithmetic

The text is cut into chunks of the context's length; the second half of each is scored, as llama-perplexity does it, so that the \
figures can be compared: lower is better, and formats of one model differ by a few per cent.";

/// Measure how well a model predicts a text.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Perplexity {
    /// The text; stdin where none is given
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Tokens of a chunk
    #[arg(short, long, value_name = "N", visible_alias = "ctx-size", default_value_t = 512)]
    context: usize,

    /// Chunks at most; -1: the whole text
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    chunks: i64,

    /// Print JSON: perplexity, error, tokens, chunks, context, seconds
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    model: ModelFlags,
}

impl Command for Perplexity {
    const NAME: &'static str = "perplexity";

    fn run(self) -> Result<(), Failure> {
        let text = match &self.file {
            Some(file) => input::text_of(file)?,
            None => input::stdin("the text")?,
        };
        let model = self.model.open()?;
        let tokenizer = model.tokenizer()?;
        let bos = tokenizer.bos().filter(|_| tokenizer.add_bos());
        let mut tokens: Vec<TokenId> =
            bos.into_iter().chain(tokenizer.encode(&text, Special::Plain).map_err(crate::Error::from)?).collect();
        if self.context < 4 || tokens.len() < 2 * self.context {
            let (found, needed) = (tokens.len(), 2 * self.context);
            return Err(Failure::error(format!("the text has {found} tokens, two chunks of {} need {needed}", self.context))
                .hint("take a longer text or a smaller -c (at least 4)"));
        }
        if let Ok(chunks) = usize::try_from(self.chunks) {
            // Two chunks are the least that the measurement takes; one asked for is cut off below.
            tokens.truncate(chunks.max(2).saturating_mul(self.context));
        }
        let wanted = usize::try_from(self.chunks).unwrap_or(usize::MAX).min(tokens.len() / self.context);
        if wanted == 0 {
            return Err(Failure::usage("--chunks is 0, expected at least 1"));
        }
        let mut session = model.session(SessionOptions { context: Some(self.context), policy: Some(Policy::Stop) })?;
        let interrupt = interrupt::listen();
        let (begin, mut done) = (Instant::now(), 0);
        let bar = count_bar(wanted as u64, "scoring chunks");
        let each_line = !io::stderr().is_terminal();
        let cancel = interrupt.flag();
        let score = perplexity(&mut session, &tokens, self.context, bos, Some(&cancel), |chunk, _, score| {
            done = chunk;
            bar.set_position(chunk as u64);
            bar.set_message(format!("perplexity {:.4}", score.value()));
            if each_line {
                note(format!("[{chunk}/{wanted}] {:.4}", score.value()));
            }
            chunk < wanted
        })?;
        bar.finish_and_clear();
        self.print(&score, done, begin.elapsed().as_secs_f64())?;
        if interrupt.raised() { Err(Failure::Interrupted) } else { Ok(()) }
    }
}

impl Perplexity {
    fn print(&self, score: &Score, chunks: usize, seconds: f64) -> Result<(), Failure> {
        let mut out = io::stdout();
        if self.json {
            let row = serde_json::json!({
                "perplexity": score.value(), "error": score.error(), "tokens": score.tokens, "chunks": chunks, "context": self.context,
                "seconds": seconds,
            });
            writeln!(out, "{row}")?;
        } else {
            writeln!(out, "Final estimate: PPL = {:.4} +/- {:.5}", score.value(), score.error())?;
            note(format!("{} tokens of {chunks} chunks in {seconds:.1} s", score.tokens));
        }
        Ok(())
    }
}
