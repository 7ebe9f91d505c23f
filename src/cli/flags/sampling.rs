//! How tokens are chosen: a flag for each parameter of the sampler chain, with its default.

use crate::cli::Failure;
use crate::generate::{SamplerKind, SamplerOptions};
use crate::types::TokenId;
use clap::Args;

/// How tokens are chosen.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingFlags {
    /// Temperature: 0 always takes the likeliest token, 1 is the model's own distribution [default: what the model's makers advise,
    /// else 0.8]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    temp: Option<f32>,

    /// Keep the K likeliest tokens; 0: all
    #[arg(long, value_name = "K", default_value_t = SamplerOptions::default().top_k)]
    top_k: usize,

    /// Keep the likeliest tokens that together have probability P; 1: all
    #[arg(long, value_name = "P", default_value_t = SamplerOptions::default().top_p)]
    top_p: f32,

    /// Keep tokens at least P times as likely as the likeliest; 0: all
    #[arg(long, value_name = "P", default_value_t = SamplerOptions::default().min_p)]
    min_p: f32,

    /// Seed of the randomness: the same seed, model and prompt give the same text [default: another one each time]
    #[arg(short, long, value_name = "SEED", allow_negative_numbers = true)]
    seed: Option<i64>,

    /// Locally typical sampling with probability P; 1: off
    #[arg(long, value_name = "P", visible_alias = "typical-p", default_value_t = SamplerOptions::default().typ_p)]
    typical: f32,

    /// Keep tokens within N standard deviations of the best logit; -1: off
    #[arg(long, value_name = "N", visible_alias = "top-n-sigma", allow_negative_numbers = true)]
    #[arg(default_value_t = SamplerOptions::default().top_n_sigma)]
    top_nsigma: f32,

    /// Tokens that stay in any case after top-p, min-p, typical and XTC
    #[arg(long, value_name = "N", default_value_t = SamplerOptions::default().min_keep)]
    min_keep: usize,

    /// Divide the logits of tokens seen lately by P; 1: off
    #[arg(long, value_name = "P", default_value_t = SamplerOptions::default().penalty_repeat)]
    repeat_penalty: f32,

    /// How many of the last tokens the penalties look at; 0: none, -1: the whole context
    #[arg(long, value_name = "N", default_value = "64", allow_negative_numbers = true)]
    repeat_last_n: i64,

    /// Subtract P from the logits of tokens seen lately; 0: off
    #[arg(long, value_name = "P", default_value_t = SamplerOptions::default().penalty_present, allow_negative_numbers = true)]
    presence_penalty: f32,

    /// Subtract P for each time that a token was seen lately; 0: off
    #[arg(long, value_name = "P", default_value_t = SamplerOptions::default().penalty_freq, allow_negative_numbers = true)]
    frequency_penalty: f32,

    /// DRY: strength against repeated sequences; 0: off
    #[arg(long, value_name = "X", default_value_t = SamplerOptions::default().dry_multiplier)]
    dry_multiplier: f32,

    /// DRY: growth of the penalty with the sequence's length
    #[arg(long, value_name = "X", default_value_t = SamplerOptions::default().dry_base)]
    dry_base: f32,

    /// DRY: longest repetition that costs nothing
    #[arg(long, value_name = "N", default_value_t = SamplerOptions::default().dry_allowed_length)]
    dry_allowed_length: usize,

    /// DRY: how many of the last tokens are searched; 0: none, -1: the whole context
    #[arg(long, value_name = "N", default_value = "64", allow_negative_numbers = true)]
    dry_penalty_last_n: i64,

    /// DRY: a text that ends a sequence, in place of the usual ones; may be repeated; "none": no such text
    #[arg(long, value_name = "TEXT")]
    dry_sequence_breaker: Vec<String>,

    /// XTC: probability of removing the top choices; 0: off
    #[arg(long, value_name = "P", default_value_t = SamplerOptions::default().xtc_probability)]
    xtc_probability: f32,

    /// XTC: from which probability on a token is a top choice
    #[arg(long, value_name = "P", default_value_t = SamplerOptions::default().xtc_threshold)]
    xtc_threshold: f32,

    /// Dynamic temperature: the temperature moves by up to X with the entropy; 0: off
    #[arg(long, value_name = "X", default_value_t = SamplerOptions::default().dynatemp_range)]
    dynatemp_range: f32,

    /// Dynamic temperature: exponent
    #[arg(long, value_name = "X", default_value_t = SamplerOptions::default().dynatemp_exponent)]
    dynatemp_exp: f32,

    /// Mirostat: 0 off, 2 version 2 (in place of top-k, top-p, …)
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    mirostat: u8,

    /// Mirostat: learning rate
    #[arg(long, value_name = "X", default_value_t = SamplerOptions::default().mirostat_eta)]
    mirostat_lr: f32,

    /// Mirostat: the surprise to aim at, in bits
    #[arg(long, value_name = "X", default_value_t = SamplerOptions::default().mirostat_tau)]
    mirostat_ent: f32,

    /// The samplers and their order, with semicolons between, as in "top_k;min_p;temperature"
    #[arg(long, value_name = "LIST")]
    samplers: Option<String>,

    /// Add to a token's logit, as in 15043+1 or 15043-inf; may be repeated
    #[arg(short, long, value_name = "ID±X", value_parser = parse_bias)]
    logit_bias: Vec<(TokenId, f32)>,
}

