//! What a user may say about sampling, with llama.cpp's names and defaults. Ranges are checked by the samplers themselves:
//! [`SamplerOptions::check`], which making a [`Sampler`](super::Sampler) begins with.

use std::ops::RangeBounds;

use super::samplers::logit_bias::LOGIT_BIAS;
use super::samplers::mirostat::MIROSTAT;
use super::samplers::{SAMPLERS, SamplerKind};
use crate::error::generate::GenerateError;
use crate::types::TokenId;

/// Parameters of all samplers. A sampler at its neutral value costs nothing.
///
/// ```
/// use kinglet::generate::{SamplerKind, SamplerOptions};
///
/// let focused = SamplerOptions { temp: 0.3, top_k: 20, ..SamplerOptions::default() };
/// let greedy = SamplerOptions { temp: 0.0, ..SamplerOptions::default() };
/// let order = SamplerKind::parse_list("min_p;temperature")?;
/// let min_p_only = SamplerOptions { samplers: order, min_p: 0.1, ..SamplerOptions::default() };
/// # Ok::<(), kinglet::error::generate::GenerateError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SamplerOptions {
    /// Where chance begins; the same seed, model and prompt give the same text. `None`: another one each time.
    pub seed: Option<u64>,
    /// Log-probabilities to report: `Some(n)` for the sampled token and the `n` likeliest, `None` for none at all.
    pub logprobs: Option<usize>,
    /// The samplers to run, in this order; the default is [`SAMPLERS`].
    pub samplers: Vec<&'static SamplerKind>,
    /// Top-p, min-p, typical and XTC leave at least so many tokens. 0 and 1 mean one.
    pub min_keep: usize,

    /// Added to the logits of single tokens, before all samplers; -∞ forbids a token. A token named twice gets the sum.
    pub logit_bias: Vec<(TokenId, f32)>,

    /// How many of the last tokens the three penalties look at; 0: none (llama.cpp: `--repeat-last-n`).
    pub penalty_last_n: usize,
    /// Repetition penalty: divides positive logits of tokens seen, multiplies negative ones; > 0, 1: off (`--repeat-penalty`).
    pub penalty_repeat: f32,
    /// Frequency penalty: subtracted once for each time the token was seen; 0: off.
    pub penalty_freq: f32,
    /// Presence penalty: subtracted once if the token was seen; 0: off.
    pub penalty_present: f32,

    /// DRY: the penalty of a token that makes a repetition just longer than allowed, in logits; ≥ 0, 0: off.
    pub dry_multiplier: f32,
    /// DRY: growth of the penalty with each further token of the repetition; ≥ 1.
    pub dry_base: f32,
    /// DRY: length of a repetition from which on a token that would extend it is penalised.
    pub dry_allowed_length: usize,
    /// DRY: how many of the last tokens are searched for repetitions; 0: none.
    pub dry_penalty_last_n: usize,
    /// DRY: strings that end a repetition. They take effect through [`Sampler::find_breakers`](super::Sampler::find_breakers).
    pub dry_sequence_breakers: Vec<String>,

    /// Top-nσ: width of the band below the largest logit, in standard deviations; ≤ 0: off.
    pub top_n_sigma: f32,
    /// Top-k: how many tokens stay; 0: all.
    pub top_k: usize,
    /// Locally typical: the probability that stays, 0 to 1; 1: off.
    pub typ_p: f32,
    /// Top-p: the probability that stays, 0 to 1; 1: off.
    pub top_p: f32,
    /// Min-p: least probability of a token that stays, as a part of the likeliest one's, 0 to 1; 0: off.
    pub min_p: f32,
    /// XTC: how often it strikes, 0 to 1; 0: off.
    pub xtc_probability: f32,
    /// XTC: what counts as a top choice, 0 to 1; above 0.5 there can't be two: off.
    pub xtc_threshold: f32,

    /// Temperature; ≤ 0: greedy, the likeliest token always.
    pub temp: f32,
    /// Dynamic temperature: the temperature moves within `temp` ± this; ≥ 0, 0: off.
    pub dynatemp_range: f32,
    /// Dynamic temperature: the power that maps normalised entropy to the range; ≥ 0.
    pub dynatemp_exponent: f32,

    /// Mirostat 2.0 in place of all of `samplers` but the temperature, as in llama.cpp.
    pub mirostat_v2: bool,
    /// Mirostat: the surprise to aim at, in bits; ≥ 0 (`--mirostat-ent`).
    pub mirostat_tau: f32,
    /// Mirostat: the learning rate; ≥ 0 (`--mirostat-lr`).
    pub mirostat_eta: f32,
}

impl Default for SamplerOptions {
    fn default() -> SamplerOptions {
        SamplerOptions {
            seed: None,
            logprobs: None,
            samplers: SAMPLERS.to_vec(),
            min_keep: 0,
            logit_bias: Vec::new(),
            penalty_last_n: 64,
            penalty_repeat: 1.0,
            penalty_freq: 0.0,
            penalty_present: 0.0,
            dry_multiplier: 0.0,
            dry_base: 1.75,
            dry_allowed_length: 2,
            dry_penalty_last_n: 64,
            dry_sequence_breakers: ["\n", ":", "\"", "*"].map(String::from).to_vec(),
            top_n_sigma: -1.0,
            top_k: 40,
            typ_p: 1.0,
            top_p: 0.95,
            min_p: 0.05,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            temp: 0.8,
            dynatemp_range: 0.0,
            dynatemp_exponent: 1.0,
            mirostat_v2: false,
            mirostat_tau: 5.0,
            mirostat_eta: 0.1,
        }
    }
}

impl SamplerOptions {
    /// Whether a [`Sampler`](super::Sampler) for `n_vocab` tokens can be made of these options, to be asked before anything is computed.
    ///
    /// # Errors
    /// Where a parameter is outside its range, also one of a sampler that isn't in the chain, or a bias names no token.
    pub fn check(&self, n_vocab: usize) -> Result<(), GenerateError> {
        for kind in SAMPLERS.iter().copied().chain([&LOGIT_BIAS, &MIROSTAT]) {
            kind.check(self)?;
        }
        match self.logit_bias.iter().find(|(token, _)| token.index() >= n_vocab) {
            Some(&(token, _)) => Err(GenerateError::BiasOutsideVocabulary { token, n_vocab }),
            None => Ok(()),
        }
    }
}

/// A parameter that lies in its range and is finite, or the error that says what was allowed.
pub(super) fn check(name: &'static str, value: f32, range: impl RangeBounds<f32>, allowed: &'static str) -> Result<(), GenerateError> {
    if value.is_finite() && range.contains(&value) {
        return Ok(());
    }
    Err(GenerateError::Parameter { name, allowed, found: f64::from(value) })
}
