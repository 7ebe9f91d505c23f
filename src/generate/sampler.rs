//! The chain: a row of logits goes through the samplers one after the other, then one number drawn by chance picks a token among
//! those that are left. What is known beforehand is decided when the chain is made: samplers at neutral values aren't in it, and
//! greedy choice needs nothing that only removes unlikely tokens, so that it is one pass over the row.

use std::collections::HashMap;

use super::candidates::{Buffers, Candidates};
use super::history::History;
use super::options::SamplerOptions;
use super::random::{Random, any_seed};
use super::samplers::dry::DRY;
use super::samplers::logit_bias::LOGIT_BIAS;
use super::samplers::mirostat::{self, MIROSTAT};
use super::samplers::penalties::PENALTIES;
use super::samplers::temperature::{self, TEMPERATURE};
use super::samplers::{Breakers, SamplerKind, State};
use super::select;
use crate::error::generate::GenerateError;
use crate::types::TokenId;

/// Chooses tokens for one sequence. A clone goes on independently with the same past and the same chance.
#[derive(Debug, Clone)]
pub struct Sampler {
    options: SamplerOptions,
    n_vocab: usize,
    seed: u64,
    chain: Vec<&'static SamplerKind>,
    state: State,
    buffers: Buffers,
}

/// A chosen token and, where they were asked for, the model's log-probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// The token.
    pub token: TokenId,
    /// ln p of the token in the model's own distribution, before any sampler; `None` without `logprobs`.
    pub logprob: Option<f32>,
    /// The likeliest tokens and their ln p in the same distribution, likeliest first; as many as `logprobs` asks for.
    pub top: Vec<(TokenId, f32)>,
}

impl Sampler {
    /// A sampler for rows of `n_vocab` logits. Fails as [`SamplerOptions::check`] does.
    pub fn new(options: SamplerOptions, n_vocab: usize) -> Result<Sampler, GenerateError> {
        options.check(n_vocab)?;
        let mut bias = HashMap::new();
        for &(token, value) in &options.logit_bias {
            *bias.entry(token).or_insert(0.0) += value;
        }
        let seed = options.seed.unwrap_or_else(any_seed);
        let chain = chain(&options);
        let counted = if chain.contains(&&PENALTIES) { options.penalty_last_n } else { 0 };
        let searched = if chain.contains(&&DRY) { options.dry_penalty_last_n } else { 0 };
        let state = State {
            random: Random::new(seed),
            history: History::new(counted, searched),
            bias,
            breakers: Breakers::default(),
            mu: mirostat::first_mu(&options),
        };
        Ok(Sampler { options, n_vocab, seed, chain, state, buffers: Buffers::default() })
    }

    /// The options it was made with.
    pub fn options(&self) -> &SamplerOptions {
        &self.options
    }

    /// The seed in use, also where none was given: with it the same text can be had again.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The samplers that have something to do, in order.
    pub fn chain(&self) -> impl Iterator<Item = &'static SamplerKind> + '_ {
        self.chain.iter().copied()
    }

    /// Turns the options' `dry_sequence_breakers` into tokens, as [`Breakers::from_strings`] does. It reads the whole vocabulary,
    /// but only where DRY is in the chain.
    ///
    /// ```
    /// use kinglet::generate::{Sampler, SamplerOptions};
    ///
    /// let vocabulary = ["a", "b", ".\n"];
    /// let mut sampler = Sampler::new(SamplerOptions { dry_multiplier: 0.8, ..SamplerOptions::default() }, vocabulary.len())?;
    /// sampler.find_breakers(|token| vocabulary[token.index()].to_owned(), |_text| Vec::new());
    /// # Ok::<(), kinglet::error::generate::GenerateError>(())
    /// ```
    pub fn find_breakers(&mut self, piece: impl Fn(TokenId) -> String, encode: impl Fn(&str) -> Vec<TokenId>) {
        if self.chain.contains(&&DRY) {
            self.state.breakers = Breakers::from_strings(&self.options.dry_sequence_breakers, self.n_vocab, piece, encode);
        }
    }

    /// Sets what ends a repetition for DRY, in tokens. Without this or [`find_breakers`](Sampler::find_breakers) nothing does.
    pub fn set_breakers(&mut self, breakers: Breakers) {
        self.state.breakers = breakers;
    }

