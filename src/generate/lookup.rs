//! Speculation without a second model: where a text repeats what stands in it already (a summary, an edit, code), the tokens that
//! followed last time are a good guess at what comes. [`PromptLookup`] makes the guess, the model computes all its rows in one
//! batch, and [`verify`] keeps what the sampler chooses anyway; nothing is lost but the rows that weren't needed.
//!
//! Source: A. Saxena, "Prompt Lookup Decoding" (2023), as in transformers and llama.cpp's `lookup`.

use std::collections::HashMap;

use super::sampler::{Sampled, Sampler};
use crate::error::generate::GenerateError;
use crate::types::TokenId;

/// How guesses are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupOptions {
    /// The shortest end of the text that is looked up, in tokens; ≥ 1. Short ones are found often and guess badly.
    pub min_ngram: usize,
    /// The longest end that is looked up; the longest one found counts.
    pub max_ngram: usize,
    /// How far back the text is remembered: between once and twice so many tokens, which bounds the memory.
    pub window: usize,
}

impl Default for LookupOptions {
    fn default() -> LookupOptions {
        LookupOptions { min_ngram: 2, max_ngram: 4, window: 65_536 }
    }
}

/// Guesses the next tokens from what followed the text's last few tokens when they occurred before.
///
/// ```
/// use kinglet::generate::{LookupOptions, PromptLookup};
/// use kinglet::types::TokenId;
///
/// let mut lookup = PromptLookup::new(LookupOptions::default())?;
/// [5, 6, 7, 8, 9, 5, 6].map(TokenId).into_iter().for_each(|token| lookup.push(token));
/// assert_eq!(lookup.propose(2), [7, 8].map(TokenId));
/// # Ok::<(), kinglet::error::generate::GenerateError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PromptLookup {
    options: LookupOptions,
    text: Vec<TokenId>,
    /// For each length from `min_ngram` on: the hash of an n-gram → where its last occurrence ends.
    ends: Vec<HashMap<u64, usize>>,
}

impl PromptLookup {
    /// An empty text. Fails where `min_ngram` is 0 or `max_ngram` or the window is too small for it.
    pub fn new(options: LookupOptions) -> Result<PromptLookup, GenerateError> {
        let refuse = |name, allowed, found| Err(GenerateError::Parameter { name, allowed, found: found as f64 });
        if options.min_ngram == 0 {
            return refuse("min_ngram", "at least 1", 0);
        }
        if options.max_ngram < options.min_ngram {
            return refuse("max_ngram", "at least min_ngram", options.max_ngram);
        }
        if options.window <= options.max_ngram {
            return refuse("window", "above max_ngram", options.window);
        }
        let ends = vec![HashMap::new(); options.max_ngram - options.min_ngram + 1];
        Ok(PromptLookup { options, text: Vec::new(), ends })
    }

    /// Appends a token to the text: the prompt's, and each one that was accepted. O(`max_ngram`²), a few hash steps.
    pub fn push(&mut self, token: TokenId) {
        // What the text ends with is noted only now that something follows it.
        self.note_end(self.text.len());
        self.text.push(token);
        if self.text.len() == 2 * self.options.window {
            self.forget();
        }
    }

    /// Up to `k` tokens that may come next; none where the text's end is new. Where the earlier occurrence runs into the text's
    /// end, the guess goes on with itself: the text is taken to be periodic.
    pub fn propose(&self, k: usize) -> Vec<TokenId> {
        let Some(start) = self.earlier_end() else { return Vec::new() };
        let period = self.text.len() - start;
        (0..k).map(|i| self.text[start + i % period]).collect()
    }

    /// Where the longest end of the text that occurred before ended then.
    fn earlier_end(&self) -> Option<usize> {
        let now = self.text.len();
        (self.options.min_ngram..=self.options.max_ngram.min(now)).rev().find_map(|n| {
            let last = &self.text[now - n..];
            let end = *self.ends[n - self.options.min_ngram].get(&hash(last))?;
            (self.text[end - n..end] == *last).then_some(end) // another n-gram may have the same hash
        })
    }

    fn note_end(&mut self, end: usize) {
        for n in self.options.min_ngram..=self.options.max_ngram.min(end) {
            self.ends[n - self.options.min_ngram].insert(hash(&self.text[end - n..end]), end);
        }
    }

