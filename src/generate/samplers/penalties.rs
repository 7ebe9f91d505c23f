//! Penalties on what was said before. For each token t that occurs c_t > 0 times among the last `penalty_last_n`:
//!
//!   l_t ← l_t / r where l_t > 0, l_t · r else      r = `penalty_repeat`
//!   l_t ← l_t − c_t · f − p                        f = `penalty_freq`, p = `penalty_present`
//!
//! r: Keskar et al., "CTRL" (arXiv:1909.05858), section 4.1; the paper divides always, which would make negative logits
//! likelier, so everybody multiplies those. f and p: OpenAI's API reference.

use super::{SamplerKind, SamplerOptions, State};
use crate::error::generate::GenerateError;
use crate::generate::candidates::Candidates;
use crate::generate::options::check as in_range;

pub(in crate::generate) static PENALTIES: SamplerKind =
    SamplerKind { name: "penalties", aliases: &[], keeps_best: false, check, active, apply };

fn check(options: &SamplerOptions) -> Result<(), GenerateError> {
    in_range("penalty_repeat", options.penalty_repeat, f32::MIN_POSITIVE.., "finite and above 0")?;
    in_range("penalty_freq", options.penalty_freq, .., "finite")?;
    in_range("penalty_present", options.penalty_present, .., "finite")
}

fn active(options: &SamplerOptions) -> bool {
    let neutral = options.penalty_repeat == 1.0 && options.penalty_freq == 0.0 && options.penalty_present == 0.0;
    options.penalty_last_n > 0 && !neutral
}

fn apply(options: &SamplerOptions, state: &mut State, candidates: &mut Candidates<'_>) {
    candidates.edit(state.history.counts(), |logit, &count| {
        let repeated = if logit <= 0.0 { logit * options.penalty_repeat } else { logit / options.penalty_repeat };
        let penalised = repeated - (count as f32 * options.penalty_freq + options.penalty_present);
        penalised.clamp(f32::MIN, f32::MAX) // only a bias may forbid a token
    });
}
