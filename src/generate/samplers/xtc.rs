//! XTC, "exclude top choices": with the chance `xtc_probability`, all tokens with p ≥ `xtc_threshold` go but the least likely of
//! them, so that the text stays sensible and leaves the trodden path. It does nothing where fewer than two tokens reach the
//! threshold, or where fewer than `min_keep` would stay. Source: p-e-w, oobabooga/text-generation-webui pull request 6335.

use super::{SamplerKind, SamplerOptions, State};
use crate::error::generate::GenerateError;
use crate::generate::candidates::Candidates;
use crate::generate::options::check as in_range;
use crate::generate::select::likelier;

pub(super) static XTC: SamplerKind = SamplerKind { name: "xtc", aliases: &[], keeps_best: false, check, active, apply };

fn check(options: &SamplerOptions) -> Result<(), GenerateError> {
    in_range("xtc_probability", options.xtc_probability, 0.0..=1.0, "from 0 to 1")?;
    in_range("xtc_threshold", options.xtc_threshold, 0.0..=1.0, "from 0 to 1")
}

fn active(options: &SamplerOptions) -> bool {
    options.xtc_probability > 0.0 && options.xtc_threshold <= 0.5
}

fn apply(options: &SamplerOptions, state: &mut State, candidates: &mut Candidates<'_>) {
    // The number is drawn for every token, so that later draws don't depend on how many candidates there were.
    if state.random.unit() >= f64::from(options.xtc_probability) {
        return;
    }
    let Some(softmax) = candidates.softmax() else { return };
    let is_top = |logit| softmax.probability(logit) >= f64::from(options.xtc_threshold);
    let list = candidates.list();
    let top = list.iter().filter(|c| is_top(c.logit)).count();
    let least = list.iter().copied().filter(|c| is_top(c.logit)).max_by(likelier);
    if let Some(least) = least
        && list.len() - (top - 1) >= options.min_keep
    {
        list.retain(|c| !is_top(c.logit) || c.token == least.token);
    }
}