impl SamplingFlags {
    /// In the library's terms; `advised` is the temperature for this model where none was asked for.
    pub fn options(&self, advised: Option<f32>) -> Result<SamplerOptions, Failure> {
        let default = SamplerOptions::default();
        if self.mirostat == 1 {
            return Err(Failure::usage("--mirostat 1 (version 1) is not supported").hint("--mirostat 2 is its successor"));
        }
        let samplers = match &self.samplers {
            Some(list) => SamplerKind::parse_list(list).map_err(Failure::usage)?,
            None => default.samplers,
        };
        let breakers = match self.dry_sequence_breaker.as_slice() {
            [] => default.dry_sequence_breakers,
            [none] if none == "none" => Vec::new(),
            given => given.to_vec(),
        };
        Ok(SamplerOptions {
            // llama.cpp's -1 is "at random"; other negative numbers are as good a seed as any.
            seed: self.seed.filter(|&seed| seed != -1).map(i64::cast_unsigned),
            logprobs: None,
            samplers,
            min_keep: self.min_keep,
            logit_bias: self.logit_bias.clone(),
            penalty_last_n: last_n("--repeat-last-n", self.repeat_last_n)?,
            penalty_repeat: self.repeat_penalty,
            penalty_freq: self.frequency_penalty,
            penalty_present: self.presence_penalty,
            dry_multiplier: self.dry_multiplier,
            dry_base: self.dry_base,
            dry_allowed_length: self.dry_allowed_length,
            dry_penalty_last_n: last_n("--dry-penalty-last-n", self.dry_penalty_last_n)?,
            dry_sequence_breakers: breakers,
            top_n_sigma: self.top_nsigma,
            top_k: self.top_k,
            typ_p: self.typical,
            top_p: self.top_p,
            min_p: self.min_p,
            xtc_probability: self.xtc_probability,
            xtc_threshold: self.xtc_threshold,
            temp: self.temp.or(advised).unwrap_or(default.temp),
            dynatemp_range: self.dynatemp_range,
            dynatemp_exponent: self.dynatemp_exp,
            mirostat_v2: self.mirostat == 2,
            mirostat_tau: self.mirostat_ent,
            mirostat_eta: self.mirostat_lr,
        })
    }
}

/// A number of last tokens; -1 is llama.cpp's word for the context's length, and a window without a bound sees the same: a session never
/// holds more tokens than its context.
fn last_n(flag: &str, n: i64) -> Result<usize, Failure> {
    match n {
        -1 => Ok(usize::MAX),
        n => usize::try_from(n).map_err(|_| Failure::usage(format!("{flag} is {n}, expected a number of tokens or -1"))),
    }
}

/// `15043+1`, `15043-1.5`, `15043-inf`.
fn parse_bias(text: &str) -> Result<(TokenId, f32), String> {
    let wrong = || format!("{text:?} is not of the form ID+X or ID-X");
    let sign = text.find(['+', '-']).ok_or_else(wrong)?;
    let id = text[..sign].trim().parse().map_err(|_| wrong())?;
    let bias: f32 = text[sign..].trim().parse().map_err(|_| wrong())?;
    if bias.is_nan() || bias == f32::INFINITY { Err(wrong()) } else { Ok((TokenId(id), bias)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        sampling: SamplingFlags,
    }

    fn options(flags: &[&str]) -> SamplerOptions {
        Line::try_parse_from(["test"].iter().chain(flags)).unwrap().sampling.options(None).unwrap()
    }

    #[test]
    fn without_flags_the_options_are_the_librarys_defaults() {
        assert_eq!(options(&[]), SamplerOptions::default());
    }

    #[test]
    fn advice_counts_only_where_no_temperature_was_asked_for() {
        let line = |flags: &[&str]| Line::try_parse_from(["test"].iter().chain(flags)).unwrap().sampling.options(Some(0.2)).unwrap().temp;
        assert_eq!(line(&[]), 0.2);
        assert_eq!(line(&["--temp", "0"]), 0.0);
    }

    #[test]
    fn a_bias_is_an_id_and_a_signed_number() {
        assert_eq!(parse_bias("15043+1"), Ok((TokenId(15043), 1.0)));
        assert_eq!(parse_bias("7-1.5"), Ok((TokenId(7), -1.5)));
        assert_eq!(parse_bias("7-inf"), Ok((TokenId(7), f32::NEG_INFINITY)));
        for bad in ["", "7", "+1", "x+1", "7+", "7+x", "7+inf", "7+nan", "-1+1"] {
            assert!(parse_bias(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn llama_cpps_minus_one_is_understood() {
        assert_eq!(options(&["--repeat-last-n", "-1", "--seed", "-1"]).penalty_last_n, usize::MAX);
        assert_eq!(options(&["--seed", "-1"]).seed, None);
        assert_eq!(options(&["-s", "42"]).seed, Some(42));
    }
}
