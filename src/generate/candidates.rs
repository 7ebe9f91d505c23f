//! The tokens that may still be chosen, on their way through the chain. At first they are the model's row itself, read where it
//! lies; a sampler that edits single logits makes one copy of it, and the first sampler that narrows the choice makes a list,
//! always in the order of the ids. The vocabulary is never sorted and no probability is stored: what a sampler needs follows
//! from [`Softmax`]. The buffers are kept from token to token.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::exp::exp;
use super::select::{self, Candidate};
use crate::types::TokenId;

/// The memory that candidates live in, kept between tokens.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers {
    edited: Vec<f32>,
    list: Vec<Candidate>,
    parted: Vec<Candidate>,
}

/// Where the candidates stand.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// In the model's row, untouched.
    Row,
    /// In a copy of the row that biases or penalties have changed.
    Edited,
    /// In the list.
    List,
}

/// The tokens that may still be chosen. A token is a candidate while its logit is finite.
#[derive(Debug)]
pub(super) struct Candidates<'a> {
    row: &'a [f32],
    buffers: &'a mut Buffers,
    place: Place,
}

/// Logits as probabilities: p = exp(logit - max) / total.
#[derive(Debug, Clone, Copy)]
pub(super) struct Softmax {
    /// The largest logit.
    pub(super) max: f32,
    /// Σ exp(logit - max); at least 1.
    pub(super) total: f64,
    /// Its natural logarithm.
    ln_total: f64,
}

impl Softmax {
    pub(super) fn probability(&self, logit: f32) -> f64 {
        f64::from(exp(logit - self.max)) / self.total
    }

    /// Natural logarithm of the probability; exact also where the probability itself is too small for a number.
    pub(super) fn log_probability(&self, logit: f32) -> f64 {
        f64::from(logit) - f64::from(self.max) - self.ln_total
    }

    /// The logit that has this probability, which is above 0.
    pub(super) fn logit(&self, probability: f64) -> f32 {
        (f64::from(self.max) + probability.ln() + self.ln_total) as f32
    }
}

