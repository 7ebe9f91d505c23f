//! `kinglet lab perplexity`: how well each position of a text is predicted. Schemes side by side over pieces of one length, or (`--policy`)
//! schemes and caches side by side over one stream.

use super::plot::{Axis, Line, Lines, Panel};
use super::report::{OutFlags, Report};
use super::subject::{Cache, PolicyFlags, SchemeFlags};
use super::table::{Cell, Table};
use crate::Model;
use crate::cli::flags::{Full, ModelFlags};
use crate::cli::terminal::{count_bar, human_bytes, note};
use crate::cli::{Failure, input, interrupt};
use crate::eval::{Bins, End, MEASURED, Meter, Perplexity as Score, by_position, stream};
use crate::kv::Policy;
use crate::text::Special;
use crate::types::TokenId;
use indicatif::ProgressBar;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

const EXAMPLES: &str = "\
Examples:
  kinglet lab perplexity -f book.txt --length 4096 --schemes \"file;rope:yarn=4;alibi;none\" --plot schemes.svg
  kinglet lab perplexity -f book.txt --policy ring,window,stop -c 1024 --tokens 100000 --plot stream.png

Without --policy the text is cut into pieces of --length tokens, each computed by itself, and the table tells the perplexity of the tokens \
at each position. With --policy the text is one stream through a context of -c tokens, and the table tells time and memory too.";

/// Perplexity by position: schemes over one length, or caches over a stream.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Perplexity {
    /// The text; stdin where none is given
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Tokens of a piece [default: 2048, or the trained context where it is shorter]
    #[arg(long, value_name = "N", value_parser = super::positive)]
    length: Option<usize>,

    /// Pieces at most [default: the whole text]
    #[arg(long, value_name = "N", value_parser = super::positive)]
    pieces: Option<usize>,

    /// Tokens of a stream at most [default: the whole text]
    #[arg(long, value_name = "N", value_parser = super::positive)]
    tokens: Option<usize>,

    /// Tokens of a stream that are computed at once; 1 measures decoding [default: 64]
    #[arg(long, value_name = "N", value_parser = super::positive)]
    batch: Option<usize>,

    /// Into how many bins positions are put
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = super::positive)]
    bins: usize,

    #[command(flatten)]
    schemes: SchemeFlags,

    #[command(flatten)]
    caches: PolicyFlags,

    #[command(flatten)]
    out: OutFlags,

    #[command(flatten)]
    model: ModelFlags,
}

/// One subject and what it gave.
struct Series {
    scheme: String,
    policy: Option<&'static str>,
    bins: Bins,
    meter: Option<Meter>,
    end: End,
}

impl Perplexity {
    /// Measures and reports.
    pub fn run(self) -> Result<(), Failure> {
        let streaming = self.caches.named();
        self.refuse_contradictions(streaming)?;
        self.out.check()?;
        let subjects = self.schemes.subjects(&self.model)?;
        let models = subjects.open(&self.model)?;
        let Some((_, first)) = models.first() else { return Ok(()) };
        let tokens = self.text(first)?;
        let mut report = subjects.report("perplexity", first);
        let series = match streaming {
            true => self.streams(&models, &tokens, &mut report)?,
            false => self.by_position(&models, &tokens, &mut report)?,
        };
        report.interrupted = series.iter().any(|series| series.end == End::Cancelled);
        fill(&mut report, &series);
        self.out.deliver(&report)
    }

