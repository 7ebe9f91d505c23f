//! The streaming cache from outside. In a model of one layer a token's key and value depend on the token alone, so that a stream that has
//! outgrown its context must answer as a fresh session that was given the kept tokens: StreamingLLM's positions, by another way.

#[path = "support/texts.rs"]
mod texts;

use kinglet::error::SessionError;
use kinglet::kv::{CacheFormat, CacheType, Policy};
use kinglet::{Error, GenerateOptions, Model, ModelOptions, Session, SessionOptions, TokenId};
use std::path::{Path, PathBuf};
use texts::{bits, tokens};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name)
}

/// The first layer of a Hugging Face fixture, exact in its arithmetic and its cache, with a position scheme of ours where one is given.
fn one_layer(name: &str, scheme: Option<&str>) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let config = std::fs::read_to_string(fixture(name).join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["num_hidden_layers"] = 1.into();
    if let Some(types) = config.get_mut("layer_types").and_then(|types| types.as_array_mut()) {
        types.truncate(1);
    }
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    std::fs::copy(fixture(name).join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let position = scheme.map(|scheme| scheme.parse().unwrap());
    let cache = Some(CacheFormat::of(CacheType::F32));
    Model::open_with(folder.path(), &ModelOptions { threads: Some(2), cache, position, ..ModelOptions::default() }).unwrap()
}

fn open(name: &str, cache: Option<CacheFormat>) -> Model {
    Model::open_with(fixture(name), &ModelOptions { threads: Some(2), cache, ..ModelOptions::default() }).unwrap()
}

fn session(model: &Model, context: usize, policy: Policy) -> Session {
    model.session(SessionOptions { context: Some(context), policy: Some(policy) }).unwrap()
}

/// The logits after `kept`, in a session of its own.
fn fresh(model: &Model, kept: &[TokenId]) -> Vec<f32> {
    let mut session = session(model, 4096, Policy::Stop);
    session.feed(kept).unwrap();
    session.logits().unwrap().to_vec()
}

fn assert_close(got: &[f32], want: &[f32], within: f32, what: &str) {
    let spread = want.iter().fold(0f32, |most, x| most.max(x.abs()));
    assert!(spread > 0.1, "{what}: the logits say nothing");
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(worst < within * spread, "{what}: {worst} off, of {spread}");
}

#[test]
fn before_its_bound_a_ring_is_a_plain_cache_bit_for_bit() {
    for name in ["tiny.gguf", "llama-quantised.gguf", "gemma3.gguf", "mixtral.gguf", "phi3-longrope.gguf"] {
        let model = open(name, None);
        let prompt = tokens(&model, 200, 1);
        let mut plain = session(&model, 200, Policy::Stop);
        plain.feed(&prompt).unwrap();
        for policy in [Policy::Ring { sinks: 4 }, Policy::Ring { sinks: 0 }, Policy::Window] {
            let mut ring = session(&model, 200, policy);
            ring.feed(&prompt[..150]).unwrap();
            ring.pin(20..90).unwrap();
            prompt[150..].iter().for_each(|&token| ring.feed(&[token]).unwrap());
            assert_eq!(bits(&mut ring), bits(&mut plain), "{name}, {policy:?}");
            assert_eq!(ring.forgotten(), 0);
        }
    }
}

#[test]
fn past_its_bound_a_ring_is_a_session_of_the_kept_tokens() {
    let schemes = [None, Some("alibi"), Some("rope+alibi:scale=0.5"), Some("rope:yarn=4"), Some("none")];
    for (name, scheme) in ["llama", "qwen3", "phi3", "granite"].into_iter().flat_map(|name| schemes.map(|scheme| (name, scheme))) {
        let model = one_layer(name, scheme);
        let stream = tokens(&model, 1000, 2);
        for (sinks, bound, n) in [(4, 64, 65), (4, 64, 700), (0, 50, 333), (7, 200, 1000), (1, 2, 40)] {
            let mut ring = session(&model, bound, Policy::Ring { sinks });
            ring.feed(&stream[..n]).unwrap();
            let kept = [&stream[..sinks], &stream[n - (bound - sinks)..n]].concat();
            assert_eq!(ring.forgotten(), n - bound);
            let what = format!("{name} {scheme:?}, {sinks} sinks of {bound}, {n} tokens");
            assert_close(ring.logits().unwrap(), &fresh(&model, &kept), 2e-5, &what);
        }
    }
}

#[test]
fn pinned_tokens_stay_and_stand_inside_the_cache() {
    for scheme in [None, Some("alibi")] {
        let model = one_layer("llama", scheme);
        let stream = tokens(&model, 900, 3);
        let mut ring = session(&model, 100, Policy::Ring { sinks: 4 });
        ring.feed(&stream[..90]).unwrap();
        ring.pin(30..50).unwrap();
        ring.pin(60..65).unwrap();
        for n in [110, 123, 124, 125, 500, 900] {
            let len = ring.len();
            ring.feed(&stream[len..n]).unwrap();
            // The oldest that are not pinned have left.
            let anchored = |i: &usize| *i < 4 || (30..50).contains(i) || (60..65).contains(i);
            let mut kept: Vec<usize> = (0..n).filter(anchored).collect();
            let newest: Vec<usize> = (0..n).rev().filter(|i| !anchored(i)).take(100 - kept.len()).collect();
            kept.extend(newest);
            kept.sort_unstable();
            let kept: Vec<TokenId> = kept.into_iter().map(|i| stream[i]).collect();
            assert_close(ring.logits().unwrap(), &fresh(&model, &kept), 2e-5, &format!("{scheme:?}, {n} tokens"));
        }
        let error = ring.pin(300..310).unwrap_err();
        assert!(matches!(error, Error::Session(SessionError::NotHeld { .. })), "{error}");
    }
}

#[test]
fn a_stream_gives_the_same_bits_however_it_is_fed() {
    for name in ["tiny.gguf", "llama-quantised.gguf", "gemma3.gguf", "mixtral.gguf"] {
        let model = open(name, None);
        let stream = tokens(&model, 700, 4);
        let feed = |batch: usize| {
            let mut ring = session(&model, 100, Policy::Ring { sinks: 3 });
            stream.chunks(batch).for_each(|batch| ring.feed(batch).unwrap());
            ring
        };
        let mut whole = feed(700);
        for batch in [1, 7, 64, 129, 300] {
            assert_eq!(bits(&mut feed(batch)), bits(&mut whole), "{name}, {batch} at a time");
        }
        let mut fork = whole.fork();
        let more = tokens(&model, 250, 5);
        fork.feed(&more).unwrap();
        whole.feed(&more).unwrap();
        assert_eq!(bits(&mut fork), bits(&mut whole), "{name}, forked");
    }
}

#[test]
fn a_stream_takes_no_more_memory_than_was_told() {
    let model = open("tiny.gguf", None);
    let mut ring = session(&model, 300, Policy::Ring { sinks: 4 });
    let stream = tokens(&model, 600, 6);
    for round in 0..20 {
        ring.feed(&stream).unwrap();
        assert!(ring.cache_bytes() <= ring.cache_bound_bytes(), "{round}");
        assert!(ring.tokens().len() <= 2 * 300 + 600);
    }
    assert_eq!((ring.len(), ring.forgotten()), (12_000, 11_700));
}

#[test]
fn a_conversation_that_outgrows_its_context_is_still_recognised() {
    let model = open("tiny.gguf", None);
    let mut ring = session(&model, 100, Policy::Ring { sinks: 4 });
    let text = tokens(&model, 1000, 7);
    ring.replace(&text[..900], None, |_| ()).unwrap();
    assert_eq!(ring.replace(&text, None, |_| ()).unwrap(), 900);
    // Another text, and one that goes back to what has left, begin anew.
    let back = [&text[..500], &text[..20]].concat();
    assert_eq!(ring.replace(&back, None, |_| ()).unwrap(), 0);
    let mut anew = session(&model, 100, Policy::Ring { sinks: 4 });
    anew.feed(&back).unwrap();
    assert_eq!(bits(&mut ring), bits(&mut anew));
    assert!(ring.truncate(200).is_err());
    assert_eq!(ring.len(), 520);
}

#[test]
fn generation_goes_on_past_the_bound_and_ends_where_it_is_told() {
    let model = open("tiny.gguf", None);
    let mut ring = session(&model, 40, Policy::Ring { sinks: 4 });
    ring.feed(&tokens(&model, 10, 8)).unwrap();
    let options = GenerateOptions { ignore_eos: true, ..GenerateOptions::greedy(200) };
    assert_eq!(ring.generate(options).unwrap().count(), 201);
    assert_eq!(ring.len(), 210);
}

#[test]
fn sinks_and_pins_must_leave_room() {
    let model = open("tiny.gguf", None);
    let options = SessionOptions { context: Some(8), policy: Some(Policy::Ring { sinks: 8 }) };
    let error = model.session(options).unwrap_err().to_string();
    assert!(error.contains("8 sinks") && error.contains("8 tokens"), "{error}");
    let mut ring = session(&model, 20, Policy::Ring { sinks: 4 });
    ring.feed(&tokens(&model, 20, 9)).unwrap();
    let error = ring.pin(0..20).unwrap_err().to_string();
    assert!(error.contains("20 pinned tokens"), "{error}");
}

#[test]
fn quantised_caches_are_near_what_they_round() {
    let model = open("llama", None);
    let prompt = tokens(&model, 300, 10);
    let after = |format: CacheFormat| {
        let model = open("llama", Some(format));
        let mut session = session(&model, 300, Policy::Stop);
        session.feed(&prompt).unwrap();
        session.logits().unwrap().to_vec()
    };
    let exact = after(CacheFormat::of(CacheType::F32));
    assert_close(&after(CacheFormat::of(CacheType::F16)), &exact, 2e-3, "f16");
    let error = |keys, values, hadamard| {
        let got = after(CacheFormat { keys, values, hadamard });
        let square = |x: f32| x * x;
        let rms = |x: &[f32]| (x.iter().map(|&x| square(x)).sum::<f32>() / x.len() as f32).sqrt();
        rms(&got.iter().zip(&exact).map(|(a, b)| a - b).collect::<Vec<_>>()) / rms(&exact)
    };
    let (f16, q8, q4) = (CacheType::F16, CacheType::Q8_0, CacheType::Q4_0);
    for hadamard in [true, false] {
        assert!(error(q8, q8, hadamard) < 0.05, "{}", error(q8, q8, hadamard));
        assert!(error(q8, f16, hadamard) < 0.05);
        assert!(error(f16, q8, hadamard) < 0.05);
        assert!(error(q4, q4, hadamard) > error(q8, q8, hadamard));
    }
    assert!(error(q4, q4, true) < error(q4, q4, false), "{} {}", error(q4, q4, true), error(q4, q4, false));
}
