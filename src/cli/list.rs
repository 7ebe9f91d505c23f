//! `kinglet list`: the models that have a short name, and those that are on this machine.

use super::store::{self, Wanted, catalogue};
use super::terminal::{Paint, human_bytes};
use super::{Command, Failure};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  kinglet list
  kinglet list --json | jq -r '.[] | select(.here) | .path'";

/// Show the known models and the ones that are on this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct List {
    /// Print JSON: an array of objects with name, path, bytes, here, about, licence
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Row {
    name: String,
    path: PathBuf,
    bytes: u64,
    here: bool,
    about: Option<&'static str>,
    licence: Option<&'static str>,
}

impl Command for List {
    const NAME: &'static str = "list";

    fn run(self) -> Result<(), Failure> {
        let folder = store::folder()?;
        let rows = rows(&folder)?;
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &rows).map_err(io::Error::from)?;
            writeln!(out)?;
            return Ok(());
        }
        let paint = Paint::stdout();
        let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        for row in &rows {
            let here = if row.here { "here" } else { "-" };
            let default = if row.name == catalogue::DEFAULT { " (the default)" } else { "" };
            let about = row.about.unwrap_or("");
            let name = paint.bold(&format!("{:width$}", row.name));
            writeln!(out, "{}", format!("{name}  {here:4}  {:>9}  {about}{default}", human_bytes(row.bytes)).trim_end())?;
        }
        writeln!(out, "\n{}", paint.dim(&format!("models folder: {}", folder.display())))?;
        Ok(())
    }
}

/// The catalogue first, then whatever else lies in the folder.
fn rows(folder: &Path) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for entry in catalogue::CATALOGUE {
        let path = store::place(&Wanted::Listed(entry))?;
        let here = std::fs::metadata(&path).is_ok_and(|file| file.len() == entry.bytes);
        rows.push(Row {
            name: entry.name.to_owned(),
            path,
            bytes: entry.bytes,
            here,
            about: Some(entry.about),
            licence: Some(entry.licence),
        });
    }
    let mut others = Vec::new();
    find_models(folder, 0, &mut others);
    others.sort();
    for path in others {
        if rows.iter().any(|row| row.path == path) {
            continue;
        }
        let inside = path.strip_prefix(folder).unwrap_or(&path);
        let name = match inside.strip_prefix("hf") {
            Ok(place) => format!("hf:{}", place.display()),
            Err(_) => inside.display().to_string(),
        };
        let bytes = std::fs::metadata(&path).map_or(0, |file| file.len());
        rows.push(Row { name, path, bytes, here: true, about: None, licence: None });
    }
    Ok(rows)
}

/// GGUF files below the folder; a folder that can't be read has none.
fn find_models(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    const DEEPEST: usize = 6;
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() && depth < DEEPEST {
            find_models(&path, depth + 1, found);
        } else if path.is_file() && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf")) {
            found.push(path);
        }
    }
}
