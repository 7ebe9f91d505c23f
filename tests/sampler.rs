//! The sampler from outside: which laws it keeps, that it draws with the right frequencies, what it refuses.

use std::collections::HashMap;

use kinglet::error::generate::GenerateError;
use kinglet::generate::{LookupOptions, PromptLookup, SAMPLERS, Sampler, SamplerKind, SamplerOptions, verify};
use kinglet::types::TokenId;
use proptest::prelude::*;

fn neutral() -> SamplerOptions {
    SamplerOptions { seed: Some(0), temp: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..SamplerOptions::default() }
}

fn greedy() -> SamplerOptions {
    SamplerOptions { temp: 0.0, ..neutral() }
}

fn sample_one(options: SamplerOptions, logits: &[f32]) -> Result<TokenId, GenerateError> {
    Ok(Sampler::new(options, logits.len())?.sample(logits)?.token)
}

/// What a language model is to a sampler: logits that depend on the last two tokens.
fn toy_model(text: &[TokenId]) -> Vec<f32> {
    let state = text.iter().rev().take(2).fold(17u32, |h, token| h.wrapping_mul(31).wrapping_add(token.0));
    (0..12u32).map(|i| (state.wrapping_mul(2_654_435_761).wrapping_add(i.wrapping_mul(40_503)) % 997) as f32 / 150.0).collect()
}

fn generate(sampler: &mut Sampler, prompt: &[TokenId], n: usize) -> Vec<TokenId> {
    prompt.iter().for_each(|&token| sampler.accept(token));
    let mut text = prompt.to_vec();
    for _ in 0..n {
        let token = sampler.sample(&toy_model(&text)).unwrap().token;
        sampler.accept(token);
        text.push(token);
    }
    text.split_off(prompt.len())
}

/// All that has a state: chance, penalties, DRY, XTC.
fn lively(seed: u64) -> SamplerOptions {
    SamplerOptions { seed: Some(seed), penalty_repeat: 1.2, dry_multiplier: 0.8, xtc_probability: 0.3, ..SamplerOptions::default() }
}

/// Pearson's statistic of draws against the distribution that the sampler itself reports.
fn chi_square(options: SamplerOptions, logits: &[f32], draws: usize) -> (f64, usize) {
    let mut sampler = Sampler::new(options, logits.len()).unwrap();
    let expected = sampler.distribution(logits).unwrap();
    let mut counts: HashMap<TokenId, usize> = HashMap::new();
    for _ in 0..draws {
        *counts.entry(sampler.sample(logits).unwrap().token).or_default() += 1;
    }
    assert!(counts.keys().all(|token| expected.iter().any(|(t, _)| t == token)), "a token was drawn that isn't left");
    let term = |&(token, p): &(TokenId, f32)| {
        let mean = f64::from(p) * draws as f64;
        (counts.get(&token).copied().unwrap_or(0) as f64 - mean).powi(2) / mean
    };
    (expected.iter().map(term).sum(), expected.len() - 1)
}

#[test]
fn tokens_are_drawn_as_often_as_their_probability_says() {
    let logits: Vec<f32> = (0..20).map(|i| (i * 7 % 20) as f32 / 5.0).collect();
    let chains = [
        neutral(),
        SamplerOptions { temp: 0.6, ..neutral() },
        SamplerOptions { top_k: 7, ..neutral() },
        SamplerOptions { top_p: 0.8, ..neutral() },
        SamplerOptions { typ_p: 0.7, ..neutral() },
        SamplerOptions { min_p: 0.2, temp: 1.5, ..neutral() },
        SamplerOptions { xtc_probability: 1.0, xtc_threshold: 0.1, ..neutral() },
        SamplerOptions { seed: Some(3), ..SamplerOptions::default() },
    ];
    for options in chains {
        let (statistic, freedom) = chi_square(options.clone(), &logits, 40_000);
        // Wilson and Hilferty's approximation of the 99.9 % point.
        let f = freedom as f64;
        let limit = f * (1.0 - 2.0 / (9.0 * f) + 3.09 * (2.0 / (9.0 * f)).sqrt()).powi(3);
        assert!(freedom >= 3 && statistic < limit, "{statistic} over {limit} with {freedom} degrees of freedom: {options:?}");
    }
}