    fn refuse_contradictions(&self, streaming: bool) -> Result<(), Failure> {
        let (of_pieces, of_streams) =
            ([("--length", self.length), ("--pieces", self.pieces)], [("--tokens", self.tokens), ("--batch", self.batch)]);
        let given = |flags: &[(&'static str, Option<usize>)]| flags.iter().find(|(_, value)| value.is_some()).map(|(flag, _)| *flag);
        match streaming {
            true => match given(&of_pieces) {
                Some(flag) => Err(Failure::usage(format!("{flag} is of pieces and --policy of a stream, which has none"))
                    .hint("how long a stream is is told by --tokens, what attention sees of it by -c")),
                None => Ok(()),
            },
            false => match given(&of_streams).or(self.caches.given().then_some("-c and --sinks")) {
                Some(flag) => Err(Failure::usage(format!("{flag}: only a stream has this, and there is no --policy"))
                    .hint("add --policy ring, or use --length and --pieces")),
                None => Ok(()),
            },
        }
    }

    fn text(&self, model: &Model) -> Result<Vec<TokenId>, Failure> {
        let text = match &self.file {
            Some(file) => input::text_of(file)?,
            None => input::stdin("the text")?,
        };
        let tokenizer = model.tokenizer()?;
        let bos = tokenizer.bos().filter(|_| tokenizer.add_bos());
        Ok(bos.into_iter().chain(tokenizer.encode(&text, Special::Plain).map_err(crate::Error::from)?).collect())
    }

    fn by_position(&self, models: &[(String, Model)], tokens: &[TokenId], report: &mut Report) -> Result<Vec<Series>, Failure> {
        let trained = models[0].1.spec().trained_context;
        let length = self.length.unwrap_or(trained.clamp(2, 2048));
        let pieces = (tokens.len() / length).min(self.pieces.unwrap_or(usize::MAX));
        if pieces == 0 || length < 2 {
            return Err(Failure::error(format!("the text has {} tokens, one piece of {length} is the least", tokens.len()))
                .hint("take a longer text or a smaller --length (at least 2)"));
        }
        let tokens = &tokens[..pieces * length];
        report.about.insert("length".into(), length.into());
        report.about.insert("pieces".into(), pieces.into());
        let first = models[0].1.tokenizer()?;
        let bos = first.bos().filter(|_| first.add_bos());
        let (interrupt, bar) = (interrupt::listen(), count_bar((tokens.len() * models.len()) as u64, "scoring"));
        let cancel = interrupt.flag();
        let mut series = Vec::new();
        for (index, (scheme, model)) in models.iter().enumerate() {
            let mut session = Cache { name: "stop", policy: Policy::Stop }.session(model, length)?;
            let width = length.div_ceil(self.bins);
            let progress = |done: usize, bins: &Bins| show(&bar, scheme, index * tokens.len() + done, bins);
            let (bins, end) = by_position(&mut session, tokens, (length, width), bos, Some(&*cancel), progress)?;
            series.push(Series { scheme: scheme.clone(), policy: None, bins, meter: None, end });
            if end == End::Cancelled {
                break;
            }
        }
        bar.finish_and_clear();
        Ok(series)
    }

    fn streams(&self, models: &[(String, Model)], tokens: &[TokenId], report: &mut Report) -> Result<Vec<Series>, Failure> {
        let caches = self.caches.caches(Full::Ring)?;
        let context = self.caches.context().unwrap_or_else(|| models[0].1.default_context());
        let tokens = &tokens[..tokens.len().min(self.tokens.unwrap_or(usize::MAX))];
        if tokens.len() < 2 {
            return Err(Failure::error("the text has no two tokens").hint("take a longer text"));
        }
        if tokens.len() <= context {
            note(format!("the stream of {} tokens never fills the context of {context}: all caches give the same", tokens.len()));
        }
        let batch = self.batch.unwrap_or(64);
        report.about.insert("tokens".into(), tokens.len().into());
        report.about.insert("context".into(), context.into());
        report.about.insert("batch".into(), batch.into());
        let (interrupt, bar) = (interrupt::listen(), count_bar((tokens.len() * models.len() * caches.len()) as u64, "streaming"));
        let mut series: Vec<Series> = Vec::new();
        for (scheme, model) in models {
            for cache in &caches {
                let mut session = cache.session(model, context)?;
                let (before, name) = (series.len() * tokens.len(), format!("{scheme}, {}", cache.name));
                let flag: &AtomicBool = &interrupt.flag();
                let progress = |done: usize, bins: &Bins| show(&bar, &name, before + done, bins);
                let streamed = stream(&mut session, tokens, (tokens.len().div_ceil(self.bins), batch), Some(flag), progress)?;
                let (bins, meter, end) = (streamed.bins, Some(streamed.meter), streamed.end);
                series.push(Series { scheme: scheme.clone(), policy: Some(cache.name), bins, meter, end });
                if end == End::Cancelled {
                    bar.finish_and_clear();
                    return Ok(series);
                }
            }
        }
        bar.finish_and_clear();
        Ok(series)
    }
}

fn show(bar: &ProgressBar, name: &str, done: usize, bins: &Bins) {
    bar.set_position(done as u64);
    bar.set_message(format!("{name}: perplexity {:.2}", bins.total().value()));
}

impl Series {
    /// For the legend and the table's head, which leave out what all have in common.
    fn name(&self, all: &[Series]) -> String {
        match self.policy {
            None => self.scheme.clone(),
            Some(policy) if all.iter().all(|other| other.scheme == self.scheme) => policy.to_owned(),
            Some(policy) => format!("{} {policy}", self.scheme),
        }
    }
}

fn fill(report: &mut Report, series: &[Series]) {
    let streaming = series.iter().any(|series| series.policy.is_some());
    let names: Vec<String> = series.iter().map(|one| one.name(series)).collect();
    let mut by_position = Table::new(std::iter::once("positions".to_owned()).chain(names.iter().cloned()));
    let longest = series.iter().map(|series| series.bins.bins()).max_by_key(|bins| bins.len()).unwrap_or(&[]);
    for (index, bin) in longest.iter().enumerate() {
        let value = |series: &Series| series.bins.bins().get(index).map_or(Cell::Nothing, |bin| number(&bin.score, bin.score.value(), 3));
        let row = std::iter::once(Cell::Text(format!("{}-{}", bin.start, bin.end - 1))).chain(series.iter().map(value));
        by_position.push(row.collect());
    }
    let total = series.iter().map(|series| Cell::Number(series.bins.total().value(), 3));
    by_position.push(std::iter::once(Cell::Text("all".into())).chain(total).collect());
    let heading = match report.interrupted {
        true => "Perplexity by position (interrupted: the last column has fewer tokens than the others)",
        false => "Perplexity by position",
    };
    report.views.push((heading.into(), by_position));
    if streaming {
        report.views.push((format!("By token past the bound (medians of the first and the last {MEASURED})"), costs(series, &names)));
        if let Some(costs) = report.views.last().map(|(_, table)| table.json()) {
            report.about.insert("costs".into(), costs);
        }
    }
    report.records = records(series);
    let line = |(series, name): (&Series, &String)| Line {
        name: name.clone(),
        points: series.bins.bins().iter().map(|bin| ((bin.start + bin.end) as f64 / 2.0, bin.score.value())).collect(),
    };
    let told = |name: &str| report.about.get(name).and_then(|value| value.as_f64()).unwrap_or(0.0);
    let mut marks = vec![(told("trained_context"), "trained length".to_owned())];
    if streaming {
        marks.push((told("context"), "context is full".to_owned()));
    }
    report.figure.panels.push(Panel::Lines(Lines {
        title: if streaming { "Perplexity along a stream".into() } else { "Perplexity by position".into() },
        x: Axis::new("position (tokens)"),
        y: Axis::new("perplexity"),
        lines: series.iter().zip(&names).map(line).collect(),
        marks,
    }));
}

/// A number of `score`, where a token was scored.
fn number(score: &Score, value: f64, digits: usize) -> Cell {
    if score.tokens > 0 { Cell::Number(value, digits) } else { Cell::Nothing }
}

/// What a token costs past the bound.
fn costs(series: &[Series], names: &[String]) -> Table {
    let columns = ["cache", "tokens", "first ms", "last ms", "memory first", "memory last", "memory most"];
    let mut table = Table::new(columns);
    for (series, name) in series.iter().zip(names) {
        let Some(meter) = &series.meter else { continue };
        let milliseconds = |time: Option<std::time::Duration>| time.map_or(Cell::Nothing, |time| Cell::Number(time.as_secs_f64() * 1e3, 3));
        let bytes = |bytes: Option<u64>| bytes.map_or(Cell::Nothing, |bytes| Cell::Text(human_bytes(bytes)));
        let (medians, resident) = (meter.medians(), meter.resident());
        table.push(vec![
            Cell::Text(name.clone()),
            Cell::Count(meter.tokens() as u64),
            milliseconds(medians.map(|(first, _)| first)),
            milliseconds(medians.map(|(_, last)| last)),
            bytes(resident.map(|resident| resident.first)),
            bytes(resident.map(|resident| resident.last)),
            bytes(resident.map(|resident| resident.most)),
        ]);
    }
    table
}

fn records(series: &[Series]) -> Table {
    let columns = ["scheme", "policy", "start", "end", "tokens", "perplexity", "error", "ms_per_token", "resident_bytes"];
    let mut table = Table::new(columns);
    for series in series {
        for bin in series.bins.bins() {
            let tokens = bin.score.tokens;
            table.push(vec![
                Cell::Text(series.scheme.clone()),
                series.policy.map_or(Cell::Nothing, |policy| Cell::Text(policy.into())),
                Cell::Count(bin.start as u64),
                Cell::Count(bin.end as u64),
                Cell::Count(tokens as u64),
                number(&bin.score, bin.score.value(), 4),
                number(&bin.score, bin.score.error(), 4),
                Cell::Number(bin.time.as_secs_f64() * 1e3 / tokens.max(1) as f64, 4),
                bin.resident.map_or(Cell::Nothing, Cell::Count),
            ]);
        }
    }
    table
}
