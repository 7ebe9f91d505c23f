//! `kinglet completions SHELL`: what makes the Tab key know our commands and flags.

use super::{Command, Failure};
use clap_complete::Shell;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  Bash, for this user:
    kinglet completions bash > ~/.local/share/bash-completion/completions/kinglet
  Zsh, into a folder of $fpath:
    kinglet completions zsh > ~/.zfunc/_kinglet
  Fish:
    kinglet completions fish > ~/.config/fish/completions/kinglet.fish";

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Completions {
    /// The shell that will read the script
    shell: Shell,
}

impl Command for Completions {
    const NAME: &'static str = "completions";

    fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::program(), "kinglet", &mut script);
        std::io::stdout().write_all(&script)?;
        Ok(())
    }
}
