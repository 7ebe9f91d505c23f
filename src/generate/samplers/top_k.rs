//! Top-k: the k likeliest tokens stay, k = `top_k`. Fan, Lewis and Dauphin, "Hierarchical Neural Story Generation"
//! (arXiv:1805.04833).

use super::SamplerKind;

pub(super) static TOP_K: SamplerKind = SamplerKind {
    name: "top_k",
    aliases: &[],
    keeps_best: true,
    check: |_| Ok(()),
    active: |options| options.top_k > 0,
    apply: |options, _, candidates| candidates.keep_largest(options.top_k),
};
