//! Encoders against transformers: the tiny models of `tests/fixtures/models` that have hidden states beside them (made by
//! `tests/reference/make_encoders.py`), from safetensors and from GGUF, at several lengths up to 300; and what is made of hidden states.

#[path = "support/reference.rs"]
mod reference;

use kinglet::{EmbedOptions, Model, ModelOptions, Pooling, SessionOptions, TokenId};
use reference::Words;
use std::path::{Path, PathBuf};

/// What transformers computes in float64.
struct Expected {
    tokens: Vec<TokenId>,
    /// The text's length and a position in it, and the hidden state there.
    rows: Vec<(usize, usize, Vec<f32>)>,
}

impl Expected {
    fn read(path: &Path) -> Expected {
        let words = Words::read(path);
        let numbers: Vec<usize> = words.counts("rows");
        let hidden: Vec<f32> = words.floats("hidden");
        let width = hidden.len() / (numbers.len() / 2);
        Expected {
            tokens: words.tokens("tokens"),
            rows: numbers.chunks_exact(2).zip(hidden.chunks_exact(width)).map(|(row, x)| (row[0], row[1], x.to_vec())).collect(),
        }
    }

    /// The texts: beginnings of the tokens.
    fn texts(&self) -> Vec<Vec<TokenId>> {
        let mut lengths: Vec<usize> = self.rows.iter().map(|row| row.0).collect();
        lengths.dedup();
        lengths.into_iter().map(|length| self.tokens[..length].to_vec()).collect()
    }

    /// The largest difference to `states`, one for each text; `f32::max` would pass over a NaN.
    fn difference(&self, states: &[Vec<f32>]) -> f32 {
        let texts = self.texts();
        let of = |(length, position, expected): &(usize, usize, Vec<f32>)| {
            let text = texts.iter().position(|text| text.len() == *length).unwrap();
            let found = &states[text][position * expected.len()..][..expected.len()];
            expected.iter().zip(found).map(|(a, b)| (a - b).abs()).collect::<Vec<_>>()
        };
        self.rows.iter().flat_map(of).fold(0.0, |worst, next| if next > worst || next.is_nan() { next } else { worst })
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name)
}

/// All models that have expected hidden states, by name.
fn models() -> Vec<(String, PathBuf, Expected)> {
    let mut models = Vec::new();
    for entry in std::fs::read_dir(fixture("")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let expected = fixture(path.file_stem().unwrap().to_str().unwrap()).join("hidden.safetensors");
        if expected.is_file() {
            models.push((name, path, Expected::read(&expected)));
        }
    }
    models.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(models.len() >= 14, "{} models", models.len());
    models
}

fn open(path: &Path, reference: bool) -> Model {
    let options = ModelOptions { threads: Some(1), reference, ..ModelOptions::default() };
    Model::open_with(path, &options).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn each_encoder_computes_what_transformers_computes() {
    let mut wrong = Vec::new();
    for (name, path, expected) in models() {
        for reference in [true, false] {
            let model = open(&path, reference);
            // Each text by itself: a pass holds one.
            let states: Vec<_> = expected.texts().into_iter().flat_map(|text| model.hidden_states(&[text]).unwrap()).collect();
            let worst = expected.difference(&states);
            println!("{name:24} {} {worst:.1e}", if reference { "reference" } else { "fast     " });
            if worst.is_nan() || worst > 1e-3 {
                wrong.push(format!("{name}: {worst:.1e}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_texts_vector_is_the_same_beside_others_and_on_more_threads() {
    for (name, path, expected) in models() {
        let (one, three) = (open(&path, false), Model::open_with(&path, &ModelOptions { threads: Some(3), ..Default::default() }).unwrap());
        let texts = expected.texts();
        let alone: Vec<_> = texts.iter().flat_map(|text| one.hidden_states(std::slice::from_ref(text)).unwrap()).collect();
        assert!(one.hidden_states(&texts).unwrap() == alone && three.hidden_states(&texts).unwrap() == alone, "{name}");
    }
}

#[test]
fn tokens_see_what_comes_after_them() {
    for (name, path, expected) in models() {
        let model = open(&path, true);
        let (text, width) = (expected.tokens[..20].to_vec(), model.spec().d_model);
        let mut other = text.clone();
        other[19] = TokenId(if text[19].0 == 5 { 6 } else { 5 });
        let states = model.hidden_states(&[text, other]).unwrap();
        assert_ne!(states[0][..width], states[1][..width], "{name}");
    }
}

#[test]
fn hidden_states_are_pooled_and_scaled_to_length_one() {
    let model = open(&fixture("bert"), true);
    let width = model.spec().d_model;
    let text: Vec<TokenId> = (1..8).map(TokenId).collect();
    let states = model.hidden_states(std::slice::from_ref(&text)).unwrap().remove(0);
    let of = |pooling, normalise| {
        model.embed(std::slice::from_ref(&text), &EmbedOptions { pooling: Some(pooling), normalise }).unwrap().remove(0)
    };
    assert_eq!(of(Pooling::Cls, false), states[..width]);
    assert_eq!(of(Pooling::Last, false), states[6 * width..]);
    let mean = of(Pooling::Mean, false);
    for (i, x) in mean.iter().enumerate() {
        let expected = states.iter().skip(i).step_by(width).sum::<f32>() / 7.0;
        assert!((x - expected).abs() < 1e-6);
    }
    let unit = of(Pooling::Mean, true);
    assert!((unit.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-6);
    assert!((unit[0] / mean[0] - unit[1] / mean[1]).abs() < 1e-5);
}

#[test]
fn a_decoders_hidden_states_are_those_of_a_session() {
    let model = open(&fixture("tiny.gguf"), false);
    let text: Vec<TokenId> = (0..700).map(|i| TokenId(3 + i % 300)).collect();
    let mut session = model.session(SessionOptions::default()).unwrap();
    let rows = session.outputs_of(&text, None, kinglet::forward::Output::Hidden).unwrap();
    let short = text[..30].to_vec();
    let states = model.hidden_states(&[short.clone(), text, short]).unwrap();
    assert!(states[1] == rows);
    assert!(states[0] == rows[..30 * model.spec().d_model] && states[2] == states[0]);
    assert_eq!(model.pooling().unwrap(), Pooling::Last);
}

#[test]
fn what_an_encoder_cannot_do_is_refused_with_what_it_can() {
    let model = open(&fixture("bert-masked"), false);
    let error = model.session(SessionOptions::default()).unwrap_err().to_string();
    assert!(error.contains("bert is an encoder") && error.contains("kinglet embed"), "{error}");
    let error = model.hidden_states(&[vec![TokenId(1)], vec![TokenId(1); 301]]).unwrap_err().to_string();
    assert!(error.contains("text 2 has 301 tokens") && error.contains("300"), "{error}");
    assert!(model.hidden_states(&[Vec::new()]).is_err());
    assert!(model.hidden_states(&[vec![TokenId(40)]]).unwrap_err().to_string().contains("40"));
    assert_eq!((model.pooling().unwrap(), model.longest_text()), (Pooling::Mean, 300));
}
