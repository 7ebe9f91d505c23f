//! Each family against transformers: the tiny models of `tests/fixtures/models` (made by `tests/reference/make.py`), from safetensors
//! and from GGUF, over 300 positions; in one batch, token by token, and beside another sequence.

#[path = "support/reference.rs"]
mod reference;

use kinglet::forward::Output;
use kinglet::kv::{CacheFormat, CacheType, Policy};
use kinglet::{Model, ModelOptions, Session, SessionOptions, TokenId, feed_together};
use reference::Words;
use std::path::{Path, PathBuf};

/// What transformers computes in float64.
struct Expected {
    tokens: Vec<TokenId>,
    positions: Vec<usize>,
    /// `[positions, n_vocab]`.
    logits: Vec<f32>,
}

impl Expected {
    fn read(path: &Path) -> Expected {
        let words = Words::read(path);
        Expected { tokens: words.tokens("tokens"), positions: words.counts("positions"), logits: words.floats("logits") }
    }

    /// Position, and the logits of the token after it.
    fn rows(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.positions.iter().copied().zip(self.logits.chunks_exact(self.logits.len() / self.positions.len()))
    }

    /// Standard deviation of all logits.
    fn spread(&self) -> f32 {
        let mean = self.logits.iter().sum::<f32>() / self.logits.len() as f32;
        (self.logits.iter().map(|logit| (logit - mean).powi(2)).sum::<f32>() / self.logits.len() as f32).sqrt()
    }
}

/// All models that have expected logits, by name.
fn models() -> Vec<(String, PathBuf, Expected)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    let mut models = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let places = [folder.join(stem).join("expected.safetensors"), folder.join(format!("{stem}.expected.safetensors"))];
        let is_model = path.is_dir() || name.ends_with(".gguf");
        if let Some(expected) = places.iter().find(|place| is_model && place.is_file()) {
            models.push((name, path, Expected::read(expected)));
        }
    }
    models.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(models.len() > 30, "{} models", models.len());
    models
}

