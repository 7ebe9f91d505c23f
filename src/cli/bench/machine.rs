//! What this machine can do at best, measured in the same run as the tests: how fast it reads memory and how fast it multiplies. A speed
//! without its limit says little.

use super::record::Subject;
use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Memory that is read in turn; more than any cache holds.
const READ_BYTES: usize = 256 << 20;

/// How long one limit is measured.
const LONG_ENOUGH: Duration = Duration::from_millis(300);

/// The limits for some numbers of threads.
#[derive(Debug)]
pub struct Limits {
    /// Threads, bytes per second.
    read: Vec<(usize, f64)>,
}

impl Limits {
    /// Measures them for every number of threads that is tested.
    pub fn measure(subjects: &[Subject]) -> Limits {
        let mut threads: Vec<usize> = subjects.iter().map(|subject| subject.model.threads()).collect();
        threads.sort_unstable();
        threads.dedup();
        Limits { read: threads.into_iter().map(|threads| (threads, read_bandwidth(threads))).collect() }
    }

    /// Bytes per second that so many threads read.
    pub fn read(&self, threads: usize) -> Option<f64> {
        self.read.iter().find(|(known, _)| *known == threads).map(|(_, read)| *read)
    }

    /// Tokens per second that decoding could reach: every token reads all weights that it uses, and the cache of those before it.
    pub fn decode(&self, subject: &Subject, n_gen: usize, n_depth: usize) -> Option<f64> {
        let cache = subject.model.cache_bytes(n_depth + n_gen / 2);
        Some(self.read(subject.model.threads())? / (subject.model.bytes_per_token() + cache) as f64)
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (threads, read)) in self.read.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{threads} threads read {:.1} GB/s", read / 1e9)?;
        }
        write!(f, " ({})", processor())
    }
}

/// The processor's name.
pub fn processor() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// Bytes per second that `threads` threads read from memory, the best of several rounds.
fn read_bandwidth(threads: usize) -> f64 {
    let words = vec![1u64; READ_BYTES / 8];
    let (begin, mut best) = (Instant::now(), 0.0f64);
    while begin.elapsed() < LONG_ENOUGH {
        let round = Instant::now();
        std::thread::scope(|scope| {
            for part in words.chunks(words.len().div_ceil(threads)) {
                scope.spawn(move || black_box(part.iter().fold(0u64, |sum, &word| sum.wrapping_add(word))));
            }
        });
        best = best.max(READ_BYTES as f64 / round.elapsed().as_secs_f64());
    }
    best
}