#[test]
fn xtc_strikes_as_often_as_asked() {
    let mut sampler = Sampler::new(SamplerOptions { xtc_probability: 0.25, xtc_threshold: 0.3, ..neutral() }, 2).unwrap();
    let struck = (0..10_000).filter(|_| sampler.distribution(&[1.0, 0.9]).unwrap().len() == 1).count();
    assert!((2_350..2_650).contains(&struck), "{struck} of 10000");
}

#[test]
fn mirostat_holds_the_surprise_at_its_target() {
    let mut sampler = Sampler::new(SamplerOptions { mirostat_v2: true, mirostat_tau: 3.0, ..neutral() }, 1_000).unwrap();
    let logits: Vec<f32> = (1..=1_000).map(|rank| -1.1 * (rank as f32).ln()).collect();
    let mut surprise = 0.0;
    for i in 0..4_000 {
        let left: HashMap<TokenId, f32> = sampler.distribution(&logits).unwrap().into_iter().collect();
        let p = left[&sampler.sample(&logits).unwrap().token];
        surprise += if i < 1_000 { 0.0 } else { -f64::from(p).log2() / 3_000.0 };
    }
    assert!((surprise - 3.0).abs() < 0.05, "{surprise} bits");
}

#[test]
fn a_seed_means_the_same_tokens_on_every_machine() {
    // Only ratios of powers of two are involved up to the draw: the tokens follow from SplitMix64's published numbers.
    let logits = [0.0; 16];
    let mut sampler = Sampler::new(SamplerOptions { seed: Some(1_234_567), ..neutral() }, 16).unwrap();
    let tokens: Vec<u32> = (0..5).map(|_| sampler.sample(&logits).unwrap().token.0).collect();
    let published: [u64; 5] = [
        6_457_827_717_110_365_317,
        3_203_168_211_198_807_973,
        9_817_491_932_198_370_423,
        4_593_380_528_125_082_431,
        16_408_922_859_458_223_821,
    ];
    assert_eq!(tokens, published.map(|x| (x >> 60) as u32));
}

#[test]
fn greedy_takes_the_lowest_id_among_equals() {
    assert_eq!(sample_one(greedy(), &[1.0, 3.0, 3.0, 2.0]), Ok(TokenId(1)));
    assert_eq!(sample_one(greedy(), &[-0.0, 0.0]), Ok(TokenId(0)));
    assert_eq!(sample_one(SamplerOptions { temp: -1.0, ..SamplerOptions::default() }, &[1.0, 3.0, 3.0]), Ok(TokenId(1)));
    assert_eq!(sample_one(SamplerOptions { top_k: 1, ..neutral() }, &[1.0, 3.0, 3.0]), Ok(TokenId(1)));
}

#[test]
fn greedy_choice_runs_nothing_that_cannot_change_it() {
    let names = |options| Sampler::new(options, 4).unwrap().chain().map(SamplerKind::name).collect::<Vec<_>>();
    assert_eq!(names(SamplerOptions { temp: 0.0, ..SamplerOptions::default() }), ["temperature"]);
    assert_eq!(names(SamplerOptions { temp: 0.0, penalty_repeat: 1.1, ..SamplerOptions::default() }), ["penalties", "temperature"]);
    // XTC may remove the likeliest token, and what is likeliest then depends on top-k before it.
    let xtc = SamplerOptions { temp: 0.0, xtc_probability: 1.0, ..SamplerOptions::default() };
    assert_eq!(names(xtc), ["top_k", "top_p", "min_p", "xtc", "temperature"]);
    assert_eq!(names(SamplerOptions::default()), ["top_k", "top_p", "min_p", "temperature"]);
    assert_eq!(names(SamplerOptions { mirostat_v2: true, ..SamplerOptions::default() }), ["temperature", "mirostat_v2"]);
}