    /// Drops the older half of the text.
    fn forget(&mut self) {
        self.text.drain(..self.text.len() - self.options.window);
        self.ends.iter_mut().for_each(HashMap::clear);
        (0..self.text.len()).for_each(|end| self.note_end(end));
    }
}

/// FNV-1a over the ids: short, and a collision costs only a guess.
fn hash(ngram: &[TokenId]) -> u64 {
    ngram.iter().fold(0xcbf2_9ce4_8422_2325, |h, token| (h ^ u64::from(token.0)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Samples along a guess: row i holds the logits after `draft[..i]`, so there is one row more than there are draft tokens. Each
/// sampled token is accepted; the first that differs from the draft is right all the same and ends the run, as does one of
/// which `ends` is true. Returns 1 to `draft.len() + 1` tokens (none, if there are no rows).
///
/// Since the guess is made without chance, "accept the draft token d with the probability p(d), else draw from the rest" (Leviathan
/// et al., arXiv:2211.17192, with all of the draft's probability on d) is the same as drawing from p and comparing. So not only
/// the distribution is exact: the tokens are those that the sampler would choose without speculation, for greedy choice and for
/// every seed.
pub fn verify<'a>(
    sampler: &mut Sampler,
    draft: &[TokenId],
    rows: impl IntoIterator<Item = &'a [f32]>,
    mut ends: impl FnMut(TokenId) -> bool,
) -> Result<Vec<Sampled>, GenerateError> {
    let mut chosen = Vec::new();
    for (i, row) in rows.into_iter().enumerate() {
        let sampled = sampler.sample(row)?;
        let token = sampled.token;
        sampler.accept(token);
        chosen.push(sampled);
        if draft.get(i) != Some(&token) || ends(token) {
            break;
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup(options: LookupOptions, text: &[u32]) -> PromptLookup {
        let mut lookup = PromptLookup::new(options).unwrap();
        text.iter().for_each(|&token| lookup.push(TokenId(token)));
        lookup
    }

    #[test]
    fn the_longest_match_counts_and_of_those_the_latest() {
        let options = || LookupOptions { min_ngram: 1, max_ngram: 3, window: 100 };
        // `1 2 3` was followed by 7, the later `2 3` by 8, the latest `3` by 9.
        assert_eq!(lookup(options(), &[1, 2, 3, 7, 0, 2, 3, 8, 3, 9, 1, 2, 3]).propose(1), [TokenId(7)]);
        assert_eq!(lookup(options(), &[1, 2, 7, 1, 2, 8, 1, 2]).propose(1), [TokenId(8)]);
        assert_eq!(lookup(options(), &[1, 2, 3]).propose(4), []);
    }

    #[test]
    fn a_periodic_text_goes_on_as_long_as_asked() {
        let draft = lookup(LookupOptions::default(), &[4, 5, 6, 4, 5, 6]).propose(7);
        assert_eq!(draft, [4, 5, 6, 4, 5, 6, 4].map(TokenId));
    }

    #[test]
    fn impossible_options_are_refused_by_name() {
        let refused = |min_ngram, max_ngram, window| match PromptLookup::new(LookupOptions { min_ngram, max_ngram, window }) {
            Err(GenerateError::Parameter { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!([refused(0, 1, 9), refused(3, 2, 9), refused(1, 9, 9)], ["min_ngram", "max_ngram", "window"]);
    }

    proptest! {
        #[test]
        fn guesses_are_those_of_a_search_through_the_remembered_text(
            text in prop::collection::vec(0u32..3, 1..80), k in 0usize..6, window in 5usize..40,
        ) {
            let options = LookupOptions { min_ngram: 2, max_ngram: 4, window };
            let index = lookup(options, &text);
            let seen: Vec<u32> = index.text.iter().map(|t| t.0).collect();
            prop_assert!(text.ends_with(&seen) && seen.len() >= window.min(text.len()) && seen.len() < 2 * window);

            let earlier = |n: usize| (n..seen.len()).rev().find(|&end| seen[end - n..end] == seen[seen.len() - n..]);
            let start = (2..=4.min(seen.len())).rev().find_map(earlier);
            let mut expected = seen.clone();
            if let Some(start) = start {
                (0..k).for_each(|i| expected.push(expected[start + i]));
            }
            let draft: Vec<u32> = index.propose(k).iter().map(|t| t.0).collect();
            prop_assert_eq!(&draft, &expected[seen.len()..]);
        }
    }
}
