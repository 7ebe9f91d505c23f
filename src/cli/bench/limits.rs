//! What this machine allows at best, measured in the same run as the tests: how fast it reads memory and how fast it multiplies. A speed
//! without its limit says little.

use super::record::Subject;
use super::trial::{Test, Work};
use crate::cli::machine::{processor, read_bandwidth};
use crate::cli::terminal::human_bytes;
use crate::forward::Amount;
use kinglet_models::{Attention, FeedForward, Spec};
use kinglet_quant::isa::Level;
use kinglet_quant::limits::{f32_peak, integer_peak};
use std::fmt;

/// The limits for the levels, the numbers of threads and the memory that the tests read.
#[derive(Debug)]
pub struct Limits {
    measured: Vec<Limit>,
}

/// What one level reaches on a number of threads.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    level: Level,
    threads: usize,
    /// Bytes that a token reads.
    bytes: usize,
    /// So many bytes, read again and again: bytes per second.
    pub read: f64,
    /// Integer multiply-accumulates per second.
    pub multiply: f64,
    /// The same in f32, in which attention is computed.
    multiply_f32: f64,
}

impl Limits {
    /// Measures them.
    pub fn measure(tests: &[Test<'_>]) -> Limits {
        let mut measured: Vec<Limit> = Vec::new();
        for test in tests {
            let (level, threads, bytes) = key(test);
            if !measured.iter().any(|limit| limit.is_for(test)) {
                measured.push(Limit {
                    level,
                    threads,
                    bytes,
                    read: read_bandwidth(level, threads, bytes),
                    multiply: integer_peak(level) * threads as f64,
                    multiply_f32: f32_peak(level) * threads as f64,
                });
            }
        }
        Limits { measured }
    }

    /// The means of two measurements of the same.
    pub fn mean(&self, other: &Limits) -> Limits {
        let mean = |(a, b): (&Limit, &Limit)| Limit {
            read: (a.read + b.read) / 2.0,
            multiply: (a.multiply + b.multiply) / 2.0,
            multiply_f32: (a.multiply_f32 + b.multiply_f32) / 2.0,
            ..*a
        };
        Limits { measured: self.measured.iter().zip(&other.measured).map(mean).collect() }
    }

    /// What has changed by more than the share `much`, in words.
    pub fn changes(&self, later: &Limits, much: f64) -> Vec<String> {
        let mut changes = Vec::new();
        for (a, b) in self.measured.iter().zip(&later.measured) {
            for (what, unit, a_rate, b_rate) in [("read", "GB/s", a.read, b.read), ("multiplied", "G/s", a.multiply, b.multiply)] {
                if (b_rate - a_rate).abs() > much * a_rate.max(b_rate) {
                    let (before, after) = (a_rate / 1e9, b_rate / 1e9);
                    changes.push(format!("{} threads {what} {before:.1} {unit} before the tests and {after:.1} after", a.threads));
                }
            }
        }
        changes
    }

    /// The limit that applies to a test.
    pub fn of(&self, test: &Test<'_>) -> Option<Limit> {
        self.measured.iter().copied().find(|limit| limit.is_for(test))
    }
}

/// What limits depend on. A cache that is short beside the weights makes no difference to how fast both are read.
fn key(&Test { subject, work, .. }: &Test<'_>) -> (Level, usize, usize) {
    let (weights, cache) = bytes(subject, work);
    (subject.model.arithmetic().level(), subject.model.threads(), weights + if cache > weights / 4 { cache } else { 0 })
}

/// Bytes of weights and of the cache that a generated token reads.
fn bytes(subject: &Subject, Work { n_prompt, n_gen, n_depth, .. }: Work) -> (usize, usize) {
    (subject.model.bytes_per_token(), subject.model.cache_bytes(n_depth + n_prompt + n_gen / 2))
}

impl Limit {
    fn is_for(&self, test: &Test<'_>) -> bool {
        (self.level, self.threads, self.bytes) == key(test)
    }

    /// Which share of `seconds` the machine needs for `amount` at best; `None` where there is nothing to multiply or to read.
    pub fn share(&self, amount: &Amount, seconds: f64) -> Option<f64> {
        let multiplying = amount.integer as f64 / self.multiply + amount.float as f64 / self.multiply_f32;
        let least = f64::max(multiplying, amount.bytes as f64 / self.read);
        (least > 0.0).then_some(least / seconds)
    }

    /// Tokens per second that a test could reach: a token that is written reads all weights that it uses and the cache before it; a
    /// token that is read is multiplied with them.
    pub fn tokens_per_second(&self, subject: &Subject, work: Work) -> f64 {
        let (model, Work { n_prompt, n_gen, n_depth, .. }) = (&subject.model, work);
        let (weights, attention) = products(model.spec(), n_depth + n_prompt / 2);
        let reading = n_prompt as f64 * (weights / self.multiply + attention / self.multiply_f32);
        let (of_weights, of_cache) = bytes(subject, work);
        let writing = n_gen as f64 * (of_weights + of_cache) as f64 / self.read;
        (n_prompt + n_gen) as f64 / (reading + writing)
    }
}

/// Multiplications for one token of a prompt: with the weights of the layers, and with the keys and values of `before` tokens.
fn products(spec: &Spec, before: usize) -> (f64, f64) {
    let (mut weights, mut attention) = (0, 0);
    for layer in &spec.layers {
        let Attention { n_heads, n_kv_heads, d_head, window, .. } = layer.attention;
        weights += 2 * spec.d_model * d_head * (n_heads + n_kv_heads);
        weights += match &layer.feed {
            FeedForward::Dense(dense) => (2 + usize::from(dense.gate.is_some())) * spec.d_model * dense.d_ff,
            FeedForward::Experts(experts) => spec.d_model * (3 * experts.n_used * experts.d_ff + experts.n_experts),
        };
        attention += 2 * n_heads * d_head * window.map_or(before, |window| before.min(window));
    }
    (weights as f64, attention as f64)
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limits ({}):", processor())?;
        for (at, Limit { level, threads, bytes, read, multiply, .. }) in self.measured.iter().enumerate() {
            let (comma, read, multiply) = (if at > 0 { ";" } else { "" }, read / 1e9, multiply / 1e9);
            write!(
                f,
                "{comma} {threads} threads with {level} read {} at {read:.1} GB/s, multiply {multiply:.0} G/s",
                human_bytes(*bytes as u64)
            )?;
        }
        Ok(())
    }
}
