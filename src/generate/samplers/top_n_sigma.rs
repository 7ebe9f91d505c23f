//! Top-nσ: t stays where l_t ≥ max l − n · σ, with n = `top_n_sigma` and σ the standard deviation of the logits. The set doesn't
//! depend on the temperature, whatever the order. Tang et al., "Top-nσ: Not All Logits Are You Need" (arXiv:2411.07641).

use super::{SamplerKind, SamplerOptions, State};
use crate::generate::candidates::Candidates;
use crate::generate::options::check as in_range;

pub(super) static TOP_N_SIGMA: SamplerKind = SamplerKind {
    name: "top_n_sigma",
    aliases: &[],
    keeps_best: true,
    check: |options| in_range("top_n_sigma", options.top_n_sigma, .., "finite"),
    active: |options| options.top_n_sigma > 0.0,
    apply,
};

fn apply(options: &SamplerOptions, _: &mut State, candidates: &mut Candidates<'_>) {
    let Some(max) = candidates.max() else { return };
    let list = candidates.list();
    let n = list.len() as f64;
    // Counted from the maximum, so that a constant added to all logits changes no rounding.
    let below = |logit: f32| f64::from(max) - f64::from(logit);
    let mean = list.iter().map(|c| below(c.logit)).sum::<f64>() / n;
    let variance = list.iter().map(|c| (below(c.logit) - mean).powi(2)).sum::<f64>() / n;
    let reach = f64::from(options.top_n_sigma) * variance.sqrt();
    list.retain(|c| below(c.logit) <= reach);
}
