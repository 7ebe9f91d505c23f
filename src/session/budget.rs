//! One bound on the memory that is taken beside the mapped weights. What a session may come to is known before its first token: its cache
//! when it is full, a copy of that while a text longer than the context is taken in, and what a pass works in. So it is fitted into the
//! bound, or refused with the numbers, at the beginning; nothing is measured and cut down later.

use super::BATCH;
use super::model::Shared;
use crate::attention::PAGE;
use crate::error::SessionError;
use crate::error::file::{Excerpt, LONGEST_NAME};
use crate::kv::Policy;
use crate::parallel::machine;
use std::fmt;
use std::str::FromStr;

/// Bytes of memory beside the mapped weights: `1500M`, `2G`; K, M and G are powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget(pub u64);

/// Why a text is no [`Budget`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no amount of memory; expected bytes or a number with K, M or G, as in 1500M or 2G", Excerpt(.0, LONGEST_NAME))]
pub struct BudgetError(String);

impl FromStr for Budget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Budget, BudgetError> {
        let wrong = || BudgetError(text.to_owned());
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
            "" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        number.checked_mul(1 << shift).filter(|&bytes| bytes > 0).map(Budget).ok_or_else(wrong)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Amount(self.0))
    }
}

/// Bytes as people read them.
#[derive(Clone, Copy)]
struct Amount(u64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MiB", self.0 as f64 / f64::from(1 << 20))
    }
}

/// What a session comes to at most, in bytes beside the mapped weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Tokens that attention sees.
    pub context: usize,
    /// Rows of a pass.
    pub batch: usize,
    /// Keys and values of a full context.
    pub cache: u64,
    /// The copy that is kept while a text longer than the context comes in, should it have to be taken back.
    pub copy: u64,
    /// What a pass works in.
    pub work: u64,
    /// What the process held before: the program, the tokenizer, weights that were not mapped but read.
    pub held: u64,
}

impl Room {
    /// A session of `context` tokens that computes `batch` rows at once.
    fn of(shared: &Shared, context: usize, policy: Policy, batch: usize, held: u64) -> Room {
        let turns = policy != Policy::Stop;
        let cache = shared.cache_bytes(context.saturating_add(if turns { batch + PAGE } else { 0 })) as u64;
        let rows = batch.max(shared.decoder.spec().prefix());
        let work = shared.decoder.workspace_bytes(rows, shared.threads(), context) as u64;
        Room { context, batch, cache, copy: if turns { cache } else { 0 }, work, held }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        [self.cache, self.copy, self.work, self.held].into_iter().fold(0, u64::saturating_add)
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for the cache of {} tokens, ", Amount(self.cache), self.context)?;
        if self.copy > 0 {
            write!(f, "{} for its copy, ", Amount(self.copy))?;
        }
        write!(f, "{} for passes of {} rows, {} held already", Amount(self.work), self.batch, Amount(self.held))
    }
}

/// Fewest rows that a pass is cut down to, and fewest tokens that a context is when nobody asked for a length.
const FEWEST_ROWS: usize = 16;
const SHORTEST: usize = 256;

/// What a session of `asked` tokens comes to, or one of as many as usual or as the model's budget allows.
///
/// # Errors
/// Where the budget does not hold it.
pub(super) fn room(shared: &Shared, asked: Option<usize>, policy: impl Fn(usize) -> Policy) -> Result<Room, SessionError> {
    match shared.memory {
        Some(budget) => budget.fit(shared, asked, policy),
        None => {
            let context = asked.unwrap_or_else(|| shared.default_context());
            Ok(Room::of(shared, context, policy(context), BATCH, 0))
        }
    }
}

/// That the model's budget holds a pass over whole texts of `rows` tokens.
///
/// # Errors
/// Where it does not.
pub(super) fn allows(shared: &Shared, rows: usize) -> Result<(), SessionError> {
    let Some(budget) = shared.memory else { return Ok(()) };
    let room = Room::of(shared, rows, Policy::Stop, rows, machine::private_memory().unwrap_or(0));
    if room.total() <= budget.0 {
        return Ok(());
    }
    Err(SessionError::OverBudget { budget: budget.to_string(), room: room.to_string() })
}

impl Budget {
    /// The largest context, or the one that is asked for, and the largest passes that fit.
    ///
    /// # Errors
    /// Where none does.
    fn fit(self, shared: &Shared, asked: Option<usize>, policy: impl Fn(usize) -> Policy) -> Result<Room, SessionError> {
        // The tokenizer is made when it is first needed, and would come on top; a model that has none has nothing to add.
        let _ = shared.tokenizer();
        let held = machine::private_memory().unwrap_or(0);
        let room = |context, batch| Room::of(shared, context, policy(context), batch, held);
        let fits = |room: &Room| room.total() <= self.0;
        let least = asked.unwrap_or(SHORTEST.min(shared.trained_context()));
        // A pass's memory is not to be what makes a context short: a quarter of what is free will do.
        let free = self.0.saturating_sub(held);
        let batches = std::iter::successors(Some(BATCH), |&batch| (batch > FEWEST_ROWS).then_some(batch / 2));
        let batch = batches.clone().find(|&batch| room(least, batch).work <= free / 4 && fits(&room(least, batch)));
        let batch = batch.or_else(|| batches.clone().find(|&batch| fits(&room(least, batch))));
        let Some(batch) = batch else {
            let room = room(least, FEWEST_ROWS).to_string();
            return Err(SessionError::OverBudget { budget: self.to_string(), room });
        };
        if asked.is_some() {
            return Ok(room(least, batch));
        }
        let (mut fitting, mut beyond) = (least, shared.trained_context().saturating_add(1));
        while beyond - fitting > 1 {
            let middle = fitting + (beyond - fitting) / 2;
            if fits(&room(middle, batch)) { fitting = middle } else { beyond = middle }
        }
        Ok(room(fitting, batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_they_are_written() {
        for (text, bytes) in [("1", 1), ("64K", 64 << 10), ("1500M", 1500 << 20), ("2g", 2 << 30), ("3MiB", 3 << 20), ("512kb", 512 << 10)]
        {
            assert_eq!(text.parse(), Ok(Budget(bytes)), "{text}");
        }
        for text in ["", "M", "0", "0G", "-1M", "1.5G", "1T", "12 M", "99999999999999999999", "17179869184G", "ü", "1ü"] {
            let error = text.parse::<Budget>().unwrap_err().to_string();
            assert!(error.contains("1500M"), "{text}: {error}");
        }
    }
}
