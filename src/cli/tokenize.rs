//! `kinglet tokenize`: what a model sees of a text.

use super::flags::TokenizerFlags;
use super::{Command, Failure, input};
use crate::Error;
use crate::text::Special;
use crate::types::TokenId;
use std::io::{self, Write};

const EXAMPLES: &str = "\
Examples:
  kinglet tokenize \"Hello world\"
  kinglet tokenize --ids < page.txt | jq length
  kinglet tokenize -m gemma-3-270m --special \"<start_of_turn>user\"

A line for each token: its id and its piece, in quotes with escapes. Works on files with a vocabulary alone.";

/// Show the tokens of a text.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Tokenize {
    /// The text; stdin where none is given
    #[arg(allow_hyphen_values = true)]
    text: Option<String>,

    /// One JSON array of ids
    #[arg(long)]
    ids: bool,

    /// Leave out the token that begins a text
    #[arg(long)]
    no_bos: bool,

    /// Match special tokens that the text spells, as in <|im_start|>
    #[arg(long)]
    special: bool,

    #[command(flatten)]
    model: TokenizerFlags,
}

impl Command for Tokenize {
    const NAME: &'static str = "tokenize";

    fn run(self) -> Result<(), Failure> {
        let text = match &self.text {
            Some(text) => text.clone(),
            None => input::stdin("the text")?,
        };
        let tokenizer = self.model.tokenizer()?;
        let bos = tokenizer.bos().filter(|_| tokenizer.add_bos() && !self.no_bos);
        let special = if self.special { Special::Match } else { Special::Plain };
        let tokens: Vec<TokenId> = bos.into_iter().chain(tokenizer.encode(&text, special).map_err(Error::from)?).collect();
        let mut out = io::BufWriter::new(io::stdout().lock());
        if self.ids {
            let ids: Vec<u32> = tokens.iter().map(|token| token.0).collect();
            writeln!(out, "{}", serde_json::to_string(&ids).map_err(io::Error::from)?)?;
        } else {
            for token in tokens {
                writeln!(out, "{token:>6}  {:?}", tokenizer.piece(token).unwrap_or_default())?;
            }
        }
        out.flush()?;
        Ok(())
    }
}