    /// Chooses a token. `logits`: `[n_vocab]` f32; NaN and ±∞ count as -∞, a token that can't be chosen.
    ///
    /// It doesn't remember the token: [`accept`](Sampler::accept) does, once it really belongs to the text.
    pub fn sample(&mut self, logits: &[f32]) -> Result<Sampled, GenerateError> {
        let (token, probability) = {
            let mut candidates = run(&self.chain, &self.options, &mut self.state, &mut self.buffers, logits, self.n_vocab)?;
            let chance = self.state.random.unit();
            candidates.pick(chance).ok_or(GenerateError::NoCandidate { n_vocab: self.n_vocab })?
        };
        if self.options.mirostat_v2 {
            self.state.mu = mirostat::next_mu(&self.options, self.state.mu, probability);
        }
        match self.options.logprobs {
            Some(n) => self.with_logprobs(token, logits, n),
            None => Ok(Sampled { token, logprob: None, top: Vec::new() }),
        }
    }

    /// The tokens that [`sample`](Sampler::sample) would draw from and their probabilities, in the order of the ids. Where XTC is
    /// in the chain, its chance is drawn as for a sample.
    ///
    /// ```
    /// use kinglet::generate::{Sampler, SamplerOptions};
    ///
    /// let mut sampler = Sampler::new(SamplerOptions { top_k: 2, temp: 1.0, ..SamplerOptions::default() }, 3)?;
    /// let left = sampler.distribution(&[0.0, 1.0, 1.0])?;
    /// assert_eq!(left, [(1.into(), 0.5), (2.into(), 0.5)]);
    /// # Ok::<(), kinglet::error::generate::GenerateError>(())
    /// ```
    pub fn distribution(&mut self, logits: &[f32]) -> Result<Vec<(TokenId, f32)>, GenerateError> {
        let mut candidates = run(&self.chain, &self.options, &mut self.state, &mut self.buffers, logits, self.n_vocab)?;
        let softmax = candidates.softmax().ok_or(GenerateError::NoCandidate { n_vocab: self.n_vocab })?;
        Ok(candidates.list().iter().map(|c| (c.token, softmax.probability(c.logit) as f32)).collect())
    }

    /// Appends a token to the text that penalties and DRY look at: sampled tokens, and the prompt's before them.
    pub fn accept(&mut self, token: TokenId) {
        self.state.history.push(token);
    }

    /// Forgets the text and begins again at the seed.
    pub fn reset(&mut self) {
        self.state.random = Random::new(self.seed);
        self.state.history.clear();
        self.state.mu = mirostat::first_mu(&self.options);
    }

    fn with_logprobs(&mut self, token: TokenId, logits: &[f32], n: usize) -> Result<Sampled, GenerateError> {
        let softmax = Candidates::new(logits, &mut self.buffers).softmax();
        let softmax = softmax.ok_or(GenerateError::NoCandidate { n_vocab: self.n_vocab })?;
        let mut top = Vec::new();
        select::largest(logits, n, &mut top);
        top.sort_unstable_by(select::likelier);
        let logprob = |logit| softmax.log_probability(logit) as f32;
        Ok(Sampled { token, logprob: Some(logprob(logits[token.index()])), top: top.iter().map(|c| (c.token, logprob(c.logit))).collect() })
    }
}

/// Sends a row through the chain.
fn run<'a>(
    chain: &[&SamplerKind],
    options: &SamplerOptions,
    state: &mut State,
    buffers: &'a mut Buffers,
    logits: &'a [f32],
    n_vocab: usize,
) -> Result<Candidates<'a>, GenerateError> {
    if logits.len() != n_vocab {
        return Err(GenerateError::LogitCount { expected: n_vocab, found: logits.len() });
    }
    let mut candidates = Candidates::new(logits, buffers);
    for kind in chain {
        kind.apply(options, state, &mut candidates);
    }
    Ok(candidates)
}

/// The samplers that have something to do with these options, in order.
fn chain(options: &SamplerOptions) -> Vec<&'static SamplerKind> {
    let chosen: &[&SamplerKind] = if options.mirostat_v2 { &[&TEMPERATURE, &MIROSTAT] } else { &options.samplers };
    let all = [&LOGIT_BIAS].into_iter().chain(chosen.iter().copied());
    let mut chain: Vec<_> = all.filter(|kind| kind.active(options)).collect();

    // Whatever only removes other tokens than the likeliest is needless right before greedy choice.
    if temperature::is_greedy(options)
        && let Some(end) = chain.iter().position(|&kind| *kind == TEMPERATURE)
    {
        let needless = chain[..end].iter().rev().take_while(|kind| kind.keeps_best()).count();
        chain.drain(end - needless..end);
    }
    chain
}
