//! Temperature: l' = l / T; T ≤ 0 is greedy choice. With `dynatemp_range` = d > 0 the temperature follows the entropy H of the n
//! candidates, low where the model is sure:
//!
//!   T = T_min + (T_max − T_min) · (H / ln n)^`dynatemp_exponent`,   T_min = max(0, `temp` − d),   T_max = `temp` + d
//!
//! Ackley, Hinton and Sejnowski, "A Learning Algorithm for Boltzmann Machines" (1985); dynamic: kalomaze, koboldcpp
//! ("Dynamic Temperature", 2023). Under Mirostat, which steers the entropy itself, the temperature stays put.

use super::{SamplerKind, SamplerOptions, State};
use crate::error::generate::GenerateError;
use crate::generate::candidates::Candidates;
use crate::generate::options::check as in_range;

pub(in crate::generate) static TEMPERATURE: SamplerKind =
    SamplerKind { name: "temperature", aliases: &["temp"], keeps_best: true, check, active, apply };

fn check(options: &SamplerOptions) -> Result<(), GenerateError> {
    in_range("temp", options.temp, .., "finite (0 or less: greedy)")?;
    in_range("dynatemp_range", options.dynatemp_range, 0.0.., "finite and at least 0")?;
    in_range("dynatemp_exponent", options.dynatemp_exponent, 0.0.., "finite and at least 0")
}

fn active(options: &SamplerOptions) -> bool {
    options.temp != 1.0 || is_dynamic(options)
}

/// Whether the temperature always leaves the likeliest candidate only.
pub(in crate::generate) fn is_greedy(options: &SamplerOptions) -> bool {
    options.temp <= 0.0 && !is_dynamic(options)
}

fn is_dynamic(options: &SamplerOptions) -> bool {
    options.dynatemp_range > 0.0 && !options.mirostat_v2
}

fn apply(options: &SamplerOptions, _: &mut State, candidates: &mut Candidates<'_>) {
    let temperature = if is_dynamic(options) { dynamic(options, candidates) } else { options.temp };
    // A temperature so low that the largest logit overflows leaves nothing beside it either.
    let overflows = candidates.max().is_some_and(|max| !(max / temperature).is_finite());
    if temperature <= 0.0 || overflows {
        candidates.keep_best();
    } else {
        candidates.edit_all(|logit| logit / temperature);
    }
}

fn dynamic(options: &SamplerOptions, candidates: &mut Candidates<'_>) -> f32 {
    let lowest = (options.temp - options.dynatemp_range).max(0.0);
    let highest = options.temp + options.dynatemp_range;
    let n = candidates.list().len();
    match candidates.softmax() {
        Some(softmax) if n > 1 => {
            let evenness = candidates.entropy(softmax) / (n as f64).ln();
            lowest + (highest - lowest) * (evenness as f32).powf(options.dynatemp_exponent)
        }
        _ => options.temp,
    }
}
