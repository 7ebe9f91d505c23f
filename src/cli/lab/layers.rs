//! Which layers are looked at, and with which text.

use crate::Model;
use crate::cli::{Failure, input};
use crate::eval::prose;
use crate::text::Special;
use crate::types::TokenId;
use std::path::PathBuf;

/// Which layers, and the text.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Looked at")]
pub struct LayerFlags {
    /// Layers, from 0, with commas between [default: the first, the middle and the last]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    layers: Vec<usize>,

    /// The text whose queries and keys are looked at [default: built-in prose]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl LayerFlags {
    /// The layers of `model`.
    pub fn layers(&self, model: &Model) -> Vec<usize> {
        let n = model.spec().layers.len();
        let mut layers = if self.layers.is_empty() { vec![0, n / 2, n - 1] } else { self.layers.clone() };
        layers.dedup();
        layers
    }

    /// The first `length` tokens of the text.
    pub fn tokens(&self, model: &Model, length: usize) -> Result<Vec<TokenId>, Failure> {
        let text = match &self.file {
            Some(file) => input::text_of(file)?,
            // A sentence has more than one token.
            None => prose(length),
        };
        let tokenizer = model.tokenizer()?;
        let bos = tokenizer.bos().filter(|_| tokenizer.add_bos());
        let mut tokens: Vec<TokenId> =
            bos.into_iter().chain(tokenizer.encode(&text, Special::Plain).map_err(crate::Error::from)?).collect();
        if tokens.len() < length {
            return Err(Failure::error(format!("the text has {} tokens, and --length is {length}", tokens.len()))
                .hint("take a longer text or a smaller --length"));
        }
        tokens.truncate(length);
        Ok(tokens)
    }
}
