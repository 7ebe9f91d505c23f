//! Whether the machine had time for the measurement: what else ran on it, whether it became slower or faster meanwhile, and how far a
//! test's runs lie apart. A figure from a busy machine is no figure, and says so.

use super::limits::Limits;
use super::record::Record;
use std::fs;

/// A change of speed, or a spread of samples, that a quiet machine doesn't show.
const MUCH: f64 = 0.1;
/// Runnable processes beside our own.
const BUSY: f64 = 0.5;

/// Processes that were running or waiting for a core during the last minute, on average; `None` where the system does not tell.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// What speaks against the figures, one line each. `load` is from before the first test, `limits` from before and after.
pub fn complaints(load: Option<f64>, limits: [&Limits; 2], records: &[Record]) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(load) = load.filter(|&load| load > BUSY) {
        lines.push(format!("{load:.1} other processes were running before the first test (load average)"));
    }
    lines.extend(limits[0].changes(limits[1], MUCH));
    let unsteady: Vec<String> = records
        .iter()
        .filter(|record| record.spread > MUCH)
        .map(|record| format!("{} with {} threads {:.0} %", record.test, record.threads, 100.0 * record.spread))
        .collect();
    if !unsteady.is_empty() {
        lines.push(format!("runs of the same test lie far apart: {}", unsteady.join(", ")));
    }
    lines
}
