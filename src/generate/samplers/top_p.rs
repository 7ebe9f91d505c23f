//! Top-p, nucleus sampling: the fewest likeliest tokens stay whose probabilities add up to at least `top_p`. Holtzman et al.,
//! "The Curious Case of Neural Text Degeneration" (arXiv:1904.09751), section 3.1.

use super::{SamplerKind, SamplerOptions, State};
use crate::generate::candidates::Candidates;
use crate::generate::options::check as in_range;

pub(super) static TOP_P: SamplerKind = SamplerKind {
    name: "top_p",
    aliases: &["nucleus"],
    keeps_best: true,
    check: |options| in_range("top_p", options.top_p, 0.0..=1.0, "from 0 to 1"),
    active: |options| options.top_p < 1.0,
    apply,
};

/// Tokens rarer than (1 − p) / n hold less than 1 − p together, so that the others suffice for p. Letting them go first leaves
/// little of a whole vocabulary to the selection.
fn apply(options: &SamplerOptions, _: &mut State, candidates: &mut Candidates<'_>) {
    let Some(softmax) = candidates.softmax() else { return };
    let p = f64::from(options.top_p);
    let rare = 0.99 * (1.0 - p) / candidates.len() as f64; // 0.99: rounding must not let go of a token that is needed
    candidates.keep_from(softmax.logit(rare), options.min_keep);
    candidates.keep_mass(p, options.min_keep, softmax, |logit| -f64::from(logit));
}
