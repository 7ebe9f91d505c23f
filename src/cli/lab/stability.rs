//! `kinglet lab stability`: whether attention at token 10 000 000 is what it is at token 0, and whether a stream that never ends begins to
//! repeat itself.

use super::layers::LayerFlags;
use super::plot::{Axis, Line, Lines, Panel};
use super::report::{OutFlags, Report};
use super::subject::{PolicyFlags, SchemeFlags};
use super::table::{Cell, Table};
use crate::cli::flags::{Full, ModelFlags};
use crate::cli::terminal::{count_bar, human_bytes};
use crate::cli::{Failure, interrupt};
use crate::eval::{Meter, Stability as Measured, heads, repeated, resident, stability};
use crate::forward::Arithmetic;
use crate::types::TokenId;
use crate::{Event, GenerateOptions, Model, SamplerOptions};
use kinglet_quant::isa::Level;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  kinglet lab stability
  kinglet lab stability --positions 1000,1000000,10000000 --schemes \"file;alibi\" --plot stability.svg
  kinglet lab stability --tokens 20000 -c 1024 --policy ring,window --temp 1      does a stream repeat itself?

The first table puts queries, keys and values of a text at far positions and sends them through the program's attention, beside the \
equation in f64: errors are relative to the largest number of the output. `f32 angles` is the error that angles of f32 would make.";

/// Numbers far out: f32 against f64, entropy, and whether the model's output repeats itself.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Stability {
    /// Positions of the text's first token, with commas between
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "0,1000,10000,100000,1000000,10000000")]
    positions: Vec<u64>,

    /// Tokens of the text
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = super::positive)]
    length: usize,

    #[command(flatten)]
    layers: LayerFlags,

    /// Tokens that the model writes, for the rate at which it repeats itself; 0: none
    #[arg(short = 'n', long, value_name = "N", default_value_t = 512)]
    tokens: usize,

    /// Tokens of the runs whose repetition is counted
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = super::positive)]
    ngram: usize,

    /// Temperature of what is written; 0: the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.8)]
    temp: f32,

    /// Where chance begins
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

/// One layer under one scheme.
struct Layer {
    scheme: String,
    layer: usize,
    measured: Vec<Measured>,
}

/// A part of what was written.
struct Written {
    subject: String,
    start: usize,
    end: usize,
    repeated: f64,
    milliseconds: f64,
    resident: Option<u64>,
}

/// Parts that what is written is cut into.
const PARTS: usize = 8;

impl Stability {
    /// Measures and reports.
    pub fn run(self) -> Result<(), Failure> {
        let caches = self.caches.caches(Full::Ring)?;
        if self.tokens == 0 && self.caches.given() {
            return Err(Failure::usage("--policy, -c and --sinks are of what the model writes, and -n is 0").hint("leave them out, or -n"));
        }
        self.out.check()?;
        let subjects = self.schemes.subjects(&self.model)?;
        let models = subjects.open(&self.model)?;
        let Some((_, first)) = models.first() else { return Ok(()) };
        let Arithmetic::Fast(level) = first.arithmetic() else {
            return Err(Failure::usage("--reference has no fast path to be looked at").hint("leave it out"));
        };
        let mut report = subjects.report("stability", first);
        let interrupt = interrupt::listen();
        let looked = self.look(&models, level, &interrupt, &mut report)?;
        let mut written = Vec::new();
        if self.tokens > 0 && !report.interrupted {
            let bar = count_bar((self.tokens * models.len() * caches.len()) as u64, "writing");
            for (scheme, model) in &models {
                for cache in &caches {
                    let mut session = cache.session(model, self.caches.context().unwrap_or_else(|| model.default_context()))?;
                    session.feed(&self.layers.tokens(model, 16.min(self.length))?)?;
                    let subject = format!("{scheme}, {}", cache.name);
                    report.interrupted |= !self.write(&mut session, &subject, &interrupt, &bar, &mut written)?;
                }
            }
            bar.finish_and_clear();
        }
        report.about.insert("length".into(), self.length.into());
        report.about.insert("isa".into(), level.name().into());
        report.about.insert("ngram".into(), self.ngram.into());
        report.about.insert("temp".into(), f64::from(self.temp).into());
        report.about.insert("seed".into(), self.seed.into());
        fill(&mut report, &looked, &written, self.ngram);
        self.out.deliver(&report)
    }

    fn look(
        &self,
        models: &[(String, Model)],
        level: Level,
        interrupt: &interrupt::Listener,
        report: &mut Report,
    ) -> Result<Vec<Layer>, Failure> {
        let mut looked = Vec::new();
        let layers = self.layers.layers(&models[0].1);
        let bar = count_bar((models.len() * layers.len() * self.positions.len()) as u64, "turning");
        for (scheme, model) in models {
            let tokens = self.layers.tokens(model, self.length)?;
            for heads in heads(model, &tokens, &layers, Some(&interrupt.flag()))?.unwrap_or_default() {
                let mut measured = Vec::new();
                for &position in &self.positions {
                    if interrupt.raised() {
                        break;
                    }
                    measured.extend(stability(&heads, &[position], level));
                    bar.inc(1);
                }
                looked.push(Layer { scheme: scheme.clone(), layer: heads.layer, measured });
            }
        }
        report.interrupted = interrupt.raised();
        bar.finish_and_clear();
        Ok(looked)
    }