fn open(path: &Path, reference: bool) -> Model {
    let options = ModelOptions { threads: Some(1), reference, ..ModelOptions::default() };
    Model::open_with(path, &options).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// As long as the sequence: transformers stretches dynamic rotations to the length it is given.
fn session(model: &Model, expected: &Expected) -> Session {
    model.session(SessionOptions { context: Some(expected.tokens.len()), ..SessionOptions::default() }).unwrap()
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    worst(a.iter().zip(b).map(|(a, b)| (a - b).abs()))
}

/// The largest; `f32::max` would pass over a NaN.
fn worst(differences: impl Iterator<Item = f32>) -> f32 {
    differences.fold(0.0, |worst, next| if next > worst || next.is_nan() { next } else { worst })
}

/// The largest difference over all positions, of one batch.
fn difference_in_one_batch(model: &Model, expected: &Expected) -> f32 {
    let logits = session(model, expected).outputs_of(&expected.tokens, None, Output::Logits).unwrap();
    let n_vocab = model.spec().n_vocab;
    let row = |position: usize| &logits[position * n_vocab..][..n_vocab];
    worst(expected.rows().map(|(position, logits)| difference(row(position), logits)))
}

#[test]
fn each_family_computes_what_transformers_computes() {
    let mut wrong = Vec::new();
    for (name, path, expected) in models() {
        let worst = difference_in_one_batch(&open(&path, true), &expected);
        println!("{name:24} {worst:.1e} of {:.2}", expected.spread());
        if worst.is_nan() || worst > 1e-3 {
            wrong.push(format!("{name}: {worst:.1e}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn token_by_token_gives_what_one_batch_gives() {
    for (name, path, expected) in models() {
        let model = open(&path, true);
        let mut session = session(&model, &expected);
        let mut rows = expected.rows().peekable();
        for (position, &token) in expected.tokens.iter().enumerate() {
            session.feed(&[token]).unwrap();
            if let Some((_, logits)) = rows.next_if(|(at, _)| *at == position) {
                let difference = difference(session.logits().unwrap(), logits);
                assert!(difference < 1e-3, "{name} at {position}: {difference}");
            }
        }
        assert!(rows.next().is_none());
    }
}

#[test]
fn two_sequences_in_one_batch_keep_apart() {
    for (name, path, expected) in models() {
        let model = open(&path, true);
        let (mut session, mut other) = (session(&model, &expected), session(&model, &expected));
        let backwards: Vec<TokenId> = expected.tokens.iter().rev().copied().collect();
        let mut start = 0;
        for (index, (position, logits)) in expected.rows().enumerate() {
            // The other sequence comes first or second, with pieces of another length.
            let (mine, its) = (&expected.tokens[start..=position], &backwards[index * 7..][..7]);
            if index % 2 == 0 {
                feed_together(&mut [(&mut session, mine), (&mut other, its)]).unwrap();
            } else {
                feed_together(&mut [(&mut other, its), (&mut session, mine)]).unwrap();
            }
            let difference = difference(session.logits().unwrap(), logits);
            assert!(difference < 1e-3, "{name} at {position}: {difference}");
            start = position + 1;
        }
    }
}

/// Rows that are taken from several places of a tensor are cut among threads like others.
#[test]
fn three_threads_give_the_bits_of_one() {
    for (name, path, expected) in models() {
        let of = |threads| {
            let model = Model::open_with(&path, &ModelOptions { threads: Some(threads), ..ModelOptions::default() }).unwrap();
            session(&model, &expected).outputs_of(&expected.tokens[..40], None, Output::Logits).unwrap()
        };
        assert!(of(1) == of(3), "{name}");
    }
}

/// A table of learned positions ends, and so do sessions; sinusoids go on.
#[test]
fn a_context_beyond_the_learned_positions_is_refused() {
    let model = |name| open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name), true);
    let session = |model: &Model, context| model.session(SessionOptions { context, ..SessionOptions::default() });
    for name in ["gpt2", "gpt2.gguf", "opt"] {
        let model = model(name);
        let error = session(&model, Some(305)).unwrap_err().to_string();
        assert!(error.contains("305 tokens") && error.contains("304 positions"), "{error}");
        let mut session = session(&model, None).unwrap();
        assert_eq!((session.context(), session.policy()), (304, Policy::Stop));
        session.feed(&[TokenId(1); 304]).unwrap();
        session.logits().unwrap();
        assert!(session.feed(&[TokenId(1)]).is_err(), "{name}");
    }
    assert!(session(&model("xglm"), Some(5000)).is_ok());
}

/// 16-bit weights and activations in f32 lose nothing, so with a cache in f32 the kernels of each level are held to the same bound as the
/// reference. Quantised weights meet activations of 8 bits: rows of 32 here, where each rounding shows.
#[test]
fn the_fast_kernels_compute_what_transformers_computes() {
    let mut wrong = Vec::new();
    for (name, path, expected) in models() {
        let options = ModelOptions { threads: Some(1), cache: Some(CacheFormat::of(CacheType::F32)), ..ModelOptions::default() };
        let worst = difference_in_one_batch(&Model::open_with(&path, &options).unwrap(), &expected);
        println!("{name:24} {worst:.1e} of {:.2}", expected.spread());
        let bound = if name == "llama-quantised.gguf" { 0.3 * expected.spread() } else { 1e-3 };
        if worst.is_nan() || worst > bound {
            wrong.push(format!("{name}: {worst:.1e}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A cache in f16 rounds keys and values by up to 2⁻¹¹ of their size; these models' weights are scaled up so that positions matter,
/// which passes such a rounding on many times larger than a trained model does.
#[test]
fn a_cache_of_half_precision_stays_near() {
    for (name, path, expected) in models().into_iter().filter(|(name, ..)| name != "llama-quantised.gguf") {
        let share = difference_in_one_batch(&open(&path, false), &expected) / expected.spread();
        println!("{name:24} {share:.1e} of the spread");
        assert!(share < 0.05, "{name}: {share:.1e} of the spread");
    }
}
