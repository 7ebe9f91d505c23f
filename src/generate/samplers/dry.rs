//! DRY, "don't repeat yourself": a token that would continue a repetition is penalised the more, the longer the repetition is.
//! Let n_t be the length of the longest end of the text that occurred before and was then followed by token t:
//!
//!   l_t ← l_t − `dry_multiplier` · `dry_base`^(n_t − `dry_allowed_length`)    where n_t ≥ `dry_allowed_length`
//!
//! A sequence breaker (a line's end, a quotation mark) ends a repetition: no n_t reaches back over the last one, and a token
//! that is a breaker by itself is never penalised. Source: p-e-w, oobabooga/text-generation-webui pull request 5677; the linear
//! search and the breakers of several tokens are pi6am's (LostRuins/koboldcpp pull request 982), as in llama.cpp.

use std::collections::HashMap;

use super::{SamplerKind, SamplerOptions, State};
use crate::error::generate::GenerateError;
use crate::generate::candidates::Candidates;
use crate::generate::options::check as in_range;
use crate::types::TokenId;

pub(in crate::generate) static DRY: SamplerKind = SamplerKind { name: "dry", aliases: &[], keeps_best: false, check, active, apply };

fn check(options: &SamplerOptions) -> Result<(), GenerateError> {
    in_range("dry_multiplier", options.dry_multiplier, 0.0.., "finite and at least 0")?;
    in_range("dry_base", options.dry_base, 1.0.., "finite and at least 1")
}

fn active(options: &SamplerOptions) -> bool {
    options.dry_multiplier > 0.0 && options.dry_penalty_last_n > 0
}

fn apply(options: &SamplerOptions, state: &mut State, candidates: &mut Candidates<'_>) {
    let newest_first: Vec<TokenId> = state.history.newest_first(options.dry_penalty_last_n).collect();
    if newest_first.len() <= options.dry_allowed_length {
        return;
    }
    let limit = state.breakers.distance(&newest_first).unwrap_or(newest_first.len());
    if limit < options.dry_allowed_length {
        return;
    }
    let mut lengths = repetitions(&newest_first, limit, options.dry_allowed_length);
    lengths.retain(|&token, _| !state.breakers.is_breaker(token));

    // base^exponent must stay a finite number.
    let largest_exponent = if options.dry_base > 1.000_001 { (f32::MAX.ln() / options.dry_base.ln()) as usize } else { usize::MAX };
    candidates.edit(&lengths, |logit, &length| {
        let exponent = (length - options.dry_allowed_length).min(largest_exponent);
        let penalty = options.dry_multiplier * options.dry_base.powf(exponent as f32);
        (logit - penalty).max(f32::MIN) // only a bias may forbid a token
    });
}

/// For each token that followed an earlier occurrence of the text's end, the length of the longest such end, `limit` at most and
/// `least` at least.
fn repetitions(newest_first: &[TokenId], limit: usize, least: usize) -> HashMap<TokenId, usize> {
    let mut lengths = HashMap::new();
    for (back, &length) in common_starts(newest_first).iter().enumerate().skip(1) {
        let length = length.min(limit);
        if length >= least {
            let longest = lengths.entry(newest_first[back - 1]).or_insert(length);
            *longest = length.max(*longest);
        }
    }
    lengths
}

/// For each place in the sequence, how many elements from there on equal the sequence's start: the Z-algorithm (Gusfield,
/// "Algorithms on Strings, Trees, and Sequences", section 1.4), linear because the furthest match found so far, which covers
/// `box_start..box_end`, is never read again.
fn common_starts(sequence: &[TokenId]) -> Vec<usize> {
    let mut z = vec![0; sequence.len()];
    let (mut box_start, mut box_end) = (0, 0);
    for place in 1..sequence.len() {
        let mut length = if place < box_end { z[place - box_start].min(box_end - place) } else { 0 };
        while place + length < sequence.len() && sequence[length] == sequence[place + length] {
            length += 1;
        }
        if place + length > box_end {
            (box_start, box_end) = (place, place + length);
        }
        z[place] = length;
    }
    z
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(ids: &[u32]) -> Vec<TokenId> {
        ids.iter().rev().map(|&id| TokenId(id)).collect()
    }

    #[test]
    fn the_worked_example_of_llama_cpp() {
        // a b c c b c y a b c: `a b c` was followed by c, `c` by b, `b c` by y.
        let lengths = repetitions(&tokens(&[0, 1, 2, 2, 1, 2, 3, 0, 1, 2]), 10, 1);
        assert_eq!(lengths, HashMap::from([(TokenId(2), 3), (TokenId(1), 1), (TokenId(3), 2)]));
    }

    proptest::proptest! {
        #[test]
        fn repetitions_are_those_that_a_search_of_every_place_finds(
            ids in proptest::collection::vec(0u32..3, 1..40), limit in 0usize..12, least in 1usize..4,
        ) {
            let mut expected = HashMap::new();
            for end in 1..ids.len() {
                let length = (0..end).take_while(|&i| ids[end - 1 - i] == ids[ids.len() - 1 - i]).count().min(limit);
                if length >= least {
                    let longest = expected.entry(TokenId(ids[end])).or_insert(0);
                    *longest = length.max(*longest);
                }
            }
            assert_eq!(repetitions(&tokens(&ids), limit, least), expected);
        }
    }
}
