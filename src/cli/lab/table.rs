//! A table: columns with names, cells of numbers and words. It is printed for a person, and written as CSV or as JSON objects for programs.

use serde_json::{Map, Value};
use std::fmt;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A word.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A number, and how many decimals a person sees of it.
    Number(f64, usize),
    /// A small or large number, which a person sees with three digits and an exponent.
    Scientific(f64),
    /// Not measured.
    Nothing,
}

/// Rows of cells under their columns' names.
#[derive(Debug, Clone, Default)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// No rows so far.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Table {
        Table { columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// One row more, with a cell for each column.
    pub fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// Comma-separated values with a header; what was not measured is empty.
    pub fn csv(&self) -> String {
        let line = |cells: Vec<String>| cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\n";
        let rows = self.rows.iter().map(|row| row.iter().map(Cell::in_full).collect());
        std::iter::once(self.columns.clone()).chain(rows).map(line).collect()
    }

    /// An object for each row.
    pub fn json(&self) -> Value {
        let object = |row: &Vec<Cell>| Value::Object(self.columns.iter().cloned().zip(row.iter().map(Cell::json)).collect::<Map<_, _>>());
        Value::Array(self.rows.iter().map(object).collect())
    }
}

impl Cell {
    fn json(&self) -> Value {
        match self {
            Cell::Text(text) => Value::from(text.as_str()),
            Cell::Count(n) => Value::from(*n),
            // What is no number (infinite, undefined) is null in JSON.
            Cell::Number(x, _) | Cell::Scientific(x) => Value::from(*x),
            Cell::Nothing => Value::Null,
        }
    }

    /// With all digits.
    fn in_full(&self) -> String {
        match self {
            Cell::Number(x, _) | Cell::Scientific(x) => x.to_string(),
            Cell::Nothing => String::new(),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Text(text) => f.write_str(text),
            Cell::Count(n) => write!(f, "{n}"),
            Cell::Number(x, digits) if x.abs() < 1e7 || !x.is_finite() => write!(f, "{x:.digits$}"),
            Cell::Number(x, _) | Cell::Scientific(x) => write!(f, "{x:.2e}"),
            Cell::Nothing => f.write_str("-"),
        }
    }
}

impl fmt::Display for Table {
    /// Columns one below the other: words to the left, numbers to the right.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(Cell::to_string).collect()).collect();
        let lines = std::iter::once(&self.columns).chain(&cells);
        let width = |column: usize| lines.clone().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let words = |column: usize| self.rows.iter().any(|row| matches!(row[column], Cell::Text(_)));
        for line in lines {
            let aligned = line.iter().enumerate().map(|(column, cell)| match words(column) {
                true => format!("{cell:<width$}", width = widths[column]),
                false => format!("{cell:>width$}", width = widths[column]),
            });
            writeln!(f, "{}", aligned.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

fn quoted(cell: &str) -> String {
    match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["scheme", "ppl"]);
        table.push(vec![Cell::Text("rope:yarn=4,orig=2048".into()), Cell::Number(12.3456, 2)]);
        table.push(vec![Cell::Text("a \"b\"".into()), Cell::Nothing]);
        table
    }

    #[test]
    fn people_see_aligned_columns() {
        assert_eq!(table().to_string(), "scheme                   ppl\nrope:yarn=4,orig=2048  12.35\na \"b\"                      -\n");
    }

    #[test]
    fn programs_get_all_digits() {
        assert_eq!(table().csv(), "scheme,ppl\n\"rope:yarn=4,orig=2048\",12.3456\n\"a \"\"b\"\"\",\n");
        assert_eq!(table().json()[0]["ppl"], 12.3456);
        assert_eq!(table().json()[1]["ppl"], Value::Null);
        assert_eq!(Cell::Number(f64::NAN, 2).json(), Value::Null);
    }
}
