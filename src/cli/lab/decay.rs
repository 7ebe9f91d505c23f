//! `kinglet lab decay`: where the heads of a model look, by distance, beside what its position scheme does by itself.

use super::layers::LayerFlags;
use super::plot::{Axis, Line, Lines, Panel};
use super::report::{OutFlags, Report};
use super::subject::SchemeFlags;
use super::table::{Cell, Table};
use crate::cli::flags::ModelFlags;
use crate::cli::terminal::count_bar;
use crate::cli::{Failure, interrupt};
use crate::eval::{Curve, Spread, curve, heads, spreads};

const EXAMPLES: &str = "\
Examples:
  kinglet lab decay --length 1024 --plot decay.svg
  kinglet lab decay --layers 0,10,20 --schemes \"file;alibi\" --csv decay.csv
  kinglet lab decay -f book.txt --length 4096

A row of the table is a head: how much of its attention goes to the token itself, to those nearby, and to the first four tokens (sinks), \
how far away it looks on average, and the entropy of its rows. The curve is what the scheme does to a score by itself.";

/// Attention over distance, head by head, and the scheme's own curve.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Decay {
    /// Tokens of the text
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = super::positive)]
    length: usize,

    /// Queries that are looked at, out of the text's second half
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = super::positive)]
    queries: usize,

    #[command(flatten)]
    layers: LayerFlags,

    #[command(flatten)]
    schemes: SchemeFlags,

    #[command(flatten)]
    out: OutFlags,

    #[command(flatten)]
    model: ModelFlags,
}

/// One layer under one scheme.
struct Layer {
    scheme: String,
    layer: usize,
    spreads: Vec<Spread>,
    curve: Curve,
}