impl<'a> Candidates<'a> {
    /// All tokens of a row of logits.
    pub(super) fn new(row: &'a [f32], buffers: &'a mut Buffers) -> Candidates<'a> {
        Candidates { row, buffers, place: Place::Row }
    }

    /// The candidates as a list in the order of their ids, made if it isn't there yet.
    pub(super) fn list(&mut self) -> &mut Vec<Candidate> {
        self.narrow(|row, list| select::at_least(row, f32::MIN, list));
        &mut self.buffers.list
    }

    /// Sets the logit of each candidate that `changes` names to `change(logit, its value there)`.
    pub(super) fn edit<T>(&mut self, changes: &HashMap<TokenId, T>, change: impl Fn(f32, &T) -> f32) {
        if changes.is_empty() {
            return;
        }
        match self.copy() {
            Some(row) => {
                for (token, value) in changes {
                    if let Some(logit) = row.get_mut(token.index()).filter(|logit| logit.is_finite()) {
                        *logit = change(*logit, value);
                    }
                }
            }
            None => self.edit_list(|c| changes.get(&c.token).map_or(c.logit, |value| change(c.logit, value))),
        }
    }

    /// Sets every logit to `change(logit)`, which leaves what is no finite number as it is.
    pub(super) fn edit_all(&mut self, change: impl Fn(f32) -> f32) {
        match self.copy() {
            Some(row) => row.iter_mut().for_each(|logit| *logit = change(*logit)),
            None => self.edit_list(|c| change(c.logit)),
        }
    }

    /// Keeps the likeliest candidate only.
    pub(super) fn keep_best(&mut self) {
        self.narrow(|row, list| {
            list.clear();
            list.extend(select::argmax(row));
        });
        if let Some(best) = self.buffers.list.iter().copied().min_by(select::likelier) {
            self.buffers.list.clear();
            self.buffers.list.push(best);
        }
    }

    /// Keeps the `k` likeliest.
    pub(super) fn keep_largest(&mut self, k: usize) {
        self.narrow(|row, list| select::largest(row, k, list));
        if select::keep_likeliest(&mut self.buffers.list, k).is_some() {
            self.buffers.list.sort_unstable_by_key(|c| c.token);
        }
    }

    /// Keeps those with a logit of at least `bar`, or the `min_keep` likeliest where these are more. The likeliest always stays.
    pub(super) fn keep_from(&mut self, bar: f32, min_keep: usize) {
        let Some(bar) = self.max().map(|max| bar.min(max)) else { return };
        self.narrow(|row, list| {
            select::at_least(row, bar, list);
            if list.len() < min_keep {
                select::largest(row, min_keep, list);
            }
        });
        if self.buffers.list.iter().filter(|c| c.logit >= bar).take(min_keep).count() < min_keep {
            self.keep_largest(min_keep);
        } else {
            self.buffers.list.retain(|c| c.logit >= bar);
        }
    }

    /// Keeps the fewest candidates that together have at least the probability `mass`, those with the lowest `rank` first, but
    /// not fewer than `min_keep`. Among equal ranks the likelier goes first.
    ///
    /// Quickselect on sums: the undecided stretch is parted at its middle, and the half in which the sum reaches `mass` stays
    /// undecided. O(n), no sort.
    pub(super) fn keep_mass(&mut self, mass: f64, min_keep: usize, softmax: Softmax, rank: impl Fn(f32) -> f64) {
        let order = |a: &Candidate, b: &Candidate| {
            let by_rank = rank(a.logit).partial_cmp(&rank(b.logit)).unwrap_or(Ordering::Equal);
            by_rank.then_with(|| select::likelier(a, b))
        };
        self.list();
        let Buffers { list, parted, .. } = &mut *self.buffers;
        parted.clone_from(list);
        let (mut start, mut end, mut missing) = (0, parted.len(), mass * softmax.total);
        while start < end {
            let middle = start + (end - start) / 2;
            parted[start..end].select_nth_unstable_by(middle - start, order);
            let sum: f64 = parted[start..=middle].iter().map(|c| f64::from(exp(c.logit - softmax.max))).sum();
            if sum >= missing {
                end = middle;
            } else {
                missing -= sum;
                start = middle + 1;
            }
        }
        // Everything before `start` falls short of the mass, the candidate at `start` reaches it.
        let keep = (start + 1).max(min_keep);
        if keep < parted.len() {
            let last = *parted.select_nth_unstable_by(keep - 1, order).1;
            list.retain(|c| order(c, &last).is_le());
        }
    }

    /// How many tokens may be candidates: all of the row's until there is a list.
    pub(super) fn len(&self) -> usize {
        self.dense().map_or(self.buffers.list.len(), <[f32]>::len)
    }

    /// The largest logit; `None` where no candidate is left.
    pub(super) fn max(&self) -> Option<f32> {
        match self.dense() {
            Some(row) => select::max(row),
            None => self.buffers.list.iter().map(|c| c.logit).reduce(f32::max),
        }
    }

    /// The candidates' logits as probabilities; `None` where no candidate is left.
    pub(super) fn softmax(&self) -> Option<Softmax> {
        let max = self.max()?;
        let total = match self.dense() {
            Some(row) => select::sum_exp(row, max),
            None => self.buffers.list.iter().map(|c| f64::from(exp(c.logit - max))).sum(),
        };
        Some(Softmax { max, total, ln_total: total.ln() })
    }

    /// Entropy of the candidates' distribution in nats, H = -Σ p ln p.
    pub(super) fn entropy(&mut self, softmax: Softmax) -> f64 {
        self.list().iter().map(|c| -softmax.probability(c.logit) * softmax.log_probability(c.logit)).sum()
    }

    /// The candidate at which the running sum of probabilities, in the order of the ids, passes `chance` in [0, 1), with its
    /// probability among the candidates.
    pub(super) fn pick(&mut self, chance: f64) -> Option<(TokenId, f64)> {
        let softmax = self.softmax()?;
        let chosen = match self.dense() {
            Some(row) => select::at_mass(row, softmax.max, chance * softmax.total),
            None => select::at_weight(self.buffers.list.iter().copied(), softmax.max, chance * softmax.total),
        }?;
        Some((chosen.token, softmax.probability(chosen.logit)))
    }

    /// A copy of the row that may be changed, as long as no list was made.
    fn copy(&mut self) -> Option<&mut [f32]> {
        if self.place == Place::Row {
            self.buffers.edited.clear();
            self.buffers.edited.extend_from_slice(self.row);
            self.place = Place::Edited;
        }
        (self.place == Place::Edited).then_some(&mut self.buffers.edited[..])
    }

    /// The whole row, as long as no list was made.
    fn dense(&self) -> Option<&[f32]> {
        match self.place {
            Place::Row => Some(self.row),
            Place::Edited => Some(&self.buffers.edited),
            Place::List => None,
        }
    }

    /// Makes the list, by `take(row, list)`, if it isn't there yet.
    fn narrow(&mut self, take: impl FnOnce(&[f32], &mut Vec<Candidate>)) {
        match self.place {
            Place::Row => take(self.row, &mut self.buffers.list),
            Place::Edited => take(&self.buffers.edited, &mut self.buffers.list),
            Place::List => {}
        }
        self.place = Place::List;
    }

    fn edit_list(&mut self, change: impl Fn(&Candidate) -> f32) {
        self.buffers.list.retain_mut(|c| {
            c.logit = change(c);
            c.logit.is_finite()
        });
    }
}
