//! `kinglet bench`: llama-bench's tests, flags and records, so that scripts made for it work unchanged, and beside each speed what this
//! machine could do at best. Repeats are interleaved: a machine that slows down for a while slows all tests down alike.

mod limits;
mod profile;
mod ranges;
mod record;
mod report;

use super::flags::OpenFlags;
use super::terminal::{count_bar, note};
use super::{Command, Failure, interrupt, store};
use crate::forward::Profile;
use crate::kv::Policy;
use crate::types::TokenId;
use crate::{Model, Session, SessionOptions};
use clap::ValueEnum;
use limits::Limits;
use record::{Record, Subject};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  kinglet bench
  kinglet bench -m a.gguf,b.gguf -p 512 -n 128 -t 1,2 -r 5
  kinglet bench -p 0 -n 64 -d 0,1024,4096            how decoding slows down with the context
  kinglet bench -p 512 -n 64 --profile               where the time goes, step by step
  kinglet bench -o json > today.json                 keys as llama-bench's

ppN: reading a prompt of N tokens; tgN: writing N tokens; @ dN: after N tokens of context. In the table, `of limit` is the share \
of what the memory (tg) or the multipliers (pp) of this machine allow, measured in the same run.";

/// Measure speed, as llama-bench does.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Bench {
    /// Models, with commas between or the flag repeated [default: the default model]
    #[arg(short, long, value_name = "MODEL", value_delimiter = ',')]
    model: Vec<String>,

    /// Lengths of prompts (pp tests); 0: none
    #[arg(short = 'p', long, value_name = "N", default_value = "512")]
    n_prompt: Vec<String>,

    /// Numbers of tokens to generate (tg tests); 0: none
    #[arg(short, long, value_name = "N", default_value = "128")]
    n_gen: Vec<String>,

    /// A prompt and what is generated after it, measured together; may be repeated
    #[arg(long, value_name = "PP,TG", value_parser = ranges::pair)]
    pg: Vec<(usize, usize)>,

    /// Tokens that the context holds already
    #[arg(short = 'd', long, value_name = "N", default_value = "0")]
    n_depth: Vec<String>,

    /// Numbers of threads [default: the cores that this process may use]
    #[arg(short, long, value_name = "N")]
    threads: Vec<String>,

    /// How often each test is repeated
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repetitions: u32,

    /// Seconds of rest before each test
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    delay: u64,

    /// Skip the run before the first measurement
    #[arg(long)]
    no_warmup: bool,

    /// Measure each step of the passes too, and print a table of them
    #[arg(long)]
    profile: bool,

    /// How the results are printed
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Md)]
    output: Format,

    #[command(flatten)]
    how: OpenFlags,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table in Markdown
    Md,
    /// One JSON array
    Json,
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
}

/// One test: what is measured, and its samples.
struct Test<'a> {
    subject: &'a Subject,
    n_prompt: usize,
    n_gen: usize,
    n_depth: usize,
    /// Holds `n_depth` tokens.
    base: Session,
    samples: Vec<Duration>,
    /// The steps of all samples, with `--profile`.
    profile: Option<Profile>,
}

impl Command for Bench {
    const NAME: &'static str = "bench";