impl Decay {
    /// Measures and reports.
    pub fn run(self) -> Result<(), Failure> {
        self.out.check()?;
        let subjects = self.schemes.subjects(&self.model)?;
        let models = subjects.open(&self.model)?;
        let Some((_, first)) = models.first() else { return Ok(()) };
        let (layers, tokens) = (self.layers.layers(first), self.layers.tokens(first, self.length)?);
        let mut report = subjects.report("decay", first);
        report.about.insert("length".into(), self.length.into());
        report.about.insert("queries".into(), self.queries.into());
        let interrupt = interrupt::listen();
        let bar = count_bar((models.len() * layers.len()) as u64, "looking");
        let mut looked: Vec<Layer> = Vec::new();
        'all: for (scheme, model) in &models {
            let Some(heads) = heads(model, &tokens, &layers, Some(&interrupt.flag()))? else {
                report.interrupted = true;
                break;
            };
            for heads in &heads {
                if interrupt.raised() {
                    report.interrupted = true;
                    break 'all;
                }
                let (spreads, curve) = (spreads(heads, self.queries), curve(heads, self.length));
                looked.push(Layer { scheme: scheme.clone(), layer: heads.layer, spreads, curve });
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        fill(&mut report, &looked);
        self.out.deliver(&report)
    }
}

fn fill(report: &mut Report, looked: &[Layer]) {
    for Layer { scheme, layer, spreads, curve } in looked {
        report.views.push((format!("{scheme}, layer {layer}: where attention goes (% by distance)"), view(spreads)));
        let line = |spread: &Spread| Line {
            name: format!("head {}", spread.head),
            points: spread.by_distance.iter().map(|bin| ((bin.range.start + bin.range.end) as f64 / 2.0, bin.per_key)).collect(),
        };
        report.figure.panels.push(Panel::Lines(Lines {
            title: format!("{scheme}, layer {layer}: attention over distance"),
            x: Axis::logarithmic("distance (tokens)"),
            y: Axis::logarithmic("probability of one key"),
            lines: spreads.iter().map(line).collect(),
            marks: Vec::new(),
        }));
        // Layers of one scheme that do the same have one curve.
        let known = looked.iter().find(|other| other.scheme == *scheme && other.curve == *curve);
        if known.is_some_and(|first| first.layer == *layer) {
            report.views.push((format!("{scheme}, layer {layer}: what the scheme does to a score by itself"), curve_view(curve)));
            report.figure.panels.extend(curve_panels(scheme, *layer, curve));
        }
    }
    report.records = records(looked);
}

fn view(spreads: &[Spread]) -> Table {
    let mut table = Table::new(["head", "0", "1-3", "4-15", "16-63", "64-255", "256-", "sinks", "mean distance", "entropy (nats)"]);
    for spread in spreads {
        let within = |from: usize, to: usize| {
            spread.by_distance.iter().filter(|bin| (from..to).contains(&bin.range.start)).fold(0.0, |sum, bin| sum + bin.mass)
        };
        let edges = [0, 1, 4, 16, 64, 256, usize::MAX];
        let masses = edges.windows(2).map(|edge| Cell::Number(100.0 * within(edge[0], edge[1]), 1));
        let rest = [Cell::Number(100.0 * spread.on_sinks, 1), Cell::Number(spread.mean_distance, 1), Cell::Number(spread.entropy, 2)];
        table.push(std::iter::once(Cell::Count(spread.head as u64)).chain(masses).chain(rest).collect());
    }
    table
}

/// Some of the distances: powers of two.
fn curve_view(curve: &Curve) -> Table {
    let rotates = !curve.mean_cosine.is_empty();
    let names = if rotates { vec!["mean cos".to_owned(), "bound".to_owned()] } else { Vec::new() };
    let heads = (0..curve.bias.len()).map(|head| format!("bias of head {head}"));
    let mut table = Table::new(std::iter::once("distance".to_owned()).chain(names).chain(heads));
    let mut wanted = 0;
    for (index, &distance) in curve.distances.iter().enumerate() {
        if distance < wanted {
            continue;
        }
        wanted = (2 * distance).max(1);
        let of = |values: &[f64]| values.get(index).map(|&value| Cell::Number(value, 4));
        let cells = [of(&curve.mean_cosine), of(&curve.bound)].into_iter().flatten();
        let cells = cells.chain(curve.bias.iter().filter_map(|bias| of(bias)));
        table.push(std::iter::once(Cell::Count(distance as u64)).chain(cells).collect());
    }
    table
}

fn curve_panels(scheme: &str, layer: usize, curve: &Curve) -> Vec<Panel> {
    let line = |name: String, values: &[f64]| Line {
        name,
        points: curve.distances.iter().map(|&d| d as f64).zip(values.iter().copied()).collect(),
    };
    let panel = |title: &str, y: &str, lines| {
        let x = Axis::logarithmic("distance (tokens)");
        Panel::Lines(Lines { title: format!("{scheme}, layer {layer}: {title}"), x, y: Axis::new(y), lines, marks: Vec::new() })
    };
    let mut panels = Vec::new();
    if !curve.mean_cosine.is_empty() {
        let lines = vec![line("mean of cos(θ·distance)".into(), &curve.mean_cosine), line("bound".into(), &curve.bound)];
        panels.push(panel("the rotation's decay", "score relative to distance 0", lines));
    }
    if !curve.bias.is_empty() {
        let lines = curve.bias.iter().enumerate().map(|(head, bias)| line(format!("head {head}"), bias)).collect();
        panels.push(panel("the bias", "added to the score", lines));
    }
    panels
}

/// Attention: mass and probability of one key for each bin of distances. Curves: their value at each distance.
fn records(looked: &[Layer]) -> Table {
    let mut table = Table::new(["scheme", "layer", "what", "head", "from", "to", "value", "per_key"]);
    for Layer { scheme, layer, spreads, curve } in looked {
        let mut push = |what: &str, head: Option<usize>, (from, to): (usize, usize), value: f64, per_key: Option<f64>| {
            table.push(vec![
                Cell::Text(scheme.clone()),
                Cell::Count(*layer as u64),
                Cell::Text(what.to_owned()),
                head.map_or(Cell::Nothing, |head| Cell::Count(head as u64)),
                Cell::Count(from as u64),
                Cell::Count(to as u64),
                Cell::Number(value, 6),
                per_key.map_or(Cell::Nothing, |value| Cell::Number(value, 6)),
            ]);
        };
        for spread in spreads {
            for bin in &spread.by_distance {
                push("attention", Some(spread.head), (bin.range.start, bin.range.end), bin.mass, Some(bin.per_key));
            }
        }
        let curves = [("mean cos", None, &curve.mean_cosine), ("bound", None, &curve.bound)];
        let biases = curve.bias.iter().enumerate().map(|(head, bias)| ("bias", Some(head), bias));
        for (what, head, values) in curves.into_iter().chain(biases) {
            for (&distance, &value) in curve.distances.iter().zip(values) {
                push(what, head, (distance, distance + 1), value, None);
            }
        }
    }
    table
}
