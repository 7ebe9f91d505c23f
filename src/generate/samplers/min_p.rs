//! Min-p: t stays where p_t ≥ `min_p` · max p, which is l_t ≥ max l + ln `min_p`. Nguyen et al., "Turning Up the Heat: Min-p
//! Sampling for Creative and Coherent LLM Outputs" (arXiv:2407.01082).

use super::{SamplerKind, SamplerOptions, State};
use crate::generate::candidates::Candidates;
use crate::generate::options::check as in_range;

pub(super) static MIN_P: SamplerKind = SamplerKind {
    name: "min_p",
    aliases: &[],
    keeps_best: true,
    check: |options| in_range("min_p", options.min_p, 0.0..=1.0, "from 0 to 1"),
    active: |options| options.min_p > 0.0,
    apply,
};

fn apply(options: &SamplerOptions, _: &mut State, candidates: &mut Candidates<'_>) {
    if let Some(max) = candidates.max() {
        candidates.keep_from(max + options.min_p.ln(), options.min_keep);
    }
}
