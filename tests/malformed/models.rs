//! Damaged models, used: what opens in spite of its damage is given a text, computes it, and says what comes next. The families' recipes,
//! the tokenizer, the chat template and every kernel meet numbers that no converter writes.

use crate::inputs;
use crate::mutations::{cases, damaged_bytes};
use crate::support::Scratch;
use proptest::prelude::*;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models")
}

fn damaged(model: &str) -> impl Strategy<Value = Vec<u8>> {
    damaged_bytes(std::fs::read(models().join(model)).expect("the fixture is committed"))
}

/// A number, text or list that no configuration should have.
fn wrong() -> impl Strategy<Value = Value> {
    let ints = prop_oneof![-3i64..70, any::<i64>(), Just(i64::MAX), Just(i64::MIN), Just(1 << 32)];
    let floats = prop_oneof![-2.0..2.0, Just(1e300), Just(1e-300), Just(-0.0)];
    let plain = prop_oneof![
        4 => ints.prop_map(Value::from),
        2 => floats.prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => "(?s).{0,40}".prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    prop_oneof![6 => plain.clone(), 1 => prop::collection::vec(plain, 0..9).prop_map(Value::from)]
}

/// A family's folder, and its `config.json` with up to three values that are wrong or missing, at any depth.
fn misconfigured() -> impl Strategy<Value = (PathBuf, Vec<u8>)> {
    let folders = std::fs::read_dir(models()).expect("the fixtures are committed").map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = folders.filter(|path| path.join("config.json").exists()).collect();
    folders.sort();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), prop::option::weighted(0.8, wrong())), 1..4);
    (prop::sample::select(folders), changes).prop_map(|(folder, changes)| {
        let text = std::fs::read(folder.join("config.json")).unwrap();
        let mut config: Value = serde_json::from_slice(&text).unwrap();
        for (place, value) in changes {
            let mut paths = Vec::new();
            places(&config, String::new(), &mut paths);
            let path = place.get(&paths);
            match (value, path.rsplit_once('/').expect("it begins with a slash")) {
                (Some(value), _) => *config.pointer_mut(path).unwrap() = value,
                (None, (parent, key)) => {
                    config.pointer_mut(parent).and_then(Value::as_object_mut).and_then(|object| object.remove(key));
                }
            }
        }
        (folder, config.to_string().into_bytes())
    })
}

/// The JSON pointers of all values below `value`.
fn places(value: &Value, path: String, out: &mut Vec<String>) {
    let mut go = |key: &str, value| {
        let path = format!("{path}/{key}");
        out.push(path.clone());
        places(value, path, out);
    };
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| go(key, value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, value)| go(&i.to_string(), value)),
        _ => {}
    }
}

thread_local! {
    static SCRATCH: Scratch = Scratch::new();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(400), failure_persistence: None, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_llama_is_an_error_or_answers(bytes in damaged("tiny.gguf")) {
        SCRATCH.with(|scratch| inputs::model(&scratch.write("model.gguf", &bytes), bytes.len()));
    }

    #[test]
    fn a_damaged_mixture_is_an_error_or_answers(bytes in damaged("mixtral.gguf")) {
        SCRATCH.with(|scratch| inputs::model(&scratch.write("model.gguf", &bytes), bytes.len()));
    }

    #[test]
    fn a_damaged_gemma_is_an_error_or_answers(bytes in damaged("gemma3.gguf")) {
        SCRATCH.with(|scratch| inputs::model(&scratch.write("model.gguf", &bytes), bytes.len()));
    }

    #[test]
    fn a_wrong_configuration_is_an_error_or_answers((folder, config) in misconfigured()) {
        SCRATCH.with(|scratch| {
            let mut size = config.len();
            let path = scratch.write("config.json", &config);
            for part in ["model.safetensors", "tokenizer.json"] {
                if let Ok(bytes) = std::fs::read(folder.join(part)) {
                    scratch.write(part, &bytes);
                    size += bytes.len();
                } else {
                    let _ = std::fs::remove_file(scratch.path(part));
                }
            }
            inputs::model(path.parent().unwrap(), size);
        });
    }
}