#[test]
fn a_logit_that_is_no_number_is_a_token_that_cannot_be_chosen() {
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for options in [greedy(), neutral(), SamplerOptions::default(), SamplerOptions { typ_p: 0.5, top_n_sigma: 1.0, ..neutral() }] {
            let one = Sampler::new(options.clone(), 3).unwrap().distribution(&[odd, 0.5, odd]).unwrap();
            assert_eq!(one, [(TokenId(1), 1.0)], "{options:?}");
            assert_eq!(sample_one(options, &[odd; 3]), Err(GenerateError::NoCandidate { n_vocab: 3 }));
        }
    }
}

#[test]
fn extreme_numbers_stay_numbers() {
    let row = [f32::MAX, f32::MIN, 1e30, -1e30, 0.0];
    for temp in [f32::MIN_POSITIVE, 1e-20, 1.0, f32::MAX] {
        let options = SamplerOptions { temp, penalty_repeat: 1e-30, dry_multiplier: f32::MAX, ..neutral() };
        let mut sampler = Sampler::new(options, 5).unwrap();
        [0, 1, 2, 3, 1, 2].into_iter().for_each(|token| sampler.accept(TokenId(token)));
        let left = sampler.distribution(&row).unwrap();
        let total: f32 = left.iter().map(|(_, p)| p).sum();
        assert!((total - 1.0).abs() < 1e-6, "{left:?}");
    }
}

#[test]
fn a_bias_moves_forbids_and_adds_up() {
    let with = |bias: &[(u32, f32)]| {
        let logit_bias = bias.iter().map(|&(token, b)| (TokenId(token), b)).collect();
        sample_one(SamplerOptions { logit_bias, ..greedy() }, &[3.0, 2.0, 1.0])
    };
    assert_eq!(with(&[(2, 2.5)]), Ok(TokenId(2)));
    assert_eq!(with(&[(2, 1.5), (2, 1.0)]), Ok(TokenId(2)));
    assert_eq!(with(&[(0, f32::NEG_INFINITY)]), Ok(TokenId(1)));
    let forbidden = [(0, f32::NEG_INFINITY), (1, f32::NEG_INFINITY), (2, f32::NEG_INFINITY)];
    assert_eq!(with(&forbidden), Err(GenerateError::NoCandidate { n_vocab: 3 }));
    assert_eq!(with(&[(3, 0.0)]), Err(GenerateError::BiasOutsideVocabulary { token: TokenId(3), n_vocab: 3 }));
}

#[test]
fn log_probabilities_are_the_models_own() {
    let options = SamplerOptions { logprobs: Some(2), logit_bias: vec![(TokenId(3), 90.0)], top_k: 1, ..neutral() };
    let logits = [1.0f32, 2.0, 3.0, -4.0];
    let sampled = Sampler::new(options, 4).unwrap().sample(&logits).unwrap();
    let total: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
    let exact = |i: usize| (f64::from(logits[i]) - total.ln()) as f32;
    assert_eq!(sampled.token, TokenId(3));
    assert!((sampled.logprob.unwrap() - exact(3)).abs() < 1e-6);
    assert_eq!(sampled.top.iter().map(|t| t.0).collect::<Vec<_>>(), [TokenId(2), TokenId(1)]);
    assert!(sampled.top.iter().zip([exact(2), exact(1)]).all(|((_, found), exact)| (found - exact).abs() < 1e-6));
}

