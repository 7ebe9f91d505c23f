//! Models with an encoder and a decoder against transformers: the tiny T5s of `tests/fixtures/models` (made by
//! `tests/reference/make_t5.py`), from safetensors and from GGUF, over 300 positions after texts of 7, 64 and 257 tokens.

#[path = "support/reference.rs"]
mod reference;

use kinglet::forward::Output;
use kinglet::kv::{CacheFormat, CacheType, Policy};
use kinglet::text::Special;
use kinglet::{GenerateOptions, Model, ModelOptions, Session, SessionOptions, TokenId, feed_together};
use reference::Words;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// What the encoder reads, and the logits of the decoder's positions then.
struct Case {
    text: Vec<TokenId>,
    logits: Vec<f32>,
}

/// What transformers computes in float64.
struct Expected {
    tokens: Vec<TokenId>,
    positions: Vec<usize>,
    cases: Vec<Case>,
}

impl Expected {
    fn read(path: &Path) -> Expected {
        let words = Words::read(path);
        let case = |n: usize| Case { text: words.tokens(&format!("text.{n}")), logits: words.floats(&format!("logits.{n}")) };
        Expected { tokens: words.tokens("tokens"), positions: words.counts("positions"), cases: [7, 64, 257].map(case).into() }
    }

    /// Position, and the logits of the token after it.
    fn rows<'a>(&'a self, case: &'a Case) -> impl Iterator<Item = (usize, &'a [f32])> {
        self.positions.iter().copied().zip(case.logits.chunks_exact(case.logits.len() / self.positions.len()))
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name)
}

/// All models, by name.
fn models() -> Vec<(&'static str, PathBuf, Expected)> {
    let names = ["t5", "t5.gguf", "t5-gated", "t5-gated.gguf", "t5-far", "t5-mt5", "t5-umt5", "t5-umt5.gguf"];
    let expected = |name: &str| Expected::read(&fixture(name.trim_end_matches(".gguf")).join("decoded.safetensors"));
    names.into_iter().map(|name| (name, fixture(name), expected(name))).collect()
}