    fn run(self) -> Result<(), Failure> {
        let interrupt = interrupt::listen();
        let subjects = self.subjects()?;
        let mut tests = self.tests(&subjects)?;
        if tests.is_empty() {
            return Err(Failure::usage("nothing to measure: -p and -n are both 0"));
        }
        let limits = Limits::measure(&subjects);
        let bar = count_bar((tests.len() as u64) * u64::from(self.repetitions), "measuring");
        for repetition in 0..self.repetitions {
            for test in &mut tests {
                if interrupt.raised() {
                    return Err(Failure::Interrupted);
                }
                std::thread::sleep(Duration::from_secs(self.delay));
                if repetition == 0 && !self.no_warmup {
                    test.warm_up()?;
                }
                test.repeat(self.profile)?;
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        let records: Vec<Record> = tests.iter().map(|test| Record::new(test, &limits)).collect();
        report::print(self.output, &records)?;
        if self.output == Format::Md {
            profile::print(&mut io::stdout().lock(), &tests, &limits)?;
            note(limits.to_string());
        }
        Ok(())
    }
}

impl Bench {
    /// Every model with every number of threads. The models' pages are shared, so that this costs no memory.
    fn subjects(&self) -> Result<Vec<Subject>, Failure> {
        let paths: Vec<PathBuf> = match self.model.as_slice() {
            [] => vec![store::resolve(None)?],
            names => names.iter().map(|name| store::resolve(Some(name))).collect::<Result<_, _>>()?,
        };
        let threads: Vec<Option<usize>> = match self.threads.as_slice() {
            [] => vec![None],
            lists => numbers("-t", lists)?.into_iter().map(Some).collect(),
        };
        if threads.contains(&Some(0)) {
            return Err(Failure::usage("-t is 0, expected at least 1 thread"));
        }
        let mut subjects = Vec::new();
        for path in &paths {
            for &threads in &threads {
                subjects.push(Subject::new(path, self.how.open(path, threads)?, self.how.load_name()));
            }
        }
        Ok(subjects)
    }

    /// In llama-bench's order: for each model, threads and depth the prompts, the generations, the pairs.
    fn tests<'a>(&self, subjects: &'a [Subject]) -> Result<Vec<Test<'a>>, Failure> {
        let prompts = numbers("-p", &self.n_prompt)?.into_iter().map(|n| (n, 0));
        let generations = numbers("-n", &self.n_gen)?.into_iter().map(|n| (0, n));
        let shapes: Vec<(usize, usize)> =
            prompts.chain(generations).chain(self.pg.iter().copied()).filter(|&(prompt, generated)| prompt + generated > 0).collect();
        let mut tests = Vec::new();
        for subject in subjects {
            for n_depth in numbers("-d", &self.n_depth)? {
                for &(n_prompt, n_gen) in &shapes {
                    let mut base =
                        subject.model.session(SessionOptions { context: Some(n_depth + n_prompt + n_gen), policy: Some(Policy::Stop) })?;
                    if n_depth > 0 {
                        base.feed(&tokens(&subject.model, n_depth))?;
                    }
                    tests.push(Test { subject, n_prompt, n_gen, n_depth, base, samples: Vec::new(), profile: None });
                }
            }
        }
        Ok(tests)
    }
}

impl Test<'_> {
    /// Brings pages, caches and the clock of the processor to where they are in the middle of work.
    fn warm_up(&self) -> Result<(), Failure> {
        let mut session = self.base.fork();
        if self.n_prompt > 0 {
            session.feed(&tokens(&self.subject.model, self.n_prompt))?;
        }
        if self.n_gen > 0 {
            session.feed(&tokens(&self.subject.model, 1))?;
        }
        Ok(())
    }

    /// One run more, whose steps are measured where `profile`.
    fn repeat(&mut self, profile: bool) -> Result<(), Failure> {
        if profile {
            self.subject.model.start_profile();
        }
        let sample = self.measure()?;
        self.samples.push(sample);
        if let Some(steps) = self.subject.model.take_profile() {
            self.profile.get_or_insert_default().add(&steps);
        }
        Ok(())
    }

    /// One run. As with llama-bench, tokens are at random and sampling is no part of it.
    fn measure(&self) -> Result<Duration, Failure> {
        let mut session = self.base.fork();
        let prompt = tokens(&self.subject.model, self.n_prompt);
        let next = tokens(&self.subject.model, self.n_gen);
        let begin = Instant::now();
        if !prompt.is_empty() {
            session.feed(&prompt)?;
        }
        for token in next {
            session.feed(&[token])?;
        }
        Ok(begin.elapsed())
    }
}

fn numbers(flag: &str, lists: &[String]) -> Result<Vec<usize>, Failure> {
    let lists: Result<Vec<Vec<usize>>, String> = lists.iter().map(|list| ranges::numbers(list)).collect();
    Ok(lists.map_err(|e| Failure::usage(format!("{flag}: {e}")))?.concat())
}

/// `n` tokens from all over the vocabulary, always the same ones.
fn tokens(model: &Model, n: usize) -> Vec<TokenId> {
    let n_vocab = model.spec().n_vocab as u64;
    // Knuth's multiplicative generator; all that counts here is that neighbours differ.
    let mut state: u64 = 42;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        TokenId(((state >> 33) % n_vocab) as u32)
    };
    (0..n).map(|_| next()).collect()
}
