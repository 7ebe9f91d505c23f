//! `--profile`: where a test's passes spend their time, step by step, each beside what the machine allows at best.

use super::limits::{Limit, Limits};
use super::record::name;
use super::trial::Test;
use crate::forward::{Amount, Profile, Spent, Step};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::time::Duration;

/// A line of the table.
struct Line {
    name: &'static str,
    spent: Spent,
}

/// One table in Markdown for each test that was profiled.
pub fn print(out: &mut impl Write, tests: &[Test<'_>], limits: &Limits) -> io::Result<()> {
    for test in tests {
        let (Some(profile), Some(limit)) = (&test.profile, limits.of(test)) else { continue };
        table(out, test, profile, limit)?;
    }
    Ok(())
}

fn table(out: &mut impl Write, test: &Test<'_>, profile: &Profile, limit: Limit) -> io::Result<()> {
    let (passes, whole) = (profile.passes.max(1) as f64, profile.time().as_secs_f64());
    let (subject, threads) = (&test.subject.kind, profile.threads);
    writeln!(out, "\n{subject}, {threads} threads, {}: {:.3} ms a pass\n", name(test.work), 1e3 * whole / passes)?;
    writeln!(out, "| step                       | ms a pass | share | GMAC/s |  GB/s | of limit | alone | waiting |")?;
    writeln!(out, "| -------------------------- | --------: | ----: | -----: | ----: | -------: | ----: | ------: |")?;
    for Line { name, spent } in lines(profile) {
        let time = spent.time.as_secs_f64();
        let Amount { integer, float, bytes } = spent.amount;
        let rate = |amount: u64| if amount > 0 { format!("{:.1}", amount as f64 / time / 1e9) } else { String::new() };
        let share = limit.share(&spent.amount, time).map_or(String::new(), |share| format!("{:.0} %", 100.0 * share));
        writeln!(
            out,
            "| {name:<26} | {:>9.3} | {:>3.0} % | {:>6} | {:>5} | {share:>8} | {:>3.0} % | {:>5.0} % |",
            1e3 * time / passes,
            100.0 * time / whole,
            rate(integer + float),
            rate(bytes),
            100.0 * alone(&spent) / time,
            100.0 * waiting(&spent, threads) / time,
        )?;
    }
    writeln!(out, "\nalone: the leader works and the others have nothing to do; waiting: of the threads' time, while some of them work")
}

/// Lines for all kinds of steps that the passes had, and their sum.
fn lines(profile: &Profile) -> Vec<Line> {
    let mut lines: Vec<Line> = Step::ALL.into_iter().map(|step| Line { name: step_name(step), spent: *profile.of(step) }).collect();
    lines.retain(|line| line.spent.steps > 0);
    let all = lines.iter().fold(Spent::default(), |all, line| all + line.spent);
    lines.push(Line { name: "all", spent: all });
    lines
}

/// Seconds in which no crossing was under way.
fn alone(spent: &Spent) -> f64 {
    spent.time.saturating_sub(spent.crossings.time).as_secs_f64()
}

/// Seconds that a thread waited in crossings, on average.
fn waiting(spent: &Spent, threads: usize) -> f64 {
    spent.crossings.time.saturating_sub(spent.crossings.busy / threads.max(1) as u32).as_secs_f64()
}

/// The same as JSON.
pub fn fields(profile: &Profile) -> Value {
    let ms = |time: Duration| 1e3 * time.as_secs_f64() / profile.passes.max(1) as f64;
    let of = |line: Line| {
        let Line { name, spent } = line;
        let Amount { integer, float, bytes } = spent.amount;
        let passes = profile.passes.max(1);
        json!({
            "step": name,
            "ms": ms(spent.time),
            "integer_macs": integer / passes,
            "float_macs": float / passes,
            "bytes": bytes / passes,
            "crossings": spent.crossings.count / passes,
            "alone_ms": 1e3 * alone(&spent) / passes as f64,
            "waiting_ms": 1e3 * waiting(&spent, profile.threads) / passes as f64,
        })
    };
    json!({ "passes": profile.passes, "steps": lines(profile).into_iter().map(of).collect::<Vec<_>>() })
}

fn step_name(step: Step) -> &'static str {
    match step {
        Step::Embed => "embed, rotation tables",
        Step::Norm => "add, norm, quantise",
        Step::Qkv => "q, k, v",
        Step::Store => "rotate k, write cache",
        Step::Attention => "attention",
        Step::Attended => "quantise attention's output",
        Step::Project => "output projection",
        Step::GateUp => "gate, up, activation",
        Step::Down => "down",
        Step::Route => "route to experts",
        Step::Output => "final norm, output matrix",
    }
}
