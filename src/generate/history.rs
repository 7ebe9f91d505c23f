//! What was accepted lately, for the samplers that discourage repetition: the last tokens in order (DRY) and how often each of
//! the last few occurs (penalties). Memory is bounded by the longer of the two windows.

use std::collections::{HashMap, VecDeque};

use crate::types::TokenId;

/// The last tokens of a text.
#[derive(Debug, Clone)]
pub(super) struct History {
    tokens: VecDeque<TokenId>,
    counts: HashMap<TokenId, u32>,
    /// Tokens that are counted: the newest `counted`.
    counted: usize,
    /// Tokens that are kept, at least `counted`.
    kept: usize,
}

impl History {
    /// Counts over the last `counted` tokens, remembers the last `kept` or, if these are more, the counted ones.
    pub(super) fn new(counted: usize, kept: usize) -> History {
        History { tokens: VecDeque::new(), counts: HashMap::new(), counted, kept: kept.max(counted) }
    }

    pub(super) fn push(&mut self, token: TokenId) {
        if self.kept == 0 {
            return;
        }
        self.tokens.push_back(token);
        if self.counted > 0 {
            *self.counts.entry(token).or_default() += 1;
        }
        if self.counted > 0 && self.tokens.len() > self.counted {
            let leaving = self.tokens[self.tokens.len() - 1 - self.counted];
            if let Some(count) = self.counts.get_mut(&leaving) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&leaving);
                }
            }
        }
        if self.tokens.len() > self.kept {
            self.tokens.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        self.tokens.clear();
        self.counts.clear();
    }

    /// How often each of the counted tokens occurs among them.
    pub(super) fn counts(&self) -> &HashMap<TokenId, u32> {
        &self.counts
    }

    /// The last `n` tokens (fewer where fewer are remembered), newest first.
    pub(super) fn newest_first(&self, n: usize) -> impl Iterator<Item = TokenId> + '_ {
        self.tokens.iter().rev().take(n).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn counts_are_those_of_the_window_however_long_the_history(
            tokens in proptest::collection::vec(0u32..5, 0..60), counted in 0usize..8, kept in 0usize..12,
        ) {
            let mut history = History::new(counted, kept);
            for (i, &token) in tokens.iter().enumerate() {
                history.push(TokenId(token));
                let seen: Vec<u32> = tokens[..=i].iter().rev().copied().collect();
                let mut expected = HashMap::new();
                for &t in seen.iter().take(counted) {
                    *expected.entry(TokenId(t)).or_insert(0) += 1;
                }
                assert_eq!(history.counts(), &expected);
                let newest: Vec<u32> = history.newest_first(kept).map(|t| t.0).collect();
                assert_eq!(newest, seen.iter().take(kept).copied().collect::<Vec<_>>());
            }
        }
    }
}
