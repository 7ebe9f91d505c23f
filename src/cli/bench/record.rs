//! What is recorded of a test: llama-bench's fields by their names, in its order, and our own after them.

use super::limits::Limits;
use super::profile;
use super::trial::{Test, Work};
use crate::Model;
use crate::cli::machine;
use crate::forward::Arithmetic;
use kinglet_models::{Metadata, Value as Meta};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A model that is measured, with a number of threads.
#[derive(Debug)]
pub struct Subject {
    pub path: PathBuf,
    pub model: Model,
    pub load: String,
    /// The CPUs asked for, in hexadecimal.
    pub mask: String,
    /// `llama 135M Q4_1`.
    pub kind: String,
    /// Bytes of all tensors.
    pub bytes: u64,
    /// Weights of all tensors.
    pub weights: u64,
}

impl Subject {
    pub fn new(path: &Path, model: Model, load: String, mask: String) -> Subject {
        let (mut bytes, mut weights) = (0, 0);
        for tensor in model.file().tensors() {
            bytes += tensor.bytes.len() as u64;
            weights += tensor.shape.iter().product::<usize>() as u64;
        }
        let kind = format!("{} {} {}", model.spec().family, human_count(weights), main_type(&model));
        Subject { path: path.to_path_buf(), model, load, mask, kind, bytes, weights }
    }
}

/// One line of the results.
#[derive(Debug)]
pub struct Record {
    /// What llama-bench's table calls `test`: `pp512`, `tg128 @ d1024`.
    pub test: String,
    /// `n_threads`, for the table.
    pub threads: usize,
    /// Model, size and weights, for the table.
    pub kind: String,
    pub bytes: u64,
    pub weights: u64,
    /// Tokens per second: the median of the runs, the slowest, the fastest.
    pub speed: [f64; 3],
    /// How far the runs lie apart, as a share of the median.
    pub spread: f64,
    /// The share of the machine's limit, where the limit is known.
    pub share: Option<f64>,
    /// All fields, by name.
    pub fields: Map<String, Value>,
}

impl Record {
    pub(super) fn new(test: &Test<'_>, limits: &Limits) -> Record {
        let subject = test.subject;
        let ns: Vec<f64> = test.samples.iter().map(|sample| sample.as_nanos() as f64).collect();
        let work = test.work;
        let tokens = (work.n_prompt + work.n_gen) as f64;
        let ts: Vec<f64> = ns.iter().map(|ns| 1e9 * tokens / ns).collect();
        let ((avg_ns, stddev_ns), (avg_ts, stddev_ts)) = (mean_and_deviation(&ns), mean_and_deviation(&ts));
        let speed = [median(&ts), ts.iter().copied().fold(f64::INFINITY, f64::min), ts.iter().copied().fold(0.0, f64::max)];
        let spread = (speed[2] - speed[1]) / speed[0];
        let limit = limits.of(test);
        let limit_ts = limit.map(|limit| limit.tokens_per_second(subject, work));
        let share = limit_ts.map(|limit| speed[0] / limit);
        let (isa, cache_type) = match subject.model.arithmetic() {
            Arithmetic::Fast(level) => (level.name(), "f16"),
            Arithmetic::Reference => ("reference", "f32"),
        };
        let fields: Vec<(&str, Value)> = vec![
            ("build_commit", "unknown".into()),
            ("build_number", 0.into()),
            ("cpu_info", machine::processor().into()),
            ("gpu_info", "".into()),
            ("backends", "CPU".into()),
            ("model_filename", subject.path.display().to_string().into()),
            ("model_type", subject.kind.clone().into()),
            ("model_size", subject.bytes.into()),
            ("model_n_params", subject.weights.into()),
            ("n_batch", crate::session::BATCH.into()),
            ("n_ubatch", crate::session::BATCH.into()),
            ("n_threads", subject.model.threads().into()),
            ("cpu_mask", subject.mask.clone().into()),
            ("cpu_strict", false.into()),
            ("poll", 0.into()),
            ("type_k", cache_type.into()),
            ("type_v", cache_type.into()),
            ("n_gpu_layers", 0.into()),
            ("n_cpu_moe", 0.into()),
            ("split_mode", "none".into()),
            ("main_gpu", 0.into()),
            ("no_kv_offload", false.into()),
            ("flash_attn", true.into()),
            ("devices", "none".into()),
            ("tensor_split", "0.00".into()),
            ("tensor_buft_overrides", "none".into()),
            ("load_mode", subject.load.clone().into()),
            ("lazy_mode", "auto".into()),
            ("embeddings", false.into()),
            ("no_op_offload", 0.into()),
            ("no_host", false.into()),
            ("repack", false.into()),
            ("fit_target", 0.into()),
            ("fit_min_ctx", 0.into()),
            ("n_prompt", work.n_prompt.into()),
            ("n_gen", work.n_gen.into()),
            ("n_depth", work.n_depth.into()),
            ("test_time", now().into()),
            ("avg_ns", (avg_ns.round() as u64).into()),
            ("stddev_ns", (stddev_ns.round() as u64).into()),
            ("avg_ts", avg_ts.into()),
            ("stddev_ts", stddev_ts.into()),
            ("samples_ns", ns.iter().map(|&ns| ns as u64).collect::<Vec<_>>().into()),
            ("samples_ts", ts.into()),
            ("program", concat!("kinglet ", env!("CARGO_PKG_VERSION")).into()),
            ("isa", isa.into()),
            ("end_to_end", work.end_to_end.into()),
            ("median_ts", speed[0].into()),
            ("spread", spread.into()),
            ("read_gb_per_s", limit.map(|limit| limit.read / 1e9).into()),
            ("multiply_g_per_s", limit.map(|limit| limit.multiply / 1e9).into()),
            ("limit_ts", limit_ts.into()),
            ("share_of_limit", share.into()),
            ("profile", test.profile.as_ref().map_or(Value::Null, profile::fields)),
        ];
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Record {
            test: name(work),
            threads: subject.model.threads(),
            kind: subject.kind.clone(),
            bytes: subject.bytes,
            weights: subject.weights,
            speed,
            spread,
            share,
            fields,
        }
    }
}

