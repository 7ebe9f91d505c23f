//! `kinglet lab passkey` and `kinglet lab needle`: whether a model finds a fact in a long text, over the text's length and the
//! fact's depth.

use super::plot::{Grid, Panel};
use super::report::OutFlags;
use super::subject::{Cache, PolicyFlags, SchemeFlags};
use super::table::{Cell, Table};
use crate::Model;
use crate::cli::flags::{Full, ModelFlags};
use crate::cli::terminal::count_bar;
use crate::cli::{Failure, input, interrupt};
use crate::eval::{ANSWER, Probe, Question, sentences};
use crate::kv::Policy;
use crate::text::Tokenizer;
use std::path::PathBuf;

const PASSKEY_EXAMPLES: &str = "\
Examples:
  kinglet lab passkey --lengths 1024,2048,4096 --trials 3 --plot passkey.svg
  kinglet lab passkey --lengths 12000 --schemes \"file;rope:yarn=2\"         beyond the trained length
  kinglet lab passkey --lengths 2048 --policy ring -c 1024                  what a ring has forgotten

The key is a number of five digits, in a text that repeats five sentences (Mohtashami & Jaggi 2023). An answer is right where its first \
number is the key; answers are greedy.";

const NEEDLE_EXAMPLES: &str = "\
Examples:
  kinglet lab needle --lengths 1024,2048,4096 --depths 0,25,50,75,100
  kinglet lab needle -f book.txt --lengths 8000 --schemes \"file;rope:yarn=2\" --plot needle.png

The needle is a number that belongs to a word, in a text of yours or in built-in prose (RULER's single needle). An answer is right where \
its first number is the needle; answers are greedy.";

/// Find a number in a text that repeats itself: depth × length.
#[derive(Debug, clap::Args)]
#[command(after_help = PASSKEY_EXAMPLES)]
pub struct Passkey {
    #[command(flatten)]
    grid: GridFlags,
}

/// Find a fact in a text about other things: depth × length.
#[derive(Debug, clap::Args)]
#[command(after_help = NEEDLE_EXAMPLES)]
pub struct Needle {
    /// The text that the needle is hidden in [default: built-in prose]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    grid: GridFlags,
}

/// What both take.
#[derive(Debug, clap::Args)]
struct GridFlags {
    /// Tokens of the prompt, with commas between
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "512,1024,2048", value_parser = super::positive)]
    lengths: Vec<usize>,

    /// Where the fact stands, in per cent of the text: 0 is its beginning, 100 its end
    #[arg(long, value_name = "PERCENT,…", value_delimiter = ',', default_value = "0,25,50,75,100", value_parser = percent)]
    depths: Vec<f64>,

    /// Keys that are tried at each length and depth
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = super::positive)]
    trials: usize,

    /// Where chance begins; the same seed gives the same keys
    #[arg(short, long, value_name = "SEED", default_value_t = 42)]
    seed: u64,

    #[command(flatten)]
    schemes: SchemeFlags,

    #[command(flatten)]
    caches: PolicyFlags,

    #[command(flatten)]
    out: OutFlags,

    #[command(flatten)]
    model: ModelFlags,
}

/// One cell of a grid.
struct Place {
    scheme: String,
    cache: Cache,
    length: usize,
    depth: f64,
    tokens: usize,
    right: usize,
    asked: usize,
}

impl Passkey {
    /// Measures and reports.
    pub fn run(self) -> Result<(), Failure> {
        self.grid.run("passkey", Probe::PassKey, None)
    }
}

impl Needle {
    /// Measures and reports.
    pub fn run(self) -> Result<(), Failure> {
        let text = self.file.as_deref().map(input::text_of).transpose()?;
        let hay = text.map(|text| sentences(&text));
        if hay.as_ref().is_some_and(Vec::is_empty) {
            return Err(Failure::error("the text has no sentences to hide a needle in"));
        }
        self.grid.run("needle", Probe::Needle, hay)
    }
}

impl GridFlags {
    fn run(self, name: &str, probe: Probe, hay: Option<Vec<String>>) -> Result<(), Failure> {
        let caches = self.caches.caches(Full::Stop)?;
        self.refuse_contradictions(&caches)?;
        self.out.check()?;
        let subjects = self.schemes.subjects(&self.model)?;
        let models = subjects.open(&self.model)?;
        let Some((_, first)) = models.first() else { return Ok(()) };
        let questions = self.questions(probe, first.tokenizer()?, hay.as_deref())?;
        let (places, interrupted) = self.measure(&models, &caches, &questions)?;
        let mut report = subjects.report(name, first);
        report.interrupted = interrupted;
        report.about.insert("trials".into(), self.trials.into());
        report.about.insert("seed".into(), self.seed.into());
        report.about.insert("context".into(), self.caches.context().into());
        for (scheme, _) in &models {
            for cache in &caches {
                let mine: Vec<&Place> = places.iter().filter(|place| place.scheme == *scheme && place.cache == *cache).collect();
                let what = if self.caches.named() { format!("{scheme}, {}", cache.name) } else { scheme.clone() };
                let heading = format!("{name}: {what} (right answers, depth × length)");
                report.views.push((heading, self.view(&mine)));
                report.figure.panels.push(Panel::Grid(self.grid(format!("{name}, {what}: right answers"), &mine)));
            }
        }
        report.records = records(&places);
        self.out.deliver(&report)
    }

