//! The sampler chain leaves the tokens and probabilities that llama.cpp's leaves: on random rows, parameters and orders
//! (tests/reference/make_sampler.cpp writes them), and on the vectors of llama.cpp's own tests/test-sampling.cpp.

use kinglet::generate::{Breakers, Sampler, SamplerKind, SamplerOptions};
use kinglet::types::TokenId;
use serde_json::Value;

/// What no sampler touches, to be changed field by field.
fn neutral() -> SamplerOptions {
    SamplerOptions { seed: Some(0), temp: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..SamplerOptions::default() }
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn tokens(list: &Value) -> Vec<TokenId> {
    numbers(list).iter().map(|&x| TokenId(x as u32)).collect()
}

fn options(case: &Value) -> SamplerOptions {
    let mut options = neutral();
    options.samplers = SamplerKind::parse_list(case["samplers"].as_str().unwrap()).unwrap();
    for (name, value) in case["options"].as_object().unwrap() {
        let value = value.as_f64().unwrap();
        match name.as_str() {
            "penalty_last_n" => options.penalty_last_n = value as usize,
            "penalty_repeat" => options.penalty_repeat = value as f32,
            "penalty_freq" => options.penalty_freq = value as f32,
            "penalty_present" => options.penalty_present = value as f32,
            "dry_multiplier" => options.dry_multiplier = value as f32,
            "dry_base" => options.dry_base = value as f32,
            "dry_allowed_length" => options.dry_allowed_length = value as usize,
            "dry_penalty_last_n" => options.dry_penalty_last_n = value as usize,
            "top_n_sigma" => options.top_n_sigma = value as f32,
            "top_k" => options.top_k = value as usize,
            "typ_p" => options.typ_p = value as f32,
            "top_p" => options.top_p = value as f32,
            "min_p" => options.min_p = value as f32,
            "min_keep" => options.min_keep = value as usize,
            "xtc_probability" => options.xtc_probability = value as f32,
            "xtc_threshold" => options.xtc_threshold = value as f32,
            "temp" => options.temp = value as f32,
            "dynatemp_range" => options.dynatemp_range = value as f32,
            "dynatemp_exponent" => options.dynatemp_exponent = value as f32,
            "mirostat_v2" => options.mirostat_v2 = value == 1.0,
            "mirostat_tau" => options.mirostat_tau = value as f32,
            "mirostat_eta" => options.mirostat_eta = value as f32,
            other => panic!("the fixture has an option {other}"),
        }
    }
    let bias = case["logit_bias"].as_array().unwrap().iter().map(numbers);
    options.logit_bias = bias.map(|pair| (TokenId(pair[0] as u32), pair[1] as f32)).collect();
    options
}

#[test]
fn random_chains_leave_the_distributions_of_llama_cpp() {
    let cases = include_str!("reference/sampler.jsonl").lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut checked = 0;
    for (i, case) in cases.enumerate() {
        let logits: Vec<f32> = numbers(&case["logits"]).iter().map(|&x| x as f32).collect();
        let mut sampler = Sampler::new(options(&case), logits.len()).unwrap();
        let breakers: Vec<Vec<TokenId>> = case["breakers"].as_array().unwrap().iter().map(tokens).collect();
        sampler.set_breakers(Breakers::from_tokens(breakers.iter().map(Vec::as_slice)));
        tokens(&case["accepted"]).into_iter().for_each(|token| sampler.accept(token));

        let left = sampler.distribution(&logits).unwrap();
        let expected: Vec<Vec<f64>> = case["left"].as_array().unwrap().iter().map(numbers).collect();
        assert_eq!(
            left.iter().map(|&(token, _)| token.0).collect::<Vec<_>>(),
            expected.iter().map(|pair| pair[0] as u32).collect::<Vec<_>>(),
            "case {i}: {case}"
        );
        for (&(token, p), pair) in left.iter().zip(&expected) {
            assert!((f64::from(p) - pair[1]).abs() < 2e-6 + 2e-6 * pair[1], "case {i}, token {token}: {p}, expected {}", pair[1]);
        }
        checked += 1;
    }
    assert_eq!(checked, 160);
}

/// The probabilities that are left of `p` by id, 0 for those that are gone.
fn left(p: &[f32], options: SamplerOptions, accepted: &[u32], breakers: &[&[TokenId]]) -> Vec<f32> {
    let logits: Vec<f32> = p.iter().map(|p| p.ln()).collect();
    let mut sampler = Sampler::new(options, p.len()).unwrap();
    sampler.set_breakers(Breakers::from_tokens(breakers.iter().copied()));
    accepted.iter().for_each(|&token| sampler.accept(TokenId(token)));
    let mut by_id = vec![0.0; p.len()];
    sampler.distribution(&logits).unwrap().into_iter().for_each(|(token, p)| by_id[token.index()] = p);
    by_id
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-5, "found {found:?}, expected {expected:?}");
    }
}

const P: [f32; 4] = [0.1, 0.2, 0.3, 0.4];

