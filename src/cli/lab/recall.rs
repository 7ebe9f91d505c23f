//! `kinglet lab recall`: what a model still knows of a conversation's first message after some turns about other things.

use super::plot::{Axis, Line, Lines, Panel};
use super::report::OutFlags;
use super::subject::{PolicyFlags, SchemeFlags};
use super::table::{Cell, Table};
use crate::cli::flags::{Full, ModelFlags};
use crate::cli::terminal::count_bar;
use crate::cli::{Failure, interrupt};
use crate::eval::{Dialogue, Recalled};
use crate::kv::Policy;

const EXAMPLES: &str = "\
Examples:
  kinglet lab recall --turns 0,2,4,8,16
  kinglet lab recall --turns 0,4,8,16 --policy ring -c 512            the facts leave the ring
  kinglet lab recall --turns 0,4,8,16 --policy ring -c 512 --pin      and stay when they are pinned

A person tells five facts, talks about other things for some turns, and asks for each fact. The dialogue is written here; only the answers \
are the model's, and greedy.";

/// Facts of a dialogue after some turns.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Recall {
    /// Turns between the facts and the questions, with commas between
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "0,1,2,4,8,16")]
    turns: Vec<usize>,

    /// Where chance begins; the same seed tells the same facts
    #[arg(short, long, value_name = "SEED", default_value_t = 42)]
    seed: u64,

    /// Dialogues with different facts
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = super::positive)]
    trials: usize,

    /// Keep the message with the facts in the context for ever
    #[arg(long)]
    pin: bool,

    #[command(flatten)]
    schemes: SchemeFlags,

    #[command(flatten)]
    caches: PolicyFlags,

    #[command(flatten)]
    out: OutFlags,

    #[command(flatten)]
    model: ModelFlags,
}

/// One subject after some turns.
struct Outcome {
    scheme: String,
    policy: &'static str,
    trial: usize,
    forgotten: usize,
    recalled: Recalled,
}

impl Recall {
    /// Measures and reports.
    pub fn run(self) -> Result<(), Failure> {
        let caches = self.caches.caches(Full::Ring)?;
        if self.pin && caches.iter().any(|cache| cache.policy == Policy::Stop) {
            return Err(Failure::usage("--pin keeps tokens from leaving, and with --policy stop none leave").hint("take --policy ring"));
        }
        self.out.check()?;
        let subjects = self.schemes.subjects(&self.model)?;
        let models = subjects.open(&self.model)?;
        let Some((_, first)) = models.first() else { return Ok(()) };
        let mut report = subjects.report("recall", first);
        let interrupt = interrupt::listen();
        let bar = count_bar((models.len() * caches.len() * self.turns.len() * self.trials) as u64, "asking");
        let mut outcomes = Vec::new();
        'all: for (scheme, model) in &models {
            let template = model.chat_template().ok();
            for cache in &caches {
                let mut session = cache.session(model, self.caches.context().unwrap_or_else(|| model.default_context()))?;
                for trial in 0..self.trials {
                    let dialogue = Dialogue::new(self.seed.wrapping_add(trial as u64));
                    for &turns in &self.turns {
                        bar.set_message(format!("{scheme}, {}, {turns} turns", cache.name));
                        let text = (model.tokenizer()?, template);
                        let Some(recalled) = dialogue.ask(&mut session, text, (turns, self.pin), &interrupt.flag())? else {
                            report.interrupted = true;
                            break 'all;
                        };
                        let forgotten = session.forgotten();
                        outcomes.push(Outcome { scheme: scheme.clone(), policy: cache.name, trial, forgotten, recalled });
                        bar.inc(1);
                    }
                }
            }
        }
        bar.finish_and_clear();
        report.about.insert("seed".into(), self.seed.into());
        report.about.insert("pin".into(), self.pin.into());
        report.about.insert("context".into(), self.caches.context().unwrap_or_else(|| first.default_context()).into());
        self.fill(&mut report, &outcomes);
        self.out.deliver(&report)
    }

    fn fill(&self, report: &mut super::report::Report, outcomes: &[Outcome]) {
        let mut view = Table::new(["scheme", "policy", "turns", "tokens", "forgotten", "recalled"]);
        let mut lines: Vec<Line> = Vec::new();
        let mut groups: Vec<Vec<&Outcome>> = Vec::new();
        for outcome in outcomes {
            let same = |other: &Outcome| {
                (&other.scheme, other.policy, other.recalled.turns) == (&outcome.scheme, outcome.policy, outcome.recalled.turns)
            };
            match groups.iter_mut().find(|group| same(group[0])) {
                Some(group) => group.push(outcome),
                None => groups.push(vec![outcome]),
            }
        }
        for group in &groups {
            let Outcome { scheme, policy, forgotten, recalled, .. } = group[0];
            let right: usize = group.iter().map(|outcome| outcome.recalled.right()).sum();
            let asked: usize = group.iter().map(|outcome| outcome.recalled.answers.len()).sum();
            view.push(vec![
                Cell::Text(scheme.clone()),
                Cell::Text((*policy).into()),
                Cell::Count(recalled.turns as u64),
                Cell::Count(recalled.tokens as u64),
                Cell::Count(*forgotten as u64),
                Cell::Text(format!("{right}/{asked}")),
            ]);
            let (name, point) = (format!("{scheme}, {policy}"), (recalled.turns as f64, 100.0 * right as f64 / asked as f64));
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => line.points.push(point),
                None => lines.push(Line { name, points: vec![point] }),
            }
        }
        report.views.push(("Facts recalled after turns about other things".into(), view));
        report.records = records(outcomes);
        report.figure.panels.push(Panel::Lines(Lines {
            title: "Facts recalled".into(),
            x: Axis::new("turns since the facts were told"),
            y: Axis::new("facts recalled (%)"),
            lines,
            marks: Vec::new(),
        }));
    }
}

fn records(outcomes: &[Outcome]) -> Table {
    let columns = ["scheme", "policy", "trial", "turns", "tokens", "forgotten", "question", "right_answer", "answer", "right"];
    let mut table = Table::new(columns);
    for outcome in outcomes {
        for (question, right, given) in &outcome.recalled.answers {
            table.push(vec![
                Cell::Text(outcome.scheme.clone()),
                Cell::Text(outcome.policy.into()),
                Cell::Count(outcome.trial as u64),
                Cell::Count(outcome.recalled.turns as u64),
                Cell::Count(outcome.recalled.tokens as u64),
                Cell::Count(outcome.forgotten as u64),
                Cell::Text(question.clone()),
                Cell::Text(right.clone()),
                Cell::Text(given.clone()),
                Cell::Count(u64::from(Recalled::is_right(right, given))),
            ]);
        }
    }
    table
}
