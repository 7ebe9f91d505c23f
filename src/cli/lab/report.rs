//! What a measurement gives: tables for the terminal, records for programs, a figure. Whoever measures fills it; where it goes is told by
//! three flags that all measurements share.

use super::plot::{self, Figure};
use super::table::Table;
use crate::cli::Failure;
use crate::cli::terminal::Paint;
use serde_json::{Map, Value};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where a report goes beside the terminal.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutFlags {
    /// Write the records and how they were measured as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the records as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// Draw a figure; its kind is told by its name: .svg or .png. May be repeated
    #[arg(long, value_name = "FILE.svg|.png", value_parser = drawable)]
    plot: Vec<PathBuf>,
}

/// The outcome of a measurement.
#[derive(Debug, Default)]
pub struct Report {
    /// How it was measured, by names.
    pub about: Map<String, Value>,
    /// What a person sees: headings and tables below them.
    pub views: Vec<(String, Table)>,
    /// What programs read: a row for each number.
    pub records: Table,
    /// The same as a figure.
    pub figure: Figure,
    /// Whether it was ended before its time.
    pub interrupted: bool,
}

impl OutFlags {
    /// Refuses, before hours are spent, what could not be written after them.
    pub fn check(&self) -> Result<(), Failure> {
        for file in self.json.iter().chain(&self.csv).chain(&self.plot) {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !folder.is_dir() {
                return Err(Failure::error(format!("cannot write {}: there is no folder {}", file.display(), folder.display())));
            }
        }
        Ok(())
    }

    /// Prints the report on stdout and writes it to the files that were asked for. One that was interrupted says so at the end.
    pub fn deliver(&self, report: &Report) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        for (index, (heading, table)) in report.views.iter().enumerate() {
            write!(out, "{}{}\n{table}", if index > 0 { "\n" } else { "" }, Paint::stdout().bold(heading))?;
        }
        out.flush()?;
        if let Some(file) = &self.json {
            let mut all = report.about.clone();
            all.insert("complete".into(), Value::from(!report.interrupted));
            all.insert("rows".into(), report.records.json());
            write(file, format!("{:#}\n", Value::Object(all)).as_bytes())?;
        }
        if let Some(file) = &self.csv {
            write(file, report.records.csv().as_bytes())?;
        }
        for file in &self.plot {
            let drawn = if is(file, "png") { plot::png(&report.figure) } else { plot::svg(&report.figure).map(String::into_bytes) };
            write(file, &drawn.map_err(|error| Failure::error(format!("cannot draw {}: {error}", file.display())))?)?;
        }
        if report.interrupted { Err(Failure::Interrupted) } else { Ok(()) }
    }
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    crate::file::replace(file, |mut to| to.write_all(bytes))
        .map_err(|error| Failure::io(format!("cannot write {}", file.display()), &error))
}

fn is(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

fn drawable(name: &str) -> Result<PathBuf, String> {
    let file = PathBuf::from(name);
    if is(&file, "svg") || is(&file, "png") { Ok(file) } else { Err("expected a name that ends in .svg or .png".into()) }
}
