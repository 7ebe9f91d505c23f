//! Each sampler against its formula, written down again in f64 with sorted lists: what it leaves of a row, and with which
//! probabilities. The rows come from a fixed seed, so that none lies within rounding of a threshold on one day only.

use kinglet::generate::{Sampler, SamplerOptions};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

/// Token and logit, likeliest first.
type Row = Vec<(usize, f64)>;

fn neutral() -> SamplerOptions {
    SamplerOptions { seed: Some(0), temp: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..SamplerOptions::default() }
}

fn sorted(logits: &[f32]) -> Row {
    let mut row: Row = logits.iter().map(|&l| f64::from(l)).enumerate().collect();
    row.sort_by(|a, b| b.1.total_cmp(&a.1));
    row
}

fn softmax(row: &Row) -> Vec<f64> {
    let max = row.iter().fold(f64::MIN, |m, r| m.max(r.1));
    let total: f64 = row.iter().map(|r| (r.1 - max).exp()).sum();
    row.iter().map(|r| (r.1 - max).exp() / total).collect()
}

fn entropy(p: &[f64]) -> f64 {
    p.iter().map(|p| -p * p.ln()).sum()
}

/// Length of the shortest start with at least this sum.
fn reach(p: impl IntoIterator<Item = f64>, mass: f64) -> usize {
    let mut sum = 0.0;
    1 + p
        .into_iter()
        .take_while(|p| {
            ({
                sum += p;
                sum
            }) < mass
        })
        .count()
}

/// Runs the chain on many random rows and compares what is left with the formula's result.
fn check(strategy: impl Strategy<Value = SamplerOptions>, formula: impl Fn(&SamplerOptions, Row) -> Row) {
    let config = ProptestConfig { cases: 400, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() };
    let rows = prop::collection::vec(-6f32..6.0, 1..120);
    let outcome = TestRunner::new(config).run(&(rows, strategy), |(logits, options)| {
        let mut expected = formula(&options, sorted(&logits));
        expected.sort_by_key(|r| r.0);
        let left = Sampler::new(options, logits.len()).unwrap().distribution(&logits).unwrap();
        let ids: Vec<usize> = left.iter().map(|(token, _)| token.index()).collect();
        prop_assert_eq!(ids, expected.iter().map(|r| r.0).collect::<Vec<_>>());
        for ((_, p), exact) in left.iter().zip(softmax(&expected)) {
            // A logit of 6 divided by a temperature of 0.05 is rounded to 8e-6 in f32.
            prop_assert!((f64::from(*p) - exact).abs() < 2e-5 * exact + 1e-9, "probability {}, exact {}", p, exact);
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn neutral_samplers_leave_the_softmax() {
    check(Just(neutral()), |_, row| row);
}

#[test]
fn top_k_leaves_the_k_likeliest() {
    check((1usize..130).prop_map(|top_k| SamplerOptions { top_k, ..neutral() }), |options, mut row| {
        row.truncate(options.top_k);
        row
    });
}

#[test]
fn top_p_leaves_the_fewest_that_hold_p() {
    let strategy = (0f32..1.0, 0usize..8).prop_map(|(top_p, min_keep)| SamplerOptions { top_p, min_keep, ..neutral() });
    check(strategy, |options, mut row| {
        let keep = reach(softmax(&row), f64::from(options.top_p));
        row.truncate(keep.max(options.min_keep));
        row
    });
}

#[test]
fn min_p_leaves_what_reaches_a_part_of_the_likeliest() {
    let strategy = (0.001f32..1.0, 0usize..8).prop_map(|(min_p, min_keep)| SamplerOptions { min_p, min_keep, ..neutral() });
    check(strategy, |options, mut row| {
        let p = softmax(&row);
        let keep = p.iter().filter(|&&x| x >= f64::from(options.min_p) * p[0]).count();
        row.truncate(keep.max(options.min_keep));
        row
    });
}

#[test]
fn typical_leaves_the_tokens_of_expected_surprise() {
    let strategy = (0f32..1.0, 0usize..8).prop_map(|(typ_p, min_keep)| SamplerOptions { typ_p, min_keep, ..neutral() });
    check(strategy, |options, row| {
        let p = softmax(&row);
        let entropy = entropy(&p);
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| (-p[a].ln() - entropy).abs().total_cmp(&(-p[b].ln() - entropy).abs()));
        let keep = reach(order.iter().map(|&i| p[i]), f64::from(options.typ_p)).max(options.min_keep);
        order.into_iter().take(keep).map(|i| row[i]).collect()
    });
}

#[test]
fn top_n_sigma_leaves_a_band_below_the_largest_logit() {
    check((0.01f32..4.0).prop_map(|top_n_sigma| SamplerOptions { top_n_sigma, ..neutral() }), |options, mut row| {
        let n = row.len() as f64;
        let mean = row.iter().map(|r| r.1).sum::<f64>() / n;
        let sigma = (row.iter().map(|r| (r.1 - mean).powi(2)).sum::<f64>() / n).sqrt();
        let bar = row[0].1 - f64::from(options.top_n_sigma) * sigma;
        row.retain(|r| r.1 >= bar);
        row
    });
}

#[test]
fn xtc_removes_all_top_choices_but_the_least() {
    let strategy = (0.001f32..0.5, 0usize..8).prop_map(|(xtc_threshold, min_keep)| SamplerOptions {
        xtc_probability: 1.0,
        xtc_threshold,
        min_keep,
        ..neutral()
    });
    check(strategy, |options, mut row| {
        let top = softmax(&row).iter().filter(|&&p| p >= f64::from(options.xtc_threshold)).count();
        if top >= 2 && row.len() - (top - 1) >= options.min_keep {
            row.drain(..top - 1);
        }
        row
    });
}

#[test]
fn temperature_divides_the_logits() {
    check((0.05f32..4.0).prop_map(|temp| SamplerOptions { temp, ..neutral() }), |options, row| {
        row.into_iter().map(|(token, logit)| (token, logit / f64::from(options.temp))).collect()
    });
}

#[test]
fn dynamic_temperature_follows_the_entropy() {
    let strategy = (0.5f32..2.0, 0.1f32..0.5, 0.2f32..3.0).prop_map(|(temp, dynatemp_range, dynatemp_exponent)| SamplerOptions {
        temp,
        dynatemp_range,
        dynatemp_exponent,
        ..neutral()
    });
    check(strategy, |options, row| {
        if row.len() == 1 {
            return row;
        }
        let evenness = entropy(&softmax(&row)) / (row.len() as f64).ln();
        let (temp, range) = (f64::from(options.temp), f64::from(options.dynatemp_range));
        let lowest = (temp - range).max(0.0);
        let temperature = lowest + (temp + range - lowest) * evenness.powf(f64::from(options.dynatemp_exponent));
        row.into_iter().map(|(token, logit)| (token, logit / temperature)).collect()
    });
}

#[test]
fn mirostat_removes_what_surprises_more_than_twice_its_target_at_first() {
    let strategy = (0f32..4.0).prop_map(|mirostat_tau| SamplerOptions { mirostat_v2: true, mirostat_tau, ..neutral() });
    check(strategy, |options, mut row| {
        let keep = softmax(&row).iter().filter(|p| -p.log2() <= 2.0 * f64::from(options.mirostat_tau)).count();
        row.truncate(keep.max(1));
        row
    });
}