/// llama-bench's name for a test.
pub(super) fn name(work: Work) -> String {
    let what = match (work.n_prompt, work.n_gen) {
        (prompt, 0) => format!("pp{prompt}"),
        (0, generated) => format!("tg{generated}"),
        (prompt, generated) => format!("pp{prompt}+tg{generated}"),
    };
    let what = if work.n_depth > 0 { format!("{what} @ d{}", work.n_depth) } else { what };
    if work.end_to_end { what + " text" } else { what }
}

/// The value in the middle; of an even number, the mean of the two.
fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}

fn mean_and_deviation(samples: &[f64]) -> (f64, f64) {
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n;
    if samples.len() < 2 {
        return (mean, 0.0);
    }
    let squares: f64 = samples.iter().map(|sample| (sample - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0)).sqrt())
}

/// `135M`.
fn human_count(weights: u64) -> String {
    match weights {
        0..1_000_000 => format!("{}K", weights / 1000),
        1_000_000..1_000_000_000 => format!("{}M", (weights as f64 / 1e6).round()),
        _ => format!("{:.1}B", weights as f64 / 1e9),
    }
}

/// The type that most of the weights have, or the file's own word for its mix.
fn main_type(model: &Model) -> String {
    let file_type = match model.file().get("general.file_type") {
        Some(Meta::Int(id)) => FILE_TYPES.iter().find(|(known, _)| *known == id).map(|(_, name)| *name),
        _ => None,
    };
    if let Some(name) = file_type {
        return name.to_owned();
    }
    let mut by_type: Vec<(&str, usize)> = Vec::new();
    for tensor in model.file().tensors() {
        match by_type.iter_mut().find(|(name, _)| *name == tensor.ty.name()) {
            Some((_, bytes)) => *bytes += tensor.bytes.len(),
            None => by_type.push((tensor.ty.name(), tensor.bytes.len())),
        }
    }
    by_type.into_iter().max_by_key(|(_, bytes)| *bytes).map_or("?", |(name, _)| name).to_owned()
}

/// llama.cpp's `general.file_type`.
const FILE_TYPES: &[(i64, &str)] = &[
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K - Medium"),
    (11, "Q3_K - Small"),
    (12, "Q3_K - Medium"),
    (13, "Q3_K - Large"),
    (14, "Q4_K - Small"),
    (15, "Q4_K - Medium"),
    (16, "Q5_K - Small"),
    (17, "Q5_K - Medium"),
    (18, "Q6_K"),
    (25, "IQ4_NL"),
    (30, "IQ4_XS"),
    (32, "BF16"),
    (38, "MXFP4 MoE"),
];

/// The time as `2026-01-31T12:00:00Z`.
fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let (year, month, day) = date(seconds / 86400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day from the days since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(19_723), (2024, 1, 1));
        assert_eq!(date(20_781), (2026, 11, 24));
    }

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        assert_eq!(mean_and_deviation(&[2.0, 4.0, 6.0]), (4.0, 2.0));
        assert_eq!(mean_and_deviation(&[5.0]), (5.0, 0.0));
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 3.0, 2.0])), (2.0, 2.5));
    }
}
