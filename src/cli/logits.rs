//! `kinglet logits`: what a model computes for given tokens, as a safetensors file, for people who port or check models.

use super::flags::ModelFlags;
use super::{Command, Failure, input};
use crate::SessionOptions;
use crate::forward::Output;
use crate::kv::Policy;
use crate::types::TokenId;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  kinglet logits -m model.gguf --tokens \"1,5,7\" -o logits.safetensors
  kinglet tokenize --ids \"Hello\" > ids.json
  kinglet logits --tokens @ids.json --last 1 -o last.safetensors
  kinglet logits -m ./hf-folder --tokens 1,5,7 --reference --hidden -o hidden.safetensors

In Python:  safetensors.numpy.load_file(\"logits.safetensors\")[\"logits\"]
The model may be a folder with config.json and safetensors and without a tokenizer.";

/// Write the logits (or hidden states) of given tokens to a file.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Logits {
    /// Token ids with commas or spaces between, or @FILE with such a list (a JSON array is one too)
    #[arg(long, value_name = "IDS|@FILE")]
    tokens: String,

    /// For models with an encoder and a decoder: the decoder's tokens
    #[arg(long, value_name = "IDS|@FILE")]
    decoder_tokens: Option<String>,

    /// Only the last N positions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    last: Option<u32>,

    /// Hidden states after the last norm instead of logits: tensor `hidden` [rows, d_model]
    #[arg(long)]
    hidden: bool,

    /// The file to write: tensor `logits` [rows, vocabulary], f32
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    model: ModelFlags,
}

impl Command for Logits {
    const NAME: &'static str = "logits";

    fn run(self) -> Result<(), Failure> {
        let tokens = ids(&self.tokens)?;
        let decoder_tokens = self.decoder_tokens.as_deref().map(ids).transpose()?;
        let model = self.model.open()?;
        let fed = match (decoder_tokens.as_ref(), &model.spec().encoder) {
            (None, None) => &tokens,
            (Some(decoder_tokens), Some(_)) => decoder_tokens,
            (Some(_), None) => return Err(Failure::usage(format!("--decoder-tokens: {} has no encoder", model.spec().family))),
            (None, Some(encoder)) => {
                let first = encoder.decoder_start;
                let hint = format!("--tokens are read by its encoder; a decoder's text begins with token {first}");
                return Err(Failure::usage(format!("{} needs --decoder-tokens", model.spec().family)).hint(hint));
            }
        };
        let (name, width, output) = match self.hidden {
            true => ("hidden", model.spec().d_model, Output::Hidden),
            false => ("logits", model.spec().n_vocab, Output::Logits),
        };
        if self.hidden && model.spec().is_encoder() {
            let rows = model.hidden_states(&[tokens])?.concat();
            let first = self.last.map_or(0, |last| rows.len().saturating_sub(last as usize * width));
            return self.write(name, width, &rows[first..]);
        }
        let mut session = model.session(SessionOptions { context: Some(fed.len()), policy: Some(Policy::Stop) })?;
        if model.has_encoder() {
            session.encode(&tokens)?;
        }
        let rows = session.outputs_of(fed, self.last.map(|last| last as usize), output)?;
        self.write(name, width, &rows)
    }
}

impl Logits {
    fn write(&self, name: &str, width: usize, rows: &[f32]) -> Result<(), Failure> {
        write(&self.output, name, width, rows).map_err(|e| Failure::io(format!("cannot write {}", self.output.display()), &e))
    }
}

/// `1,5,7`, `[1, 5, 7]`, `1 5 7`, or `@FILE` with one of these.
fn ids(list: &str) -> Result<Vec<TokenId>, Failure> {
    let text = match list.strip_prefix('@') {
        Some(file) => input::text_of(Path::new(file))?,
        None => list.to_owned(),
    };
    let words = text.split(|c: char| c == ',' || c == '[' || c == ']' || c.is_whitespace()).filter(|word| !word.is_empty());
    let wrong = |word: &str| Failure::usage(format!("{word:?} is no token id")).hint("write them as in --tokens \"1,5,7\"");
    let ids: Vec<TokenId> = words.map(|word| word.parse().map(TokenId).map_err(|_| wrong(word))).collect::<Result<_, _>>()?;
    if ids.is_empty() { Err(Failure::usage("there are no token ids in --tokens")) } else { Ok(ids) }
}

/// One f32 tensor `[rows, width]` as safetensors: eight bytes with the header's length, a JSON header, the numbers.
fn write(path: &Path, name: &str, width: usize, values: &[f32]) -> std::io::Result<()> {
    let header = serde_json::json!({
        name: { "dtype": "F32", "shape": [values.len() / width, width], "data_offsets": [0, values.len() * 4] }
    });
    // Spaces bring the numbers to a multiple of 8, so that readers may map them.
    let mut header = header.to_string();
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    crate::file::replace(path, |file| {
        let mut out = BufWriter::new(file);
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        for value in values {
            out.write_all(&value.to_le_bytes())?;
        }
        out.flush()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_in_every_shape_that_people_paste() {
        for list in ["1,5,7", " 1, 5 ,7\n", "[1,5,7]", "1 5 7"] {
            assert_eq!(ids(list).unwrap(), [TokenId(1), TokenId(5), TokenId(7)], "{list}");
        }
        for bad in ["", "[]", "1,x", "-1", "1.5", "4294967296", "@/no/such/file"] {
            assert!(ids(bad).is_err(), "{bad}");
        }
    }
}