fn open(path: &Path, options: ModelOptions) -> Model {
    Model::open_with(path, &options).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn reference(path: &Path) -> Model {
    open(path, ModelOptions { threads: Some(1), reference: true, ..ModelOptions::default() })
}

fn session(model: &Model, text: &[TokenId]) -> Session {
    let mut session = model.session(SessionOptions { context: Some(512), ..SessionOptions::default() }).unwrap();
    session.encode(text).unwrap();
    assert_eq!((session.encoded(), session.len()), (text.len(), 0));
    session
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    // `f32::max` would pass over a NaN.
    differences.fold(0.0, |worst, next| if next > worst || next.is_nan() { next } else { worst })
}

/// The largest difference over all positions of all texts, the decoder's tokens in one batch.
fn worst(model: &Model, expected: &Expected) -> f32 {
    let n_vocab = model.spec().n_vocab;
    let of = |case: &Case| {
        let logits = session(model, &case.text).outputs_of(&expected.tokens, None, Output::Logits).unwrap();
        let differences = expected.rows(case).map(|(position, row)| difference(&logits[position * n_vocab..][..n_vocab], row));
        differences.fold(0.0, |worst, next| if next > worst || next.is_nan() { next } else { worst })
    };
    expected.cases.iter().map(of).fold(0.0, |worst, next| if next > worst || next.is_nan() { next } else { worst })
}

#[test]
fn each_model_computes_what_transformers_computes() {
    for (name, path, expected) in models() {
        let worst = worst(&reference(&path), &expected);
        println!("{name:16} {worst:.1e}");
        assert!(worst < 1e-3, "{name}: {worst:.1e}");
    }
}

#[test]
fn the_fast_kernels_compute_what_transformers_computes() {
    for (name, path, expected) in models() {
        let options = ModelOptions { threads: Some(1), cache: Some(CacheFormat::of(CacheType::F32)), ..ModelOptions::default() };
        let worst = worst(&open(&path, options), &expected);
        println!("{name:16} {worst:.1e}");
        assert!(worst < 1e-3, "{name}: {worst:.1e}");
    }
}

#[test]
fn token_by_token_gives_what_one_batch_gives_to_the_bit() {
    for (name, path, expected) in models() {
        let model = open(&path, ModelOptions { threads: Some(2), ..ModelOptions::default() });
        let case = &expected.cases[1];
        let n_vocab = model.spec().n_vocab;
        let rows = session(&model, &case.text).outputs_of(&expected.tokens, None, Output::Logits).unwrap();
        let mut one_by_one = session(&model, &case.text);
        for (position, &token) in expected.tokens.iter().enumerate() {
            one_by_one.feed(&[token]).unwrap();
            assert!(one_by_one.logits().unwrap() == &rows[position * n_vocab..][..n_vocab], "{name} at {position}");
        }
    }
}

#[test]
fn three_threads_give_the_bits_of_one() {
    for (name, path, expected) in models() {
        let of = |threads| {
            let model = open(&path, ModelOptions { threads: Some(threads), ..ModelOptions::default() });
            session(&model, &expected.cases[2].text).outputs_of(&expected.tokens[..40], None, Output::Logits).unwrap()
        };
        assert!(of(1) == of(3), "{name}");
    }
}

/// What was read is stored as the decoder's own tokens are.
#[test]
fn a_quantised_cache_stays_near() {
    for (name, path, expected) in models() {
        let (n_vocab, case) = (reference(&path).spec().n_vocab, &expected.cases[1]);
        let spread = (case.logits.iter().map(|logit| logit * logit).sum::<f32>() / case.logits.len() as f32).sqrt();
        let format = CacheFormat::of(CacheType::Q8_0);
        let model = open(&path, ModelOptions { threads: Some(1), cache: Some(format), ..ModelOptions::default() });
        let logits = session(&model, &case.text).outputs_of(&expected.tokens, None, Output::Logits).unwrap();
        let rows = expected.rows(case).map(|(position, row)| difference(&logits[position * n_vocab..][..n_vocab], row) / spread);
        let worst = rows.fold(0.0, |worst, next| if next > worst || next.is_nan() { next } else { worst });
        println!("{name:16} {worst:.1e}");
        assert!(worst < 0.3, "{name}: {worst:.1e} of the spread");
    }
}

#[test]
fn reading_can_be_cancelled_and_leaves_all_as_it_was() {
    let model = reference(&fixture("t5"));
    let expected = Expected::read(&fixture("t5/decoded.safetensors"));
    let mut session = session(&model, &expected.cases[0].text);
    session.feed(&expected.tokens[..5]).unwrap();
    let before = session.logits().unwrap().to_vec();
    assert!(!session.encode_until(&expected.cases[1].text, Some(&AtomicBool::new(true))).unwrap());
    assert_eq!((session.encoded(), session.len()), (7, 5));
    assert!(session.logits().unwrap() == before);
}

/// Each keeps to the text that it has read itself.
#[test]
fn sequences_with_texts_of_their_own_go_in_one_batch() {
    for (name, path, expected) in models() {
        let model = reference(&path);
        let [short, _, long] = &expected.cases[..] else { panic!() };
        let (mut one, mut two) = (session(&model, &short.text), session(&model, &long.text));
        let mut start = 0;
        for ((position, of_short), (_, of_long)) in expected.rows(short).zip(expected.rows(long)) {
            let tokens = &expected.tokens[start..=position];
            feed_together(&mut [(&mut one, tokens), (&mut two, tokens)]).unwrap();
            assert!(difference(one.logits().unwrap(), of_short) < 1e-3, "{name} at {position}");
            assert!(difference(two.logits().unwrap(), of_long) < 1e-3, "{name} at {position}");
            start = position + 1;
        }
    }
}

#[test]
fn a_fork_and_a_shorter_text_keep_what_was_read() {
    let model = reference(&fixture("t5"));
    let expected = Expected::read(&fixture("t5/decoded.safetensors"));
    let case = &expected.cases[0];
    let mut whole = session(&model, &case.text);
    whole.feed(&expected.tokens[..100]).unwrap();
    let mut fork = whole.fork();
    fork.truncate(20).unwrap();
    fork.feed(&expected.tokens[20..100]).unwrap();
    assert!(whole.logits().unwrap() == fork.logits().unwrap());
    fork.clear();
    assert_eq!(fork.encoded(), 7);
    fork.feed(&expected.tokens[..100]).unwrap();
    assert!(whole.logits().unwrap() == fork.logits().unwrap());
    fork.encode(&expected.cases[1].text).unwrap();
    fork.feed(&expected.tokens[..100]).unwrap();
    assert!(whole.logits().unwrap() != fork.logits().unwrap());
}

/// A ring lets go of the decoder's tokens and of nothing that the encoder read.
#[test]
fn a_full_context_goes_on_with_the_text_that_was_read() {
    let model = reference(&fixture("t5"));
    let expected = Expected::read(&fixture("t5/decoded.safetensors"));
    let case = &expected.cases[2];
    let ring = || {
        let options = SessionOptions { context: Some(40), policy: Some(Policy::Ring { sinks: 4 }) };
        let mut session = model.session(options).unwrap();
        session.encode(&case.text).unwrap();
        session
    };
    let mut before = ring();
    before.feed(&expected.tokens[..21]).unwrap();
    let (_, row) = expected.rows(case).nth(1).unwrap();
    assert!(difference(before.logits().unwrap(), row) < 1e-3);
    let (mut batch, mut single) = (ring(), ring());
    batch.feed(&expected.tokens).unwrap();
    expected.tokens.iter().for_each(|&token| single.feed(&[token]).unwrap());
    assert_eq!((batch.forgotten(), batch.encoded()), (260, 257));
    assert!(batch.logits().unwrap() == single.logits().unwrap());
}

#[test]
fn generation_begins_with_the_decoders_first_token() {
    let model = reference(&fixture("t5-far"));
    let expected = Expected::read(&fixture("t5-far/decoded.safetensors"));
    let mut session = session(&model, &expected.cases[0].text);
    let events = session.generate(GenerateOptions::greedy(5)).unwrap().count();
    assert_eq!((session.tokens()[0], session.len(), events), (TokenId(3), 6, 6));
    let mut by_hand = self::session(&model, &expected.cases[0].text);
    for pair in session.tokens().windows(2) {
        by_hand.feed(&pair[..1]).unwrap();
        let logits = by_hand.logits().unwrap();
        let likeliest = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        assert_eq!(TokenId(likeliest as u32), pair[1]);
    }
}

#[test]
fn a_saved_session_goes_on_with_what_the_encoder_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t5.session");
    let (model, other) = (reference(&fixture("t5")), reference(&fixture("t5-far")));
    for (read, written) in [(1, 0), (1, 1), (130, 5), (257, 140)] {
        let tokens = |n: u32| (0..n).map(|i| TokenId(i % 31)).collect::<Vec<_>>();
        let mut session = session(&model, &tokens(read));
        if written > 0 {
            session.feed(&tokens(written)).unwrap();
        }
        session.save(&path).unwrap();
        let mut restored = model.restore(&path).unwrap();
        assert_eq!((restored.encoded(), restored.len()), (read as usize, written as usize));
        for session in [&mut session, &mut restored] {
            session.feed(&[TokenId(2), TokenId(7)]).unwrap();
        }
        assert_eq!(restored.logits().unwrap(), session.logits().unwrap(), "{read} tokens read, {written} written");
        assert!(other.restore(&path).is_err());
    }
    // A description that says it has read more than there is.
    let bytes = std::fs::read(&path).unwrap();
    let place = bytes.windows(12).position(|text| text == b"\"across\":257").unwrap();
    for wrong in ["256", "0  ", "nul", "999"] {
        let mut bytes = bytes.clone();
        bytes[place + 9..place + 12].copy_from_slice(wrong.as_bytes());
        std::fs::write(&path, bytes).unwrap();
        assert!(model.restore(&path).is_err(), "{wrong}");
    }
}