    /// Lets the model write, and adds the parts of it to `written`. False where it was interrupted.
    fn write(
        &self,
        session: &mut crate::Session,
        subject: &str,
        interrupt: &interrupt::Listener,
        bar: &indicatif::ProgressBar,
        written: &mut Vec<Written>,
    ) -> Result<bool, Failure> {
        let sampler = SamplerOptions { temp: self.temp, seed: Some(self.seed), ..SamplerOptions::default() };
        let cancel = Some(interrupt.flag());
        let options = GenerateOptions { sampler, max_tokens: Some(self.tokens), ignore_eos: true, cancel, ..GenerateOptions::default() };
        let (mut part, mut done, mut meter) = (Vec::<TokenId>::new(), 0, Meter::after(0));
        let each = self.tokens.div_ceil(PARTS);
        let mut begin = Instant::now();
        for event in session.generate(options)? {
            let finished = match event? {
                Event::Token { id, .. } => {
                    meter.add(1, begin.elapsed());
                    begin = Instant::now();
                    part.push(id);
                    bar.inc(1);
                    false
                }
                Event::Finished { .. } => true,
            };
            if part.len() == each || (finished && !part.is_empty()) {
                written.push(Written {
                    subject: subject.to_owned(),
                    start: done,
                    end: done + part.len(),
                    repeated: repeated(&part, self.ngram),
                    milliseconds: meter.medians().map_or(0.0, |(median, _)| median.as_secs_f64() * 1e3),
                    resident: resident(),
                });
                (done, meter) = (done + part.len(), Meter::after(0));
                part.clear();
            }
        }
        Ok(!interrupt.raised())
    }
}

fn fill(report: &mut Report, looked: &[Layer], written: &[Written], ngram: usize) {
    let columns = ["position", "error", "against position 0", "f32 angles", "not finite", "entropy (nats)", "by the equation"];
    let mut lines = Vec::new();
    for Layer { scheme, layer, measured } in looked {
        let mut table = Table::new(columns);
        for at in measured {
            table.push(vec![
                Cell::Count(at.position),
                Cell::Scientific(at.error),
                Cell::Scientific(at.shift_error),
                Cell::Scientific(at.rough_error),
                Cell::Count(at.not_finite as u64),
                Cell::Number(at.entropy, 4),
                Cell::Number(at.exact_entropy, 4),
            ]);
        }
        report.views.push((format!("{scheme}, layer {layer}: attention at far positions, against f64"), table));
        let line = |name: String, of: fn(&Measured) -> f64| {
            let points = measured.iter().map(|at| (at.position as f64, of(at))).filter(|(x, _)| *x > 0.0).collect();
            Line { name, points }
        };
        lines.push(line(format!("{scheme}, layer {layer}"), |at| at.error));
        if measured.iter().any(|at| at.rough_error > 0.0) {
            lines.push(line(format!("{scheme}, layer {layer}, angles of f32"), |at| at.rough_error));
        }
    }
    let (x, y) = (Axis::logarithmic("position (tokens)"), Axis::logarithmic("error relative to the largest output"));
    let title = "Attention far out, against f64".to_owned();
    report.figure.panels.push(Panel::Lines(Lines { title, x, y, lines, marks: Vec::new() }));
    if !written.is_empty() {
        let heading = format!("What the model writes: runs of {ngram} tokens that were there before");
        report.views.push((heading, written_view(written)));
        report.figure.panels.push(written_panel(written, ngram));
    }
    report.records = records(looked, written);
}

fn written_view(written: &[Written]) -> Table {
    let mut table = Table::new(["cache", "tokens", "repeated %", "ms/token", "memory"]);
    for part in written {
        table.push(vec![
            Cell::Text(part.subject.clone()),
            Cell::Text(format!("{}-{}", part.start, part.end - 1)),
            Cell::Number(100.0 * part.repeated, 1),
            Cell::Number(part.milliseconds, 3),
            part.resident.map_or(Cell::Nothing, |bytes| Cell::Text(human_bytes(bytes))),
        ]);
    }
    table
}

fn written_panel(written: &[Written], ngram: usize) -> Panel {
    let mut lines: Vec<Line> = Vec::new();
    for part in written {
        let point = ((part.start + part.end) as f64 / 2.0, 100.0 * part.repeated);
        match lines.iter_mut().find(|line| line.name == part.subject) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name: part.subject.clone(), points: vec![point] }),
        }
    }
    Panel::Lines(Lines {
        title: "Does the model repeat itself?".into(),
        x: Axis::new("tokens written"),
        y: Axis::new(format!("repeated runs of {ngram} tokens (%)")),
        lines,
        marks: Vec::new(),
    })
}

fn records(looked: &[Layer], written: &[Written]) -> Table {
    let mut table = Table::new(["subject", "layer", "position", "what", "value"]);
    for Layer { scheme, layer, measured } in looked {
        for at in measured {
            let values = [
                ("error", at.error),
                ("shift_error", at.shift_error),
                ("f32_angle_error", at.rough_error),
                ("not_finite", at.not_finite as f64),
                ("entropy", at.entropy),
                ("exact_entropy", at.exact_entropy),
            ];
            for (what, value) in values {
                let (subject, what) = (Cell::Text(scheme.clone()), Cell::Text(what.to_owned()));
                table.push(vec![subject, Cell::Count(*layer as u64), Cell::Count(at.position), what, Cell::Scientific(value)]);
            }
        }
    }
    for part in written {
        let resident = part.resident.map(|bytes| ("resident_bytes", bytes as f64));
        let values = [("repeated", part.repeated), ("ms_per_token", part.milliseconds)].into_iter().chain(resident);
        for (what, value) in values {
            let (subject, what) = (Cell::Text(part.subject.clone()), Cell::Text(what.to_owned()));
            table.push(vec![subject, Cell::Nothing, Cell::Count(part.start as u64), what, Cell::Scientific(value)]);
        }
    }
    table
}
