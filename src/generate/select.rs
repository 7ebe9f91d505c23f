//! Passes over a whole row of logits that find the few that matter. A vocabulary has up to 262 144 tokens, so nothing here
//! sorts or copies it: each function reads the row once, in blocks that compile to vector compares, and looks closer only at
//! blocks in which something passes the bar. A logit that is NaN or infinite is passed over: its token can't be sampled.

use std::cmp::Ordering;

use super::exp::exp;
use crate::types::TokenId;

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
    let (blocks, rest) = logits.as_chunks::<BLOCK>();
    let mut lanes = [f32::NEG_INFINITY; BLOCK];
    for block in blocks {
        for (lane, &x) in lanes.iter_mut().zip(block) {
            *lane = if x > *lane && x < f32::INFINITY { x } else { *lane };
        }
    }
    let largest = lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |m, &x| if x > m && x < f32::INFINITY { x } else { m });
    largest.is_finite().then_some(largest)
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

/// Σ exp(logit - max) over the finite logits, `max` being the largest of them. Stretches are summed in f32, their sums in f64,
/// always in the same order.
pub(super) fn sum_exp(logits: &[f32], max: f32) -> f64 {
    const STRETCH: usize = 16 * BLOCK;
    let sum_stretch = |stretch: &[f32]| {
        let (blocks, rest) = stretch.as_chunks::<BLOCK>();
        let mut lanes = [0f32; BLOCK];
        for block in blocks {
            for (lane, &x) in lanes.iter_mut().zip(block) {
                *lane += exp(x - max);
            }
        }
        f64::from(lanes.iter().sum::<f32>() + rest.iter().map(|&x| exp(x - max)).sum::<f32>())
    };
    logits.chunks(STRETCH).map(sum_stretch).sum()
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