#[test]
fn test_vectors_of_temperature() {
    let with = |temp, range| left(&P, SamplerOptions { temp, dynatemp_range: range, ..neutral() }, &[], &[]);
    assert_close(&with(1.0, 0.0), &P);
    assert_close(&with(0.0, 0.0), &[0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn test_vectors_of_the_truncating_samplers() {
    let top_k = |top_k| left(&P, SamplerOptions { top_k, ..neutral() }, &[], &[]);
    assert_close(&top_k(1), &[0.0, 0.0, 0.0, 1.0]);
    assert_close(&top_k(3), &[0.0, 0.22222, 0.33333, 0.44444]);
    assert_close(&top_k(4), &P);
    assert_close(&top_k(0), &P);

    let top_p = |top_p| left(&P, SamplerOptions { top_p, ..neutral() }, &[], &[]);
    assert_close(&top_p(0.0), &[0.0, 0.0, 0.0, 1.0]);
    assert_close(&top_p(0.7), &[0.0, 0.0, 0.428571, 0.571429]);
    assert_close(&top_p(0.8), &[0.0, 0.22222, 0.33333, 0.44444]);
    assert_close(&top_p(1.0), &P);

    let min_p = |min_p| left(&P, SamplerOptions { min_p, ..neutral() }, &[], &[]);
    assert_close(&min_p(0.0), &P);
    assert_close(&min_p(0.24), &P);
    for p in [0.26, 0.49] {
        assert_close(&min_p(p), &[0.0, 0.2 / 0.9, 0.3 / 0.9, 0.4 / 0.9]);
    }
    for p in [0.51, 0.74] {
        assert_close(&min_p(p), &[0.0, 0.0, 0.3 / 0.7, 0.4 / 0.7]);
    }
    for p in [0.76, 1.0] {
        assert_close(&min_p(p), &[0.0, 0.0, 0.0, 1.0]);
    }

    let top_n_sigma = |top_n_sigma| left(&P, SamplerOptions { top_n_sigma, ..neutral() }, &[], &[]);
    assert_close(&top_n_sigma(1.0), &[0.0, 0.0, 0.428571, 0.571429]);
    assert_close(&top_n_sigma(0.0), &P);
    assert_close(&top_n_sigma(3.0), &P);

    let typical = |p: &[f32]| left(p, SamplerOptions { typ_p: 0.5, ..neutral() }, &[], &[]);
    assert_close(&typical(&[0.97, 0.01, 0.01, 0.01]), &[1.0, 0.0, 0.0, 0.0]);
    assert_close(&typical(&[0.4, 0.2, 0.2, 0.2]), &[0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]);
}

#[test]
fn test_vectors_of_xtc() {
    let xtc =
        |threshold| left(&[0.4, 0.3, 0.2, 0.1], SamplerOptions { xtc_probability: 1.0, xtc_threshold: threshold, ..neutral() }, &[], &[]);
    assert_close(&xtc(0.09), &[0.0, 0.0, 0.0, 1.0]);
    assert_close(&xtc(0.19), &[0.0, 0.0, 0.2 / 0.3, 0.1 / 0.3]);
    assert_close(&xtc(0.29), &[0.0, 0.3 / 0.6, 0.2 / 0.6, 0.1 / 0.6]);
    assert_close(&xtc(0.39), &[0.4, 0.3, 0.2, 0.1]);
}

#[test]
fn test_vectors_of_the_penalties() {
    let with = |accepted: &[u32], penalty_repeat, alpha| {
        let options = SamplerOptions { penalty_repeat, penalty_freq: alpha, penalty_present: alpha, ..neutral() };
        left(&[0.2; 5], SamplerOptions { penalty_last_n: accepted.len(), ..options }, accepted, &[])
    };
    assert_close(&with(&[0], 50.0, 0.0), &[0.0, 0.25, 0.25, 0.25, 0.25]);
    assert_close(&with(&[0, 1, 2], 50.0, 0.0), &[0.0, 0.0, 0.0, 0.5, 0.5]);
    assert_close(&with(&[0, 1, 2, 0, 0], 50.0, 0.0), &[0.0, 0.0, 0.0, 0.5, 0.5]);
    assert_close(&with(&[0], 1.0, 5.0), &[0.000011, 0.249997, 0.249997, 0.249997, 0.249997]);
    assert_close(&with(&[0, 1, 2], 1.0, 5.0), &[0.000023, 0.000023, 0.000023, 0.499966, 0.499966]);
    assert_close(&with(&[0, 1, 2, 0, 0], 1.0, 5.0), &[0.000000, 0.000023, 0.000023, 0.499977, 0.499977]);
}

#[test]
fn test_vectors_of_dry() {
    let with = |n, accepted: &[u32], multiplier, allowed, breakers: &[&[TokenId]]| {
        let options = SamplerOptions { dry_multiplier: multiplier, dry_base: 1.1, dry_allowed_length: allowed, ..neutral() };
        left(&vec![1.0 / n as f32; n], SamplerOptions { dry_penalty_last_n: accepted.len().max(4), ..options }, accepted, breakers)
    };
    assert_close(&with(4, &[0, 1], 1.0, 2, &[]), &[0.25; 4]);
    assert_close(&with(4, &[0, 1, 2, 0, 1], 1.0, 2, &[]), &[0.296923, 0.296923, 0.109232, 0.296923]);
    assert_close(&with(5, &[0, 1, 3, 4, 0, 1], 1.0, 2, &[&[TokenId(3)]]), &[0.2; 5]);
    assert_close(&with(5, &[0, 1, 2, 0, 1], 2.0, 2, &[]), &[0.241818, 0.241818, 0.032727, 0.241818, 0.241818]);
    assert_close(&with(5, &[0, 1, 2, 3, 4, 0, 1], 2.0, 4, &[]), &[0.2; 5]);
}
