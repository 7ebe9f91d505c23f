//! Passes over a whole row of logits that find the few that matter. A vocabulary has up to 262 144 tokens, so nothing here
//! sorts or copies it: each function reads the row once, in blocks that compile to vector compares, and looks closer only at
//! blocks in which something passes the bar. A logit that is NaN or infinite is passed over: its token can't be sampled.

use std::cmp::Ordering;
use std::sync::LazyLock;

use super::exp::exp;
use crate::types::TokenId;
use kinglet_quant::isa::{Isa, Level, Op};

/// A token that may still be chosen, with its logit as the samplers so far have left it (always finite).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) token: TokenId,
    pub(super) logit: f32,
}

/// Logits looked at together: enough for full vectors on every machine, few enough that a block with nothing in it is the rule.
const BLOCK: usize = 32;

/// The likelier first; among equals the lower id, as in llama.cpp's argmax.
pub(super) fn likelier(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.partial_cmp(&a.logit).unwrap_or(Ordering::Equal).then(a.token.cmp(&b.token))
}

/// The largest finite logit, if there is one.
pub(super) fn max(logits: &[f32]) -> Option<f32> {
    let larger = |m: f32, x: f32| if x > m { x } else { m }; // a NaN loses, and it is one instruction, unlike `f32::max`
    let (blocks, rest) = logits.as_chunks::<BLOCK>();
    let mut lanes = [f32::NEG_INFINITY; BLOCK];
    for block in blocks {
        for (lane, &x) in lanes.iter_mut().zip(block) {
            *lane = larger(*lane, x);
        }
    }
    let largest = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger);
    if largest < f32::INFINITY {
        return largest.is_finite().then_some(largest);
    }
    logits.iter().copied().filter(|x| x.is_finite()).reduce(larger) // the arithmetic overflowed somewhere: rare enough to look again
}

/// The likeliest token, the lowest id among equals, in one pass.
pub(super) fn argmax(logits: &[f32]) -> Option<Candidate> {
    const STRETCH: usize = 128 * BLOCK;
    let mut best: Option<(usize, f32)> = None;
    for (i, stretch) in logits.chunks(STRETCH).enumerate() {
        if let Some(largest) = max(stretch)
            && best.is_none_or(|(_, logit)| largest > logit)
        {
            best = Some((i * STRETCH, largest));
        }
    }
    let (start, logit) = best?;
    let offset = logits[start..].iter().position(|&x| x == logit)?;
    Some(candidate(start + offset, logits[start + offset]))
}

/// Fills `out` with the `k` likeliest tokens, in the order of their ids.
///
/// `out` collects what passes the bar; when it holds twice as many as are wanted, the better half stays and its last one
/// becomes the bar. In a row in random order about k·ln(n/k) logits ever pass.
pub(super) fn largest(logits: &[f32], k: usize, out: &mut Vec<Candidate>) {
    out.clear();
    let full = k.saturating_mul(2).max(2 * BLOCK);
    let mut bar = f32::NEG_INFINITY;
    for (i, block) in logits.chunks(BLOCK).enumerate() {
        if !any_above(block, bar) {
            continue;
        }
        for (j, &x) in block.iter().enumerate() {
            if x > bar && x < f32::INFINITY {
                out.push(candidate(i * BLOCK + j, x));
                if out.len() == full {
                    bar = keep_likeliest(out, k).map_or(f32::INFINITY, |last| last.logit);
                }
            }
        }
    }
    keep_likeliest(out, k);
    out.sort_unstable_by_key(|c| c.token);
}

/// Fills `out` with the tokens whose logit is at least `bar`, in the order of their ids.
pub(super) fn at_least(logits: &[f32], bar: f32, out: &mut Vec<Candidate>) {
    out.clear();
    let just_below = bar.next_down();
    for (i, block) in logits.chunks(BLOCK).enumerate() {
        if any_above(block, just_below) {
            let passing = block.iter().enumerate().filter(|&(_, &x)| x >= bar && x.is_finite());
            out.extend(passing.map(|(j, &x)| candidate(i * BLOCK + j, x)));
        }
    }
}

/// Shortens the list to its `k` likeliest, in no order, and returns the last of them, if the list was longer.
pub(super) fn keep_likeliest(list: &mut Vec<Candidate>, k: usize) -> Option<Candidate> {
    if k >= list.len() {
        return None;
    }
    let last = k.checked_sub(1).map(|last| *list.select_nth_unstable_by(last, likelier).1);
    list.truncate(k);
    last
}

/// Logits whose weights are summed in f32.
const STRETCH: usize = 16 * BLOCK;

/// Σ exp(logit - max) over the finite logits, `max` being the largest of them. Stretches are summed in f32, their sums in f64,
/// always in the same order.
pub(super) fn sum_exp(logits: &[f32], max: f32) -> f64 {
    logits.chunks(STRETCH).map(|stretch| sum_stretch(stretch, max)).sum()
}

fn sum_stretch(stretch: &[f32], max: f32) -> f64 {
    static LEVEL: LazyLock<Level> = LazyLock::new(|| Level::detect().unwrap_or(Level::Scalar));
    LEVEL.run_vectors(SumExp { stretch, max })
}

/// One stretch of [`sum_exp`]. Nothing in it depends on the level but how many lanes the compiler takes at a time.
struct SumExp<'a> {
    stretch: &'a [f32],
    max: f32,
}