#[test]
fn parameters_outside_their_range_are_refused_by_name() {
    let refused = |options: SamplerOptions| match Sampler::new(options, 8) {
        Err(GenerateError::Parameter { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    let d = SamplerOptions::default;
    assert_eq!(refused(SamplerOptions { temp: f32::NAN, ..d() }), "temp");
    assert_eq!(refused(SamplerOptions { top_p: 1.01, ..d() }), "top_p");
    assert_eq!(refused(SamplerOptions { top_p: -0.1, ..d() }), "top_p");
    assert_eq!(refused(SamplerOptions { min_p: 2.0, ..d() }), "min_p");
    assert_eq!(refused(SamplerOptions { typ_p: f32::INFINITY, ..d() }), "typ_p");
    assert_eq!(refused(SamplerOptions { top_n_sigma: f32::NAN, ..d() }), "top_n_sigma");
    assert_eq!(refused(SamplerOptions { penalty_repeat: 0.0, ..d() }), "penalty_repeat");
    assert_eq!(refused(SamplerOptions { penalty_freq: f32::NAN, ..d() }), "penalty_freq");
    assert_eq!(refused(SamplerOptions { penalty_present: f32::NAN, ..d() }), "penalty_present");
    assert_eq!(refused(SamplerOptions { dry_base: 0.5, ..d() }), "dry_base");
    assert_eq!(refused(SamplerOptions { dry_multiplier: -1.0, ..d() }), "dry_multiplier");
    assert_eq!(refused(SamplerOptions { xtc_probability: 1.5, ..d() }), "xtc_probability");
    assert_eq!(refused(SamplerOptions { xtc_threshold: -0.5, ..d() }), "xtc_threshold");
    assert_eq!(refused(SamplerOptions { dynatemp_range: -1.0, ..d() }), "dynatemp_range");
    assert_eq!(refused(SamplerOptions { dynatemp_exponent: -1.0, ..d() }), "dynatemp_exponent");
    assert_eq!(refused(SamplerOptions { mirostat_tau: -1.0, ..d() }), "mirostat_tau");
    assert_eq!(refused(SamplerOptions { mirostat_eta: -1.0, ..d() }), "mirostat_eta");
    assert_eq!(refused(SamplerOptions { logit_bias: vec![(TokenId(1), f32::NAN)], ..d() }), "logit_bias");
    let message = Sampler::new(SamplerOptions { top_p: 1.5, ..d() }, 8).unwrap_err().to_string();
    assert_eq!(message, "top_p must be from 0 to 1, found 1.5");
    let mut sampler = Sampler::new(d(), 8).unwrap();
    assert_eq!(sampler.sample(&[0.0; 7]), Err(GenerateError::LogitCount { expected: 8, found: 7 }));
}

#[test]
fn samplers_are_found_under_every_name_that_llama_cpp_takes() {
    for (name, spellings) in [("top_k", "top-k;topk;TOP_K"), ("typ_p", "typ;typ-p;typical"), ("temperature", "temp"), ("top_p", "nucleus")]
    {
        assert!(SamplerKind::parse_list(spellings).unwrap().iter().all(|kind| kind.name() == name), "{spellings}");
    }
    let all = SAMPLERS.map(SamplerKind::name).join(";");
    assert_eq!(all, "penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature");
    assert_eq!(SamplerKind::parse_list(&all).unwrap(), SAMPLERS);
    let message = SamplerKind::parse_list("top_k;tfs").unwrap_err().to_string();
    assert!(message.contains("\"tfs\"") && message.contains("top_n_sigma"), "{message}");
}

#[test]
fn a_clone_goes_on_alike_and_a_reset_begins_again() {
    let mut sampler = Sampler::new(lively(5), 12).unwrap();
    let first = generate(&mut sampler, &[TokenId(1)], 30);
    let mut clone = sampler.clone();
    assert_eq!(generate(&mut sampler, &[], 30), generate(&mut clone, &[], 30));
    sampler.reset();
    assert_eq!(generate(&mut sampler, &[TokenId(1)], 30), first);
    let mut unseeded = Sampler::new(SamplerOptions { seed: None, ..lively(0) }, 12).unwrap();
    let text = generate(&mut unseeded, &[], 30);
    assert_eq!(generate(&mut Sampler::new(lively(unseeded.seed()), 12).unwrap(), &[], 30), text);
}

/// Generates with speculation: guess, check along the guess, keep what was chosen.
fn speculate(sampler: &mut Sampler, prompt: &[TokenId], n: usize) -> (Vec<TokenId>, usize) {
    let mut lookup = PromptLookup::new(LookupOptions { min_ngram: 1, ..LookupOptions::default() }).unwrap();
    let mut text = prompt.to_vec();
    prompt.iter().for_each(|&token| {
        sampler.accept(token);
        lookup.push(token);
    });
    let mut steps = 0;
    while text.len() < prompt.len() + n {
        let left = prompt.len() + n - text.len();
        let draft = lookup.propose(4.min(left - 1));
        let rows: Vec<Vec<f32>> = (0..=draft.len()).map(|i| toy_model(&[&text[..], &draft[..i]].concat())).collect();
        let chosen = verify(sampler, &draft, rows.iter().map(Vec::as_slice), |_| false).unwrap();
        for sampled in chosen {
            lookup.push(sampled.token);
            text.push(sampled.token);
        }
        steps += 1;
    }
    (text.split_off(prompt.len()), steps)
}

#[test]
fn speculation_gives_the_very_tokens_of_plain_sampling() {
    let prompt = [3, 1, 4, 1, 5].map(TokenId);
    for options in [greedy(), neutral(), lively(8), SamplerOptions { mirostat_v2: true, ..lively(9) }] {
        let plain = generate(&mut Sampler::new(options.clone(), 12).unwrap(), &prompt, 200);
        let (speculated, steps) = speculate(&mut Sampler::new(options.clone(), 12).unwrap(), &prompt, 200);
        assert_eq!(speculated, plain, "{options:?}");
        assert!(steps < 200, "no guess was ever right");
    }
}

#[test]
fn a_token_that_ends_the_text_ends_the_check() {
    let rows = [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]];
    let mut sampler = Sampler::new(greedy(), 3).unwrap();
    let mut chosen = |draft: &[u32], end: u32| {
        let draft: Vec<TokenId> = draft.iter().map(|&t| TokenId(t)).collect();
        verify(&mut sampler, &draft, rows.iter().map(|row| &row[..]), |token| token.0 == end).unwrap().len()
    };
    assert_eq!(chosen(&[1, 1], 9), 3, "the whole guess and one token more");
    assert_eq!(chosen(&[1, 2], 9), 2, "the right token in place of the wrong guess");
    assert_eq!(chosen(&[1, 1], 1), 1, "the end");
}

proptest! {
    #[test]
    fn top_k_1_is_greedy(logits in prop::collection::vec(-9f32..9.0, 1..300), seed: u64) {
        let top_1 = SamplerOptions { top_k: 1, seed: Some(seed), ..SamplerOptions::default() };
        prop_assert_eq!(sample_one(top_1, &logits), sample_one(greedy(), &logits));
    }

    #[test]
    fn samplers_at_neutral_values_change_nothing(logits in prop::collection::vec(-9f32..9.0, 1..100)) {
        let weak = SamplerOptions { top_k: logits.len(), top_n_sigma: 1e9, ..neutral() };
        let mut plain = Sampler::new(neutral(), logits.len()).unwrap();
        let mut weakened = Sampler::new(weak, logits.len()).unwrap();
        // The same but for the last bit: a whole row is summed in another order than a list.
        let (plain, weakened) = (plain.distribution(&logits).unwrap(), weakened.distribution(&logits).unwrap());
        prop_assert_eq!(plain.len(), weakened.len());
        for ((a, p), (b, q)) in plain.iter().zip(&weakened) {
            prop_assert!(a == b && (p - q).abs() < 1e-6);
        }
    }

    #[test]
    fn the_distribution_does_not_depend_on_how_the_vocabulary_is_ordered(
        pairs in prop::collection::vec(any::<u32>(), 2..60), top_k in 1usize..60, top_p in 0.1f32..1.0, typ_p in 0.1f32..1.0,
    ) {
        // Different logits at least 1/64 apart; each token goes to the place that a random key gives it.
        let logits: Vec<f32> = (0..pairs.len()).map(|i| i as f32 / 64.0).collect();
        let mut places: Vec<usize> = (0..pairs.len()).collect();
        places.sort_by_key(|&i| (pairs[i], i));
        let moved: Vec<f32> = places.iter().map(|&i| logits[i]).collect();

        let options = SamplerOptions { top_k, top_p, typ_p, min_p: 0.05, ..neutral() };
        let plain = Sampler::new(options.clone(), logits.len()).unwrap().distribution(&logits).unwrap();
        let permuted = Sampler::new(options, logits.len()).unwrap().distribution(&moved).unwrap();
        let mut back: Vec<(usize, f32)> = permuted.iter().map(|&(token, p)| (places[token.index()], p)).collect();
        back.sort_by_key(|&(token, _)| token);
        prop_assert_eq!(back.len(), plain.len());
        for ((a, p), (b, q)) in back.iter().zip(&plain) {
            prop_assert!(*a == b.index() && (p - q).abs() < 1e-6);
        }
    }

    #[test]
    fn adding_a_constant_to_all_logits_changes_nothing(logits in prop::collection::vec(-4i16..4, 1..100), shift in -64i16..64) {
        let row = |shift: i16| logits.iter().map(|&l| f32::from(l + shift)).collect::<Vec<f32>>();
        let options = SamplerOptions { typ_p: 0.9, top_n_sigma: 2.0, temp: 0.5, ..SamplerOptions::default() };
        let mut sampler = Sampler::new(options, logits.len()).unwrap();
        prop_assert_eq!(sampler.distribution(&row(0)), sampler.distribution(&row(shift)));
    }

    #[test]
    fn every_row_and_every_order_of_samplers_leaves_a_distribution(
        logits in prop::collection::vec(any::<f32>(), 1..80),
        order in prop::collection::vec(0usize..9, 0..12),
        numbers in prop::collection::vec(0f32..1.0, 8),
        mirostat_v2: bool, seed: u64,
    ) {
        let options = SamplerOptions {
            samplers: order.into_iter().map(|i| SAMPLERS[i]).collect(),
            penalty_repeat: 0.5 + numbers[0], penalty_freq: numbers[1], dry_multiplier: numbers[2], top_n_sigma: 3.0 * numbers[3],
            top_k: (numbers[4] * 90.0) as usize, typ_p: numbers[5], top_p: numbers[6], min_p: numbers[7],
            min_keep: (numbers[0] * 5.0) as usize,
            xtc_probability: numbers[1], xtc_threshold: numbers[2], temp: 2.0 * numbers[3] - 0.5, dynatemp_range: numbers[4],
            mirostat_v2, seed: Some(seed), ..SamplerOptions::default()
        };
        let mut sampler = Sampler::new(options, logits.len()).unwrap();
        for i in 0..logits.len().min(10) {
            sampler.accept(TokenId(i as u32 % 3));
        }
        let possible = logits.iter().any(|x| x.is_finite());
        match sampler.distribution(&logits) {
            Ok(left) => {
                let total: f32 = left.iter().map(|(_, p)| p).sum();
                prop_assert!(possible && (total - 1.0).abs() < 1e-4, "{:?}", left);
                let token = sampler.sample(&logits).map(|sampled| sampled.token.index());
                prop_assert!(token.is_ok_and(|token| logits[token].is_finite()));
            }
            Err(error) => {
                prop_assert_eq!(error, GenerateError::NoCandidate { n_vocab: logits.len() });
                prop_assert!(!possible);
            }
        }
    }
}
