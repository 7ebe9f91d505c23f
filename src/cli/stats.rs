//! What `--stats` says on stderr: how long things took, and how much memory the session has and may take.

use super::terminal::{human_bytes, note};
use crate::{Model, Session, Stats};
use std::time::Duration;

/// Everything about one run.
pub fn print(model: &Model, session: &Session, opened: Duration, generated: usize) {
    let Stats { prompt_tokens, prompt_time, decoded_tokens, decode_time, reused_tokens } = session.stats().clone();
    note("");
    note(format!("model    {}, {}, ready in {:.1} ms", model.spec().family, human_bytes(model.file().bytes()), opened.as_secs_f64() * 1e3));
    note(format!("prompt   {}{}", rate(prompt_tokens, prompt_time), reused(reused_tokens)));
    note(format!("answer   {generated} tokens; {}", rate(decoded_tokens, decode_time)));
    note(format!("cache    {}", cache(session)));
    note(format!("threads  {}", model.threads()));
}

/// `120 tokens computed in 0.82 s, 146.3 tokens/s`.
pub fn rate(tokens: usize, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let rate = if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 };
    format!("{tokens} tokens computed in {seconds:.3} s, {rate:.1} tokens/s")
}

/// What the cache holds and what it may grow to.
pub fn cache(session: &Session) -> String {
    let (now, bound) = (human_bytes(session.cache_bytes() as u64), human_bytes(session.cache_bound_bytes() as u64));
    let forgotten = session.forgotten();
    let lost = if forgotten == 0 { String::new() } else { format!(", {forgotten} of {} forgotten", session.len()) };
    format!("{} of {} tokens{lost}; {now} now, {bound} at most", session.len() - forgotten, session.context())
}

fn reused(tokens: usize) -> String {
    if tokens == 0 { String::new() } else { format!(", {tokens} reused") }
}
