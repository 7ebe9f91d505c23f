//! The program: one file per command, and one list of them. A command parses its flags, calls the library and prints; what it
//! prints for others to use goes to stdout, all talk (progress, timings, warnings) to stderr.

mod answer;
mod bench;
mod chat;
mod completions;
mod doctor;
mod embed;
mod failure;
mod flags;
mod input;
mod inspect;
mod interrupt;
mod lab;
mod list;
mod logits;
mod machine;
mod perplexity;
mod pull;
mod quantize;
mod run;
mod stats;
mod store;
mod terminal;
mod tokenize;

pub use failure::Failure;

use clap::ArgMatches;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::process::ExitCode;

/// A command of the program; its flags are its fields.
pub trait Command: clap::Args {
    /// What the person types after `kinglet`.
    const NAME: &'static str;

    /// Does it. Output goes to stdout as it is made.
    fn run(self) -> Result<(), Failure>;
}

/// A line of the list: how to describe a command to clap, and how to run it.
struct Entry {
    name: &'static str,
    describe: fn(clap::Command) -> clap::Command,
    run: fn(&ArgMatches) -> Result<(), Failure>,
}

const fn entry<C: Command>() -> Entry {
    Entry { name: C::NAME, describe: C::augment_args, run: parse_and_run::<C> }
}

/// Every command, in the order of `kinglet --help`.
#[rustfmt::skip]
const COMMANDS: &[Entry] = &[
    entry::<run::Run>(),
    entry::<chat::Chat>(),
    entry::<pull::Pull>(),
    entry::<list::List>(),
    entry::<inspect::Inspect>(),
    entry::<embed::Embed>(),
    entry::<tokenize::Tokenize>(),
    entry::<quantize::Quantize>(),
    entry::<perplexity::Perplexity>(),
    entry::<bench::Bench>(),
    entry::<lab::Lab>(),
    entry::<logits::Logits>(),
    entry::<doctor::Doctor>(),
    entry::<completions::Completions>(),
];

const ABOUT: &str = "Run language models on this machine's processor: offline, in a terminal, a pipe or a program.";

const EPILOGUE: &str = "\
A model (-m) is a file, a folder with config.json and safetensors, a short name (see `kinglet list`) or hf:OWNER/REPO/FILE.gguf. \
Without -m the small default model is used, and fetched at first use.

Environment:
  KINGLET_MODELS   the folder where models are kept (see `kinglet list`)
  KINGLET_OFFLINE  1: never touch the network
  KINGLET_ISA      use another instruction-set level than the best of this processor
  NO_COLOR         no colours

Exit codes: 0 done, 1 an error (one line on stderr says which), 2 a wrong command line, \
130 interrupted (128 and the signal's number: 143 for SIGTERM).";

/// The whole command line, as clap sees it.
fn program() -> clap::Command {
    let program = clap::Command::new("kinglet")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(EPILOGUE)
        .subcommand_required(true)
        .arg_required_else_help(true);
    COMMANDS.iter().fold(program, |program, entry| program.subcommand((entry.describe)(clap::Command::new(entry.name))))
}

/// Parses the command line, runs the command, says what went wrong.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(report_panic));
    let matches = match program().try_get_matches_from(std::env::args_os().map(spelled_out)) {
        Ok(matches) => matches,
        Err(error) => {
            // Where even the help can't be written there is nobody to tell.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(failure::code::USAGE),
            };
        }
    };
    let Some((name, flags)) = matches.subcommand() else { return ExitCode::from(failure::code::USAGE) };
    let Some(entry) = COMMANDS.iter().find(|entry| entry.name == name) else { return ExitCode::from(failure::code::USAGE) };
    match (entry.run)(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// llama.cpp has flags of several letters behind one dash, which clap reads as several flags.
fn spelled_out(argument: OsString) -> OsString {
    const LONG: &[(&str, &str)] = &[("-pg", "--pg"), ("-sys", "--system")];
    LONG.iter().find(|(short, _)| argument == *short).map_or(argument, |(_, long)| OsString::from(long))
}

fn parse_and_run<C: Command>(matches: &ArgMatches) -> Result<(), Failure> {
    C::from_arg_matches(matches).map_err(Failure::usage)?.run()
}

/// A panic is a mistake of ours: one line that can be put into a report, not a page.
fn report_panic(panic: &std::panic::PanicHookInfo<'_>) {
    if crate::text::panics_are_errors() {
        return;
    }
    let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    eprintln!("error: kinglet has a bug{place}: {}", panic.payload_as_str().unwrap_or("no message"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every command and flag, and values that fit some of them, or none.
    fn words() -> Vec<String> {
        let program = program();
        let flags: Vec<&clap::Arg> = program.get_subcommands().flat_map(clap::Command::get_arguments).collect();
        let long = flags.iter().filter_map(|flag| flag.get_long()).map(|name| format!("--{name}"));
        let short = flags.iter().filter_map(|flag| flag.get_short()).map(|name| format!("-{name}"));
        let values =
            ["", "-", "--", "0", "1", "-1", "18446744073709551616", "1e999", "NaN", "0.5", "a,b;c", "rope:yarn=4", "0-3", "é\u{0}", "\n"];
        let commands = COMMANDS.iter().map(|command| command.name.to_owned());
        commands.chain(long).chain(short).chain(values.map(str::to_owned)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_command_line_is_parsed_or_refused(
            command in prop::sample::select(COMMANDS.iter().map(|command| command.name).collect::<Vec<_>>()),
            rest in prop::collection::vec(prop::sample::select(words()), 0..6),
        ) {
            let line = ["kinglet".to_owned(), command.to_owned()].into_iter().chain(rest).map(OsString::from).map(spelled_out);
            match program().try_get_matches_from(line) {
                Ok(matches) => prop_assert_eq!(matches.subcommand_name(), Some(command)),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn the_flags_fit_together() {
        program().debug_assert();
    }
}