    fn refuse_contradictions(&self, caches: &[Cache]) -> Result<(), Failure> {
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        let bounded = caches.iter().any(|cache| cache.policy != Policy::Stop);
        match self.caches.context() {
            None if bounded => Err(Failure::usage("--policy ring and window forget what leaves the context, and there is no -c")
                .hint(format!("add -c N, smaller than the longest text of {longest} tokens"))),
            Some(context) if !bounded && context < longest + ANSWER => {
                Err(Failure::usage(format!("a text of {longest} tokens and its answer do not fit a context of {context} that stops"))
                    .hint(format!("take -c {} or more, --policy ring or window, or none of them", longest + ANSWER)))
            }
            _ => Ok(()),
        }
    }

    /// For each length, depth and trial.
    fn questions(&self, probe: Probe, tokenizer: &Tokenizer, hay: Option<&[String]>) -> Result<Vec<(usize, f64, Question)>, Failure> {
        let mut questions = Vec::new();
        for &length in &self.lengths {
            for trial in 0..self.trials {
                for &depth in &self.depths {
                    let chance = (self.seed, trial as u64);
                    let question = probe.question(tokenizer, (length, depth / 100.0), hay, chance)?.ok_or_else(|| {
                        Failure::error(format!("the question alone is longer than {length} tokens")).hint("take larger --lengths")
                    })?;
                    questions.push((length, depth, question));
                }
            }
        }
        Ok(questions)
    }

    fn measure(
        &self,
        models: &[(String, Model)],
        caches: &[Cache],
        questions: &[(usize, f64, Question)],
    ) -> Result<(Vec<Place>, bool), Failure> {
        let interrupt = interrupt::listen();
        let work: usize = questions.iter().map(|(_, _, question)| question.tokens.len()).sum();
        let bar = count_bar((work * models.len() * caches.len()) as u64, "asking");
        let mut places: Vec<Place> = Vec::new();
        for (scheme, model) in models {
            for cache in caches {
                let mut session: Option<(usize, crate::Session)> = None;
                for (length, depth, question) in questions {
                    let context = self.caches.context().unwrap_or(length + ANSWER);
                    // Questions of one length come after each other and share the beginning of their text.
                    if session.as_ref().is_none_or(|(bound, _)| *bound != context) {
                        session = Some((context, cache.session(model, context)?));
                    }
                    let Some((_, session)) = &mut session else { continue };
                    let Some(answer) = question.ask(session, &interrupt.flag())? else {
                        bar.finish_and_clear();
                        return Ok((places, true));
                    };
                    bar.inc(question.tokens.len() as u64);
                    bar.set_message(format!("{scheme}, {length} tokens"));
                    let same = |place: &&mut Place| {
                        place.scheme == *scheme && place.cache == *cache && place.length == *length && place.depth == *depth
                    };
                    let right = usize::from(question.is_answered_by(&answer));
                    match places.iter_mut().find(same) {
                        Some(place) => (place.right, place.asked) = (place.right + right, place.asked + 1),
                        None => places.push(Place {
                            scheme: scheme.clone(),
                            cache: cache.clone(),
                            length: *length,
                            depth: *depth,
                            tokens: question.tokens.len(),
                            right,
                            asked: 1,
                        }),
                    }
                }
            }
        }
        bar.finish_and_clear();
        Ok((places, false))
    }

    fn view(&self, places: &[&Place]) -> Table {
        let mut table = Table::new(std::iter::once("depth".to_owned()).chain(self.lengths.iter().map(usize::to_string)));
        for &depth in &self.depths {
            let cell = |&length: &usize| match find(places, length, depth) {
                Some(place) => Cell::Text(format!("{}/{}", place.right, place.asked)),
                None => Cell::Nothing,
            };
            table.push(std::iter::once(Cell::Text(format!("{depth} %"))).chain(self.lengths.iter().map(cell)).collect());
        }
        table
    }

    fn grid(&self, title: String, places: &[&Place]) -> Grid {
        let share = |length, depth| find(places, length, depth).map(|place| place.right as f64 / place.asked as f64);
        Grid {
            title,
            x: ("length (tokens)".into(), self.lengths.iter().map(usize::to_string).collect()),
            y: ("depth (% of the text)".into(), self.depths.iter().map(f64::to_string).collect()),
            shares: self.depths.iter().map(|&depth| self.lengths.iter().map(|&length| share(length, depth)).collect()).collect(),
        }
    }
}

fn find<'a>(places: &[&'a Place], length: usize, depth: f64) -> Option<&'a Place> {
    places.iter().find(|place| place.length == length && place.depth == depth).copied()
}

fn records(places: &[Place]) -> Table {
    let mut table = Table::new(["scheme", "policy", "length", "depth_percent", "prompt_tokens", "right", "asked"]);
    for place in places {
        table.push(vec![
            Cell::Text(place.scheme.clone()),
            Cell::Text(place.cache.name.into()),
            Cell::Count(place.length as u64),
            Cell::Number(place.depth, 1),
            Cell::Count(place.tokens as u64),
            Cell::Count(place.right as u64),
            Cell::Count(place.asked as u64),
        ]);
    }
    table
}

fn percent(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|depth| (0.0..=100.0).contains(depth)).ok_or_else(|| "expected a number from 0 to 100".into())
}
