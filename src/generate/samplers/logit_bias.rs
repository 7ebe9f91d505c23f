//! Logit bias: l'_t = l_t + b_t for the tokens that a user names, as in OpenAI's API; b_t = -∞ forbids t. It runs before all
//! other samplers.

use super::{SamplerKind, SamplerOptions, State};
use crate::error::generate::GenerateError;
use crate::generate::candidates::Candidates;

pub(in crate::generate) static LOGIT_BIAS: SamplerKind =
    SamplerKind { name: "logit_bias", aliases: &[], keeps_best: false, check, active: |options| !options.logit_bias.is_empty(), apply };

fn check(options: &SamplerOptions) -> Result<(), GenerateError> {
    let impossible = options.logit_bias.iter().find(|(_, bias)| !(bias.is_finite() || *bias == f32::NEG_INFINITY));
    impossible.map_or(Ok(()), |&(_, bias)| {
        Err(GenerateError::Parameter { name: "logit_bias", allowed: "finite, or -inf to forbid a token", found: f64::from(bias) })
    })
}

fn apply(_: &SamplerOptions, state: &mut State, candidates: &mut Candidates<'_>) {
    candidates.edit(&state.bias, |logit, bias| (logit + bias).min(f32::MAX));
}
