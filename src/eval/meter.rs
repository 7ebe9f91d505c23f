//! What a token costs along a run: time and memory, at its beginning and at its end. A cache that streams keeps both flat.

use std::collections::VecDeque;
use std::time::Duration;

/// Tokens of a median.
pub const MEASURED: usize = 10_000;

/// Time by token and memory of the process, from a certain token on.
#[derive(Debug, Clone)]
pub struct Meter {
    /// Tokens still to come before the first that counts.
    before: usize,
    tokens: usize,
    first: Vec<Duration>,
    last: VecDeque<Duration>,
    resident: Option<(u64, u64, u64)>,
}

/// Memory of the process in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    /// After the first tokens that count, as many as a median has (fewer where fewer came).
    pub first: u64,
    /// After the last.
    pub last: u64,
    /// The most there was in between.
    pub most: u64,
}

impl Meter {
    /// Counts from the token after the first `before` on.
    pub fn after(before: usize) -> Meter {
        Meter { before, tokens: 0, first: Vec::new(), last: VecDeque::new(), resident: None }
    }

    /// `tokens` more have come, which took `each`.
    pub fn add(&mut self, tokens: usize, each: Duration) {
        let counted = tokens - self.before.min(tokens);
        self.before -= self.before.min(tokens);
        self.tokens += counted;
        for _ in 0..counted {
            if self.first.len() < MEASURED {
                self.first.push(each);
            }
            if self.last.len() == MEASURED {
                self.last.pop_front();
            }
            self.last.push_back(each);
        }
        if let Some(now) = resident().filter(|_| counted > 0) {
            let (first, _, most) = self.resident.unwrap_or((now, now, now));
            // Memory that is taken step by step in the beginning is no growth.
            let first = if self.tokens <= MEASURED { now } else { first };
            self.resident = Some((first, now, most.max(now)));
        }
    }

    /// Tokens that count.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The median time of the first [`MEASURED`] tokens that count and of the last; `None` before the first. Where fewer than twice as many
    /// came, the two have tokens in common.
    pub fn medians(&self) -> Option<(Duration, Duration)> {
        Some((median(self.first.clone())?, median(self.last.iter().copied().collect())?))
    }

    /// Memory, where the system tells it.
    pub fn resident(&self) -> Option<Resident> {
        self.resident.map(|(first, last, most)| Resident { first, last, most })
    }
}

fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// Bytes of memory that this process holds, mapped files that it has touched among them; `None` on other systems than Linux.
pub fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_those_of_the_beginning_and_of_the_end() {
        let (slow, fast) = (Duration::from_millis(9), Duration::from_millis(3));
        let mut meter = Meter::after(100);
        meter.add(64, slow);
        assert_eq!(meter.medians(), None);
        // 36 of these are still before the first that counts.
        meter.add(64, slow);
        assert_eq!(meter.tokens(), 28);
        meter.add(MEASURED, fast);
        meter.add(MEASURED / 3, slow);
        assert_eq!(meter.medians(), Some((fast, fast)));
        meter.add(MEASURED / 3, slow);
        assert_eq!(meter.medians(), Some((fast, slow)));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_told() {
        assert!(resident().unwrap() > 100_000);
    }
}
