//! Mirostat 2.0 holds the text's surprise at `mirostat_tau` bits: tokens with −log2 p_t > μ go (the likeliest stays always), and
//! when x was drawn from the rest, with the probability q_x among the rest,
//!
//!   μ ← μ − `mirostat_eta` · (−log2 q_x − `mirostat_tau`),   μ = 2 · `mirostat_tau` at first.
//!
//! Basu et al., "Mirostat: A Neural Text Decoding Algorithm that Directly Controls Perplexity" (arXiv:2007.14966); version 2 is
//! the simplified algorithm of its authors' code (basusourya/mirostat).

use super::{SamplerKind, SamplerOptions, State};
use crate::error::generate::GenerateError;
use crate::generate::candidates::Candidates;
use crate::generate::options::check as in_range;

pub(in crate::generate) static MIROSTAT: SamplerKind =
    SamplerKind { name: "mirostat_v2", aliases: &[], keeps_best: true, check, active: |options| options.mirostat_v2, apply };

/// μ before the first token.
pub(in crate::generate) fn first_mu(options: &SamplerOptions) -> f32 {
    2.0 * options.mirostat_tau
}

/// μ after a token was drawn that had this probability among the candidates.
pub(in crate::generate) fn next_mu(options: &SamplerOptions, mu: f32, probability: f64) -> f32 {
    mu - options.mirostat_eta * (-probability.log2() as f32 - options.mirostat_tau)
}

fn check(options: &SamplerOptions) -> Result<(), GenerateError> {
    in_range("mirostat_tau", options.mirostat_tau, 0.0.., "finite and at least 0")?;
    in_range("mirostat_eta", options.mirostat_eta, 0.0.., "finite and at least 0")
}

fn apply(_: &SamplerOptions, state: &mut State, candidates: &mut Candidates<'_>) {
    if let Some(softmax) = candidates.softmax() {
        candidates.keep_from(softmax.logit((-f64::from(state.mu)).exp2()), 0);
    }
}
