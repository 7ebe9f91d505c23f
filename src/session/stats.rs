//! What a session has computed and how long it took.

use std::time::Duration;

/// Counters of a session since it was made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Tokens computed several at a time.
    pub prompt_tokens: usize,
    /// Time for them.
    pub prompt_time: Duration,
    /// Tokens computed one at a time.
    pub decoded_tokens: usize,
    /// Time for them, without sampling.
    pub decode_time: Duration,
    /// Tokens that a chat did not have to compute again.
    pub reused_tokens: usize,
}

impl Stats {
    /// What a token took that was computed by itself, on average; `None` where there was none.
    pub fn time_of_token(&self) -> Option<Duration> {
        let tokens = u32::try_from(self.decoded_tokens).unwrap_or(u32::MAX);
        (tokens > 0).then(|| self.decode_time / tokens)
    }

    pub(super) fn add(&mut self, tokens: usize, time: Duration) {
        let (count, total) = match tokens {
            1 => (&mut self.decoded_tokens, &mut self.decode_time),
            _ => (&mut self.prompt_tokens, &mut self.prompt_time),
        };
        *count += tokens;
        *total += time;
    }
}
