//! `kinglet pull NAME`: fetches a model beforehand, or checks one that is here.

use super::store::{self, Wanted};
use super::terminal::{human_bytes, note};
use super::{Command, Failure};
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  kinglet pull gemma-3-270m
  kinglet pull hf:Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf
  KINGLET_MODELS=/mnt/models kinglet pull smollm2-135m-instruct

A download that broke off is continued. The path of the file is printed on stdout:
  llama-cli -m \"$(kinglet pull gemma-3-270m)\"";

/// Fetch a model, or check the sha256 of one that is here.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Pull {
    /// A short name (see `kinglet list`) or hf:OWNER/REPO/FILE.gguf; the default model where none is given
    #[arg(default_value = store::catalogue::DEFAULT)]
    name: String,
}

impl Command for Pull {
    const NAME: &'static str = "pull";

    fn run(self) -> Result<(), Failure> {
        let wanted = store::wanted(&self.name)?;
        let (path, fetched) = store::pull(&wanted)?;
        match (&wanted, fetched) {
            (Wanted::Listed(entry), true) => note(format!("{} is ready ({}, sha256 checked)", entry.name, human_bytes(entry.bytes))),
            (Wanted::Listed(entry), false) => note(format!("{} is here already, sha256 checked", entry.name)),
            (Wanted::Hub { .. }, true) => note(format!("ready; run it with -m {}", self.name)),
            (Wanted::Hub { .. }, false) => note("it is here already"),
        }
        writeln!(std::io::stdout(), "{}", path.display())?;
        Ok(())
    }
}
