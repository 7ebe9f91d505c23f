//! What this machine can do at best, measured in the same run as the tests: how fast it reads memory and how fast it multiplies. A speed
//! without its limit says little.

use super::record::Subject;
use crate::cli::machine::{processor, read_bandwidth};
use std::fmt;

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
