//! Results as a Markdown table, JSON, JSON lines or CSV, laid out as llama-bench's.

use super::Format;
use super::record::Record;
use crate::cli::Failure;
use serde_json::Value;
use std::io::{self, Write};

/// Prints all results on stdout.
pub fn print(format: Format, records: &[Record]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match format {
        Format::Md => markdown(&mut out, records)?,
        Format::Csv => csv(&mut out, records)?,
        Format::Jsonl => {
            for record in records {
                writeln!(out, "{}", serde_json::to_string(&record.fields).map_err(io::Error::from)?)?;
            }
        }
        Format::Json => {
            let fields: Vec<_> = records.iter().map(|record| &record.fields).collect();
            writeln!(out, "{}", serde_json::to_string_pretty(&fields).map_err(io::Error::from)?)?;
        }
    }
    Ok(())
}

fn markdown(out: &mut impl Write, records: &[Record]) -> io::Result<()> {
    writeln!(
        out,
        "| {:<30} | {:>10} | {:>10} | {:<10} | {:>7} | {:>15} | {:>24} | {:>8} |",
        "model", "size", "params", "backend", "threads", "test", "t/s (least–most)", "of limit"
    )?;
    let dashes = |n: usize| "-".repeat(n);
    writeln!(
        out,
        "| {} | {}: | {}: | {} | {}: | {}: | {}: | {}: |",
        dashes(30),
        dashes(9),
        dashes(9),
        dashes(10),
        dashes(6),
        dashes(14),
        dashes(23),
        dashes(7)
    )?;
    for record in records {
        let size = format!("{:.2} MiB", record.bytes as f64 / f64::from(1 << 20));
        let params = format!("{:.2} M", record.weights as f64 / 1e6);
        let [median, least, most] = record.speed;
        let speed = format!("{median:.1} ({least:.1}–{most:.1})");
        let share = record.share.map_or(String::new(), |share| format!("{:.0} %", share * 100.0));
        let (kind, threads, test) = (&record.kind, record.threads, &record.test);
        writeln!(out, "| {kind:<30} | {size:>10} | {params:>10} | {:<10} | {threads:>7} | {test:>15} | {speed:>24} | {share:>8} |", "CPU")?;
    }
    Ok(())
}

/// Every value in quotes, lists left out, as llama-bench does it.
fn csv(out: &mut impl Write, records: &[Record]) -> io::Result<()> {
    let scalar = |(_, value): &(&String, &Value)| !value.is_array();
    for (at, record) in records.iter().enumerate() {
        if at == 0 {
            let names: Vec<&str> = record.fields.iter().filter(scalar).map(|(name, _)| name.as_str()).collect();
            writeln!(out, "{}", names.join(","))?;
        }
        let values: Vec<String> = record.fields.iter().filter(scalar).map(|(_, value)| quoted(value)).collect();
        writeln!(out, "{}", values.join(","))?;
    }
    Ok(())
}

fn quoted(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.replace('"', "\"\""),
        Value::Bool(flag) => u8::from(*flag).to_string(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    format!("\"{text}\"")
}
