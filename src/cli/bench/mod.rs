//! `kinglet bench`: llama-bench's tests, flags and records, so that scripts made for it work unchanged, and beside each speed what this
//! machine could do at best. Repeats are interleaved: a machine that slows down for a while slows all tests down alike.

mod limits;
mod profile;
mod quiet;
mod ranges;
mod record;
mod report;
mod synthetic;
mod trial;

use super::flags::{MaskFlags, OpenFlags};
use super::terminal::{count_bar, human_bytes, note, warn};
use super::{Command, Failure, interrupt, machine, store};
use clap::ValueEnum;
use kinglet_quant::Type;
use limits::Limits;
use record::{Record, Subject};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use synthetic::Shape;
use trial::{Test, Work};

const EXAMPLES: &str = "\
Examples:
  kinglet bench
  kinglet bench -m a.gguf,b.gguf -p 512 -n 128 -t 1,2 -r 5
  kinglet bench -p 0 -n 64 -d 0,1024,4096            how decoding slows down with the context
  kinglet bench -p 512 -n 64 --profile               where the time goes, step by step
  kinglet bench --end-to-end                         tokenising, sampling and detokenising included
  kinglet bench --synthetic 2x4096 --type Q4_K,Q8_0  two layers of an 8B model, of random weights
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

    /// Measure a model of a Llama's shape made for the test, of random weights, instead of a real one: 2x4096 is two layers of an 8B model
    #[arg(long, value_name = "LAYERSxDIM", conflicts_with_all = ["model", "end_to_end"])]
    synthetic: Option<Shape>,

    /// The types of its matrices
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', default_value = "Q4_K", value_parser = parse_type)]
    types: Vec<Type>,

    /// Text in, text out: tokenising, sampling and detokenising are measured too
    #[arg(long)]
    end_to_end: bool,

    /// Seconds of rest before each test
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    delay: u64,

    /// Skip what is run before measurements
    #[arg(long)]
    no_warmup: bool,

    /// Measure each step of the passes too, and print a table of them
    #[arg(long)]
    profile: bool,

    /// How the results are printed
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Md)]
    output: Format,

    #[command(flatten)]
    mask: MaskFlags,

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

impl Command for Bench {
    const NAME: &'static str = "bench";

    fn run(self) -> Result<(), Failure> {
        let interrupt = interrupt::listen();
        self.mask.confine()?;
        let load = quiet::load();
        let folder = tempfile::tempdir().map_err(|e| Failure::io("cannot make a temporary folder", &e))?;
        let subjects = self.subjects(folder.path())?;
        let mut tests = self.tests(&subjects)?;
        if tests.is_empty() {
            return Err(Failure::usage("nothing to measure: -p and -n are both 0"));
        }
        let alone = tests.len() == 1;
        let before = Limits::measure(&tests);
        let bar = count_bar((tests.len() as u64) * u64::from(self.repetitions), "measuring");
        for repetition in 0..self.repetitions {
            for test in &mut tests {
                if interrupt.raised() {
                    return Err(Failure::Interrupted);
                }
                std::thread::sleep(Duration::from_secs(self.delay));
                if !self.no_warmup && (repetition == 0 || !alone && test.is_short()) {
                    test.warm_up()?;
                }
                test.repeat(self.profile)?;
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        let after = Limits::measure(&tests);
        let limits = before.mean(&after);
        let records: Vec<Record> = tests.iter().map(|test| Record::new(test, &limits)).collect();
        report::print(self.output, &records)?;
        if self.output == Format::Md {
            profile::print(&mut io::stdout().lock(), &tests, &limits)?;
            note(limits.to_string());
        }
        for complaint in quiet::complaints(load, [&before, &after], &records) {
            warn(format!("this machine was not quiet: {complaint}"));
        }
        small_pages(&subjects);
        Ok(())
    }
}

impl Bench {
    /// Every model with every number of threads. The models' pages are shared, so that this costs no memory.
    fn subjects(&self, folder: &Path) -> Result<Vec<Subject>, Failure> {
        let paths: Vec<PathBuf> = match (self.synthetic, self.model.as_slice()) {
            (Some(shape), _) => self.types.iter().map(|&ty| synthetic_model(shape, ty, folder)).collect::<Result<_, _>>()?,
            (None, []) => vec![store::resolve(None)?],
            (None, names) => names.iter().map(|name| store::resolve(Some(name))).collect::<Result<_, _>>()?,
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
                subjects.push(Subject::new(path, self.how.open(path, threads)?, self.how.load_name(), self.mask.hex()));
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
                    tests.push(Test::new(subject, Work { n_prompt, n_gen, n_depth, end_to_end: self.end_to_end })?);
                }
            }
        }
        Ok(tests)
    }
}

/// Says which mapped files were read from small pages: it depends on how they came into the system's cache, not on this program.
fn small_pages(subjects: &[Subject]) {
    const MANY: u64 = 16 << 20; // bytes from which it matters
    let mut paths: Vec<&Path> = subjects.iter().map(|subject| subject.path.as_path()).collect();
    paths.dedup();
    for path in paths {
        if let Some((all, huge)) = machine::mapped(path).filter(|&(all, huge)| all >= MANY && huge < all / 2) {
            let [all, huge] = [all, huge].map(human_bytes);
            warn(format!(
                "{}: {huge} of {all} lay in huge pages, which decode is faster from (--load read, or no other program that has it open)",
                path.display()
            ));
        }
    }
}

/// Writes a model to the folder, to be mapped like any other.
fn synthetic_model(shape: Shape, ty: Type, folder: &Path) -> Result<PathBuf, Failure> {
    let path = folder.join(format!("{}.gguf", shape.name(ty).replace(' ', "-")));
    shape.write(ty, &path)?;
    Ok(path)
}

fn parse_type(name: &str) -> Result<Type, String> {
    let names = || Type::ALL.iter().map(|ty| ty.name()).collect::<Vec<_>>().join(", ");
    Type::from_name(name).map_err(|_| format!("unknown type; there are {}", names()))
}

fn numbers(flag: &str, lists: &[String]) -> Result<Vec<usize>, Failure> {
    let lists: Result<Vec<Vec<usize>>, String> = lists.iter().map(|list| ranges::numbers(list)).collect();
    Ok(lists.map_err(|e| Failure::usage(format!("{flag}: {e}")))?.concat())
}
