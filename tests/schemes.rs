//! Schemes and masks that are put in the place of a model's own (`--position`), against transformers with the same mask, or with the
//! attention of the paper that a scheme comes from (`tests/reference/make_schemes.py`).

#[path = "support/reference.rs"]
mod reference;

use kinglet::forward::Output;
use kinglet::kv::{CacheFormat, CacheType, Policy};
use kinglet::{Model, ModelOptions, Session, SessionOptions, TokenId};
use reference::Words;
use std::path::{Path, PathBuf};

const SCHEMES: [&str; 5] = [
    "file+window:size=23",
    "file+chunked:size=37",
    "file+prefix:size=150",
    "rope:self-extend=5,window=33",
    "rope:self-extend=2,window=200",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name)
}

fn expected() -> Words {
    Words::read(&fixture("llama").join("schemes.safetensors"))
}

fn open(name: &str, scheme: &str, format: CacheType, reference: bool) -> Model {
    let (cache, position) = (Some(CacheFormat::of(format)), Some(scheme.parse().unwrap()));
    Model::open_with(fixture(name), &ModelOptions { threads: Some(2), cache, position, reference, ..ModelOptions::default() }).unwrap()
}

fn session(model: &Model, context: usize, policy: Policy) -> Session {
    model.session(SessionOptions { context: Some(context), policy: Some(policy) }).unwrap()
}

fn logits(model: &Model, tokens: &[TokenId]) -> Vec<f32> {
    session(model, tokens.len(), Policy::Stop).outputs_of(tokens, None, Output::Logits).unwrap()
}

/// The largest difference at the positions that the reference has; NaN where there is one.
fn worst(scheme: &str, n_vocab: usize, row: impl Fn(usize) -> Vec<f32>) -> f32 {
    let expected = expected();
    let rows = expected
        .counts("positions")
        .into_iter()
        .zip(expected.floats(scheme).chunks_exact(n_vocab).map(<[f32]>::to_vec).collect::<Vec<_>>());
    let differences = rows.flat_map(|(position, want)| row(position).into_iter().zip(want).map(|(got, want)| (got - want).abs()));
    differences.fold(0.0, |worst, next| if next > worst || next.is_nan() { next } else { worst })
}

#[test]
fn schemes_compute_what_their_papers_say() {
    let tokens = expected().tokens("tokens");
    for scheme in SCHEMES {
        for (file, reference) in [("llama", true), ("llama", false), ("llama.gguf", false)] {
            let model = open(file, scheme, CacheType::F32, reference);
            let (logits, n_vocab) = (logits(&model, &tokens), model.spec().n_vocab);
            let worst = worst(scheme, n_vocab, |position| logits[position * n_vocab..][..n_vocab].to_vec());
            assert!(worst < 1e-3, "{scheme} of {file}, reference {reference}: {worst:e}");
        }
    }
}

#[test]
fn token_by_token_gives_the_bits_of_one_batch() {
    let tokens = expected().tokens("tokens");
    for scheme in SCHEMES {
        for format in [CacheType::F16, CacheType::Q8_0] {
            let model = open("llama", scheme, format, false);
            let (all, n_vocab) = (logits(&model, &tokens), model.spec().n_vocab);
            let mut session = session(&model, tokens.len(), Policy::Stop);
            let first = model.spec().prefix().max(1);
            session.feed(&tokens[..first]).unwrap();
            for (position, token) in tokens.iter().enumerate().skip(first) {
                session.feed(&[*token]).unwrap();
                let all = &all[position * n_vocab..][..n_vocab];
                assert!(session.logits().unwrap() == all, "{scheme} with {format:?} at {position}");
            }
        }
    }
}

/// Groups are counted from the beginning of the text, so that a scheme whose groups are never reached is the file's own.
#[test]
fn a_window_that_is_never_left_groups_nothing() {
    let tokens = expected().tokens("tokens");
    let of = |scheme| logits(&open("llama", scheme, CacheType::F32, false), &tokens);
    assert_eq!(of("rope:self-extend=8,window=300"), of("file"));
    assert_eq!(of("rope:self-extend=1"), of("file"));
    assert_eq!(of("file+window:size=300"), of("file"));
    assert_ne!(of("rope:self-extend=8,window=299"), of("file"));
}

/// A stream that has dropped tokens meets its sinks as if nothing had been between. In a model of one layer, what a key was made of
/// does not depend on what came before it, so that the tokens that are left give the same logits by themselves, where groups begin at
/// the same places (whole groups have left).
#[test]
fn a_stream_with_groups_stands_as_if_nothing_else_had_been() {
    let tokens = expected().tokens("tokens");
    let model = open("llama-biases", "rope:self-extend=4,window=20", CacheType::F32, false);
    assert_eq!(model.spec().layers.len(), 1);
    let mut stream = session(&model, 100, Policy::Ring { sinks: 4 });
    tokens.iter().for_each(|token| stream.feed(&[*token]).unwrap());
    assert_eq!(stream.forgotten(), 200);
    let kept: Vec<TokenId> = tokens[..4].iter().chain(&tokens[204..]).copied().collect();
    let alone = logits(&model, &kept);
    let last = &alone[alone.len() - model.spec().n_vocab..];
    let worst = stream.logits().unwrap().iter().zip(last).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-4, "{worst:e}");
}

#[test]
fn tokens_that_see_each_other_must_come_together() {
    let tokens = expected().tokens("tokens");
    let model = open("llama", "file+prefix:size=150", CacheType::F16, false);
    let mut session = session(&model, 300, Policy::Stop);
    let error = session.feed(&tokens[..149]).unwrap_err().to_string();
    assert!(error.contains("first 150 tokens") && error.contains("found 149"), "{error}");
    session.feed(&tokens[..200]).unwrap();
    // What is left of them would have seen what goes: all is computed again.
    let logits = session.logits().unwrap().to_vec();
    assert_eq!(session.replace(&tokens[..180], None, |_| ()).unwrap(), 179);
    assert_eq!(session.replace(&[&tokens[..149], &tokens[..51]].concat(), None, |_| ()).unwrap(), 0);
    assert_eq!(session.replace(&tokens[..200], None, |_| ()).unwrap(), 0);
    assert_eq!(session.logits().unwrap(), logits);
    let error = model.session(SessionOptions { context: Some(100), policy: None }).unwrap_err().to_string();
    assert!(error.contains("150 tokens that see each other in a context of 100"), "{error}");
}

/// Transformer-XL's vectors of distances are as many as the context is long, which may be asked for without measure.
#[test]
fn a_context_that_no_memory_holds_the_distances_of_is_refused() {
    let model = Model::open(fixture("xlnet-causal")).unwrap();
    for context in [1 << 44, usize::MAX >> 3] {
        let error = model.session(SessionOptions { context: Some(context), policy: None }).unwrap_err().to_string();
        assert!(error.contains("vectors of distances"), "{error}");
    }
    assert!(model.session(SessionOptions { context: Some(100_000), policy: None }).is_ok());
}

#[test]
fn a_model_with_an_encoder_takes_no_other_sight() {
    for (model, scheme) in [("bert", "file+window:size=8"), ("t5", "file+prefix:size=8"), ("nomicbert", "rope:self-extend=2")] {
        let options = ModelOptions { position: Some(scheme.parse().unwrap()), ..ModelOptions::default() };
        let error = Model::open_with(fixture(model), &options).unwrap_err().to_string();
        assert!(error.contains(scheme) && error.contains("encoder"), "{error}");
    }
}
