//! `kinglet lab`: what position schemes and bounded caches do to a model, measured. One file a measurement; each makes a report, which is
//! printed as a table and written as JSON, CSV and plots by one hand.

mod decay;
mod layers;
mod perplexity;
mod plot;
mod recall;
mod report;
mod retrieval;
mod stability;
mod subject;
mod table;

use super::{Command, Failure};

const EXAMPLES: &str = "\
Examples:
  kinglet lab perplexity -f book.txt --length 4096 --schemes \"file;rope:yarn=4;alibi;none\" --plot schemes.svg
  kinglet lab perplexity -f book.txt --policy ring,window -c 1024 --plot stream.png
  kinglet lab passkey --lengths 1024,2048,4096 --json passkey.json
  kinglet lab decay --plot decay.svg

The position lab compares position schemes (--scheme, see docs/positions.md) and what a full context does (--policy) on one model. \
Every measurement prints a table; --json, --csv and --plot (.svg or .png) write it to files. Ctrl-C ends a measurement and \
prints what it has.";

/// Study position schemes and streaming caches.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Lab {
    #[command(subcommand)]
    what: What,
}

/// Every measurement, in the order of `kinglet lab --help`.
#[derive(Debug, clap::Subcommand)]
enum What {
    Perplexity(perplexity::Perplexity),
    Passkey(retrieval::Passkey),
    Needle(retrieval::Needle),
    Recall(recall::Recall),
    Decay(decay::Decay),
    Stability(stability::Stability),
}

impl Command for Lab {
    const NAME: &'static str = "lab";

    fn run(self) -> Result<(), Failure> {
        match self.what {
            What::Perplexity(perplexity) => perplexity.run(),
            What::Passkey(passkey) => passkey.run(),
            What::Needle(needle) => needle.run(),
            What::Recall(recall) => recall.run(),
            What::Decay(decay) => decay.run(),
            What::Stability(stability) => stability.run(),
        }
    }
}

/// A number of at least 1.
fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "expected a whole number of at least 1".into())
}