#[test]
fn what_can_not_be_is_refused() {
    let model = reference(&fixture("t5"));
    let mut session = model.session(SessionOptions::default()).unwrap();
    let said = |error: kinglet::Error| error.to_string();
    assert!(said(session.feed(&[TokenId(1)]).unwrap_err()).contains("nothing it has read yet"));
    assert!(session.is_empty());
    assert!(session.generate(GenerateOptions::greedy(1)).is_err());
    assert!(session.encode(&[]).is_err() && session.encode(&[TokenId(32)]).is_err());
    let decoder = reference(&fixture("llama"));
    let error = decoder.session(SessionOptions::default()).unwrap().encode(&[TokenId(1)]).unwrap_err();
    assert!(said(error).contains("llama has no encoder"));
}

/// From a prompt to a text: transformers' `generate`, from a folder with tokenizer.json and from GGUF with the converter's vocabulary.
#[test]
fn a_prompt_is_answered_as_transformers_answers_it() {
    let answers = std::fs::read(fixture("t5-text/answers.json")).unwrap();
    let answers: serde_json::Value = serde_json::from_slice(&answers).unwrap();
    for name in ["t5-text", "t5-text.gguf"] {
        let model = reference(&fixture(name));
        let mut session = model.session(SessionOptions::default()).unwrap();
        for case in answers.as_array().unwrap() {
            let prompt = case["prompt"].as_str().unwrap();
            let ids = |key: &str| case[key].as_array().unwrap().iter().map(|id| TokenId(id.as_u64().unwrap() as u32)).collect::<Vec<_>>();
            assert_eq!(session.encoder_tokens(prompt, Special::Plain).unwrap(), ids("tokens"), "{name}: {prompt}");
            session.encode_text(prompt).unwrap();
            let text = session.complete(GenerateOptions::greedy(12)).unwrap();
            let mut answer = ids("answer");
            answer.truncate(answer.iter().position(|&token| token == TokenId(1)).unwrap_or(answer.len()));
            assert_eq!(session.tokens(), answer, "{name}: {prompt}");
            assert_eq!(text, case["text"].as_str().unwrap(), "{name}: {prompt}");
        }
    }
}

