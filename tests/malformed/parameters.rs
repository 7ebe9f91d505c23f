//! What a person types or a program passes: sampling parameters of any numbers over logits of any numbers, and the little languages of
//! flags. Each is an error of one line or works; no parameter makes a sampler panic.

use crate::inputs::{self, line, sample};
use crate::mutations::cases;
use kinglet::TokenId;
use kinglet::generate::{LookupOptions, PromptLookup, SamplerKind, SamplerOptions};
use kinglet::position::Scheme;
use proptest::prelude::*;

/// The numbers at which something changes.
const EDGES: [f32; 11] = [0.0, -0.0, 1.0, -1.0, 0.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-45];

/// Any bit pattern, a common number, or an edge.
fn number() -> impl Strategy<Value = f32> {
    prop_oneof![
        2 => any::<u32>().prop_map(f32::from_bits),
        3 => -2.0f32..3.0,
        3 => prop::sample::select(&EDGES[..]),
    ]
}

fn count() -> impl Strategy<Value = usize> {
    prop_oneof![0usize..4, any::<usize>(), Just(usize::MAX)]
}

fn options() -> impl Strategy<Value = SamplerOptions> {
    let names: Vec<&'static str> = kinglet::generate::SAMPLERS.iter().map(|kind| kind.name()).collect();
    let order = prop::collection::vec(prop::sample::select(names), 0..8).prop_map(|names| SamplerKind::parse_list(&names.join(";")));
    let bias = prop::collection::vec((0u32..12, number()), 0..4);
    let (numbers, counts) = (prop::collection::vec(number(), 16), prop::collection::vec(count(), 6));
    (order, bias, numbers, counts, any::<bool>()).prop_map(|(order, bias, x, n, mirostat_v2)| SamplerOptions {
        seed: Some(7),
        samplers: order.unwrap_or_default(),
        logprobs: Some(n[0]),
        min_keep: n[1],
        logit_bias: bias.into_iter().map(|(token, bias)| (TokenId(token), bias)).collect(),
        penalty_last_n: n[2],
        penalty_repeat: x[0],
        penalty_freq: x[1],
        penalty_present: x[2],
        dry_multiplier: x[3],
        dry_base: x[4],
        dry_allowed_length: n[3],
        dry_penalty_last_n: n[4],
        top_n_sigma: x[5],
        top_k: n[5],
        typ_p: x[6],
        top_p: x[7],
        min_p: x[8],
        xtc_probability: x[9],
        xtc_threshold: x[10],
        temp: x[11],
        dynatemp_range: x[12],
        dynatemp_exponent: x[13],
        mirostat_v2,
        mirostat_tau: x[14],
        mirostat_eta: x[15],
        ..SamplerOptions::default()
    })
}

/// What people type, and what they mistype: pieces of the languages of flags between any characters.
fn typed() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "rope",
        "alibi",
        "file",
        "none",
        "window",
        "prefix",
        "chunked",
        ":",
        "+",
        "=",
        ",",
        ";",
        "yarn",
        "orig",
        "size",
        "self-extend",
        "base",
        "1e308",
        "-1",
        "0",
        "18446744073709551616",
        "NaN",
        "inf",
        "0x",
        "ff",
        "-",
        "4",
        "M",
        "G",
        "top_k",
        "temperature",
        "é",
        "\u{0}",
        " ",
        "\n",
    ];
    let piece = prop_oneof![4 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(2_000),
        failure_persistence: None,
        max_shrink_iters: 500,
        ..ProptestConfig::default()
    })]

    #[test]
    fn parameters_of_any_numbers_are_an_error_or_give_a_token(options in options(), logits in prop::collection::vec(number(), 1..12)) {
        let _ = sample(options, &logits).map_err(line);
    }

    #[test]
    fn what_is_typed_is_an_error_or_something(text in typed()) {
        inputs::typed(text.as_bytes());
    }

    #[test]
    fn a_lookup_of_any_sizes_is_an_error_or_proposes(
        sizes in prop::collection::vec(count(), 4),
        tokens in prop::collection::vec(0u32..3, 0..50),
    ) {
        let options = LookupOptions { min_ngram: sizes[0], max_ngram: sizes[1], ..LookupOptions::default() };
        if let Ok(mut lookup) = PromptLookup::new(options).map_err(line) {
            tokens.iter().for_each(|&token| lookup.push(TokenId(token)));
            let proposed = lookup.propose(sizes[2].min(100));
            assert!(proposed.len() <= 100);
        }
    }
}

/// Found by fuzzing: a message repeated the whole scheme twice, each control character as six.
#[test]
fn a_long_position_scheme_is_an_error_of_one_line() {
    for text in ["\u{1b}", "+:\u{1b}", "rope:\u{1b}", "rope:yarn=4,\u{1b}=", "rope:self-extend=4\n"] {
        let _ = text.repeat(500).parse::<Scheme>().map_err(line);
        let _ = format!("{text}:{}", "\u{1b}".repeat(500)).parse::<Scheme>().map_err(line);
    }
}
