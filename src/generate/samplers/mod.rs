//! The samplers, one file each. A sampler is data: its name, the check of its parameters, when it has something to do, and the
//! function that edits or narrows the [`Candidates`]. To add one, write its file and add its line to [`SAMPLERS`].

mod breakers;
pub(super) mod dry;
pub(super) mod logit_bias;
mod min_p;
pub(super) mod mirostat;
pub(super) mod penalties;
pub(super) mod temperature;
mod top_k;
mod top_n_sigma;
mod top_p;
mod typical;
mod xtc;

use std::collections::HashMap;
use std::fmt;

use super::candidates::Candidates;
use super::history::History;
use super::options::SamplerOptions;
use super::random::Random;
use crate::error::generate::GenerateError;
use crate::types::TokenId;

pub use breakers::Breakers;

/// All samplers whose order may be chosen, in the order in which they run where nothing else is said (llama.cpp's).
pub static SAMPLERS: [&SamplerKind; 9] = [
    &penalties::PENALTIES,
    &dry::DRY,
    &top_n_sigma::TOP_N_SIGMA,
    &top_k::TOP_K,
    &typical::TYPICAL,
    &top_p::TOP_P,
    &min_p::MIN_P,
    &xtc::XTC,
    &temperature::TEMPERATURE,
];

/// One kind of sampler.
pub struct SamplerKind {
    /// llama.cpp's name for it, with underscores.
    name: &'static str,
    /// Other names that people use, beside the name without underscores or with dashes in their place.
    aliases: &'static [&'static str],
    /// It only removes candidates and never the likeliest one, so that greedy choice needn't run it.
    keeps_best: bool,
    /// Refuses parameters outside their range.
    check: fn(&SamplerOptions) -> Result<(), GenerateError>,
    /// Whether it would change anything with these parameters.
    active: fn(&SamplerOptions) -> bool,
    /// Its work on one row of candidates.
    apply: fn(&SamplerOptions, &mut State, &mut Candidates<'_>),
}

/// What samplers remember from token to token.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) random: Random,
    pub(super) history: History,
    /// `logit_bias` by token.
    pub(super) bias: HashMap<TokenId, f32>,
    pub(super) breakers: Breakers,
    /// Mirostat's bound on the surprise, in bits.
    pub(super) mu: f32,
}

impl SamplerKind {
    /// llama.cpp's name for it: `top_k`, `typ_p`, `temperature` …
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The sampler with this name, in any of the spellings that llama.cpp takes: `top_k`, `top-k`, `topk`, `temp`, `nucleus` …
    pub fn from_name(name: &str) -> Result<&'static SamplerKind, GenerateError> {
        let plain = |name: &str| name.to_lowercase().replace(['_', '-'], "");
        let wanted = plain(name);
        let named = |kind: &&SamplerKind| plain(kind.name) == wanted || kind.aliases.contains(&wanted.as_str());
        SAMPLERS
            .into_iter()
            .find(named)
            .ok_or_else(|| GenerateError::UnknownSampler { name: name.to_owned(), known: SAMPLERS.map(SamplerKind::name).join(", ") })
    }

    /// A list of names with semicolons between, as llama.cpp's `--samplers` takes it. Empty items are passed over.
    ///
    /// ```
    /// use kinglet::generate::SamplerKind;
    ///
    /// let order = SamplerKind::parse_list("penalties;top-k;temp")?;
    /// assert_eq!(order.iter().map(|kind| kind.name()).collect::<Vec<_>>(), ["penalties", "top_k", "temperature"]);
    /// # Ok::<(), kinglet::error::generate::GenerateError>(())
    /// ```
    pub fn parse_list(names: &str) -> Result<Vec<&'static SamplerKind>, GenerateError> {
        names.split(';').map(str::trim).filter(|name| !name.is_empty()).map(SamplerKind::from_name).collect()
    }

    pub(super) fn keeps_best(&self) -> bool {
        self.keeps_best
    }

    pub(super) fn check(&self, options: &SamplerOptions) -> Result<(), GenerateError> {
        (self.check)(options)
    }

    pub(super) fn active(&self, options: &SamplerOptions) -> bool {
        (self.active)(options)
    }

    pub(super) fn apply(&self, options: &SamplerOptions, state: &mut State, candidates: &mut Candidates<'_>) {
        (self.apply)(options, state, candidates);
    }
}

impl PartialEq for SamplerKind {
    fn eq(&self, other: &SamplerKind) -> bool {
        self.name == other.name
    }
}

impl Eq for SamplerKind {}

impl fmt::Debug for SamplerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