#[test]
fn the_program_reads_a_prompt_and_writes_an_answer() {
    let kinglet = |args: &[&str]| {
        let mut command = assert_cmd::Command::cargo_bin("kinglet").unwrap();
        command.env("KINGLET_OFFLINE", "1").args(args).arg("-m").arg(fixture("t5-text.gguf"));
        command.assert()
    };
    let answers: serde_json::Value = serde_json::from_slice(&std::fs::read(fixture("t5-text/answers.json")).unwrap()).unwrap();
    let (prompt, text) = (answers[0]["prompt"].as_str().unwrap(), answers[0]["text"].as_str().unwrap());
    let run = kinglet(&["run", "--reference", "--temp", "0", "-n", "12", prompt]).success();
    assert_eq!(String::from_utf8_lossy(&run.get_output().stdout), format!("{text}\n"));
    for (args, said) in [
        (&["run", "--system", "Be brief.", prompt][..], "--system"),
        (&["chat"], "holds no conversation"),
        (&["logits", "--tokens", "5,1", "-o", "/dev/null/none/x"], "--decoder-tokens"),
        (&["perplexity", "-f", concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"), "-c", "16"], "encoder"),
        (&["bench"], "encoder"),
    ] {
        let failed = kinglet(args).failure();
        let error = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
        assert!(error.contains(said), "{args:?}: {error}");
    }
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("logits.safetensors");
    kinglet(&["logits", "--tokens", "5,9,1", "--decoder-tokens", "0,7", "-o", path.to_str().unwrap()]).success();
    assert!(path.metadata().unwrap().len() > 2 * 90 * 4);
}
