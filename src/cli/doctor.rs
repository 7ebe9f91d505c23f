//! `kinglet doctor`: what kinglet sees of this machine, for a person who wonders about speed, and for a report about a problem.

use super::store::{self, Wanted, catalogue};
use super::terminal::{Paint, human_bytes};
use super::{Command, Failure, machine};
use crate::parallel::{CpuMask, machine as process};
use kinglet_quant::isa::Level;
use kinglet_quant::limits as quant;
use std::io::{self, Write};

const EXAMPLES: &str = "\
Examples:
  kinglet doctor
  KINGLET_ISA=scalar kinglet doctor";

/// Show what this machine has, and what kinglet makes of it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Doctor {}

impl Command for Doctor {
    const NAME: &'static str = "doctor";

    fn run(self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let threads = process::threads();
        for (name, value) in [
            ("kinglet", format!("{} ({}, {})", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS)),
            ("processor", machine::processor()),
            ("features", machine::features().join(" ")),
            ("levels", levels()),
            ("threads", format!("{threads} to compute with{}", process::online().map_or(String::new(), |n| format!(", {n} online")))),
            ("cpu mask", CpuMask::current().map_or("unknown".to_owned(), |mask| format!("{mask} ({})", mask.hex()))),
            ("quota", machine::quota().map_or("none".to_owned(), |cores| format!("{cores:.1} cores by the control group"))),
            ("memory", process::memory().map_or("unknown".to_owned(), human_bytes)),
            ("huge pages", huge_pages()),
            ("limits", peaks(threads)),
            ("network", if store::offline() { "forbidden by KINGLET_OFFLINE" } else { "allowed, for `pull` alone" }.to_owned()),
            ("models", store::folder()?.display().to_string()),
        ] {
            writeln!(out, "{}  {value}", Paint::stdout().bold(&format!("{name:>10}")))?;
        }
        for entry in catalogue::CATALOGUE {
            let place = store::place(&Wanted::Listed(entry))?;
            let state = match std::fs::metadata(&place) {
                Ok(file) if file.len() == entry.bytes => format!("here, {}", human_bytes(file.len())),
                Ok(file) => format!("damaged: {} of {} bytes; `kinglet pull {}` mends it", file.len(), entry.bytes, entry.name),
                Err(_) => format!("not here; `kinglet pull {}` fetches it", entry.name),
            };
            writeln!(out, "{:>10}  {}: {state}", "", entry.name)?;
        }
        Ok(())
    }
}

/// Whether weights can lie in huge pages, which decoding is up to 40 % faster from.
fn huge_pages() -> String {
    match machine::huge_pages().as_deref() {
        None => "unknown".to_owned(),
        Some("never") => "never (weights lie in small pages, which are slower to read)".to_owned(),
        Some(mode) => format!("{mode} (kinglet asks for them; a file gets them when it is read into memory anew)"),
    }
}

/// Reading and multiplying, at the level in use.
fn peaks(threads: usize) -> String {
    let Ok(level) = Level::detect() else { return "unknown".to_owned() };
    let (read, multiply) =
        (machine::read_bandwidth(level, threads, quant::BUFFER) / 1e9, quant::integer_peak(level) * threads as f64 / 1e9);
    format!("{threads} threads read {read:.1} GB/s and multiply {multiply:.0} G/s (integers of 4 and 8 bits)")
}

/// The levels of this machine; the one in use in brackets.
fn levels() -> String {
    let used = match Level::detect() {
        Ok(level) => level,
        Err(e) => return e.to_string(),
    };
    let names: Vec<String> =
        Level::available().into_iter().map(|level| if level == used { format!("[{level}]") } else { level.to_string() }).collect();
    names.join(" ")
}