impl Op for SumExp<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> f64 {
        let (blocks, rest) = self.stretch.as_chunks::<BLOCK>();
        let mut lanes = [0f32; BLOCK];
        for block in blocks {
            for (lane, &x) in lanes.iter_mut().zip(block) {
                *lane += exp(x - self.max);
            }
        }
        f64::from(lanes.iter().sum::<f32>() + rest.iter().map(|&x| exp(x - self.max)).sum::<f32>())
    }
}

/// The token of a whole row at which [`sum_exp`], in the order of the ids, passes `mass`; the last one with any weight where rounding
/// leaves it short. Only the stretch with that token is looked at closely.
pub(super) fn at_mass(logits: &[f32], max: f32, mass: f64) -> Option<Candidate> {
    let (mut left, mut place) = (mass, None);
    for (i, stretch) in logits.chunks(STRETCH).enumerate() {
        let weight = sum_stretch(stretch, max);
        if weight > 0.0 {
            place = Some((i * STRETCH, stretch, left));
            left -= weight;
        }
        if left < 0.0 {
            break;
        }
    }
    let (first, stretch, left) = place?;
    at_weight(stretch.iter().enumerate().map(|(i, &logit)| candidate(first + i, logit)), max, left)
}

/// The candidate at which the running sum of weights passes `mass`; the last one with any weight where it never does.
pub(super) fn at_weight(candidates: impl Iterator<Item = Candidate>, max: f32, mass: f64) -> Option<Candidate> {
    let (mut left, mut last) = (mass, None);
    for c in candidates {
        let weight = f64::from(exp(c.logit - max));
        if weight > 0.0 {
            last = Some(c);
            left -= weight;
        }
        if left < 0.0 {
            break;
        }
    }
    last
}

fn candidate(index: usize, logit: f32) -> Candidate {
    Candidate { token: TokenId(index as u32), logit }
}

/// Whether a block has a logit above the bar. Without early exit: one compare of a whole vector is cheaper than a branch.
#[inline(always)]
fn any_above(block: &[f32], bar: f32) -> bool {
    match <&[f32; BLOCK]>::try_from(block) {
        Ok(block) => block.iter().fold(false, |any, &x| any | (x > bar)),
        Err(_) => block.iter().any(|&x| x > bar),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rows with many ties and all that a row may hold; long enough for whole blocks, a rest, and full buffers.
    fn rows() -> impl Strategy<Value = Vec<f32>> {
        let odd = prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, f32::MAX, f32::MIN]);
        let logit = prop_oneof![4 => (-20i8..20).prop_map(|x| f32::from(x) / 4.0), 4 => -5f32..5.0, 1 => odd];
        prop::collection::vec(logit, 0..400)
    }

    /// The obvious way: all candidates, sorted.
    fn sorted(row: &[f32]) -> Vec<Candidate> {
        let all = row.iter().enumerate().filter(|(_, x)| x.is_finite()).map(|(i, &x)| candidate(i, x));
        let mut all: Vec<Candidate> = all.collect();
        all.sort_by(likelier);
        all
    }

    fn by_id(mut list: Vec<Candidate>) -> Vec<Candidate> {
        list.sort_by_key(|c| c.token);
        list
    }

    proptest! {
        #[test]
        fn the_best_is_the_first_of_the_sorted_row(row in rows()) {
            let best = sorted(&row).first().copied();
            prop_assert_eq!(argmax(&row), best);
            prop_assert_eq!(max(&row), best.map(|c| c.logit));
        }

        #[test]
        fn the_largest_k_are_the_first_k_of_the_sorted_row(row in rows(), k in 0usize..200) {
            let mut out = vec![candidate(9, 9.0)];
            largest(&row, k, &mut out);
            let mut expected = sorted(&row);
            expected.truncate(k);
            prop_assert_eq!(out, by_id(expected));
        }

        #[test]
        fn what_reaches_the_bar_is_found(row in rows(), bar in -6f32..6.0, tie in any::<prop::sample::Index>()) {
            let bar = if row.is_empty() || row[tie.index(row.len())].is_nan() { bar } else { row[tie.index(row.len())] };
            let mut out = vec![candidate(9, 9.0)];
            at_least(&row, bar, &mut out);
            let mut expected = sorted(&row);
            expected.retain(|c| c.logit >= bar);
            prop_assert_eq!(out, by_id(expected));
        }

        #[test]
        fn the_sum_of_weights_is_that_of_f64(row in rows()) {
            if let Some(max) = max(&row) {
                let exact: f64 = sorted(&row).iter().map(|c| (f64::from(c.logit) - f64::from(max)).exp()).sum();
                prop_assert!((sum_exp(&row, max) / exact - 1.0).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn ascending_and_descending_vocabularies_are_no_special_case() {
        let ascending: Vec<f32> = (0..10_000).map(|i| i as f32).collect();
        let descending: Vec<f32> = ascending.iter().rev().copied().collect();
        let mut out = Vec::new();
        largest(&ascending, 40, &mut out);
        assert_eq!((out.len(), out[0].token, out[39].token), (40, TokenId(9_960), TokenId(9_999)));
        largest(&descending, 40, &mut out);
        assert_eq!((out.len(), out[0].token, out[39].token), (40, TokenId(0), TokenId(39)));
        assert_eq!(argmax(&ascending).map(|c| c.token), Some(TokenId(9_999)));
    }
}
