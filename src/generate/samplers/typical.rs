//! Locally typical sampling: the tokens stay whose surprise is nearest to the distribution's entropy, as many of them as are
//! needed for the probability τ = `typ_p`. In the order of |−ln p_t − H|, H = −Σ p ln p. The likeliest token may go. Meister et
//! al., "Locally Typical Sampling" (arXiv:2202.00666).

use super::{SamplerKind, SamplerOptions, State};
use crate::generate::candidates::Candidates;
use crate::generate::options::check as in_range;

pub(super) static TYPICAL: SamplerKind = SamplerKind {
    name: "typ_p",
    aliases: &["typ", "typical", "typicalp"],
    keeps_best: false,
    check: |options| in_range("typ_p", options.typ_p, 0.0..=1.0, "from 0 to 1"),
    active: |options| options.typ_p < 1.0,
    apply,
};

fn apply(options: &SamplerOptions, _: &mut State, candidates: &mut Candidates<'_>) {
    let Some(softmax) = candidates.softmax() else { return };
    let entropy = candidates.entropy(softmax);
    let rank = |logit| (-softmax.log_probability(logit) - entropy).abs();
    candidates.keep_mass(f64::from(options.typ_p), options.min_keep, softmax, rank);
}
