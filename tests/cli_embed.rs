//! `kinglet embed` on the tiny BERT that has a tokenizer, from a Hugging Face folder and from GGUF.

use assert_cmd::Command;
use kinglet::{EmbedOptions, Model, Pooling, TokenId};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name)
}

fn kinglet(command: &str, model: &str, args: &[&str]) -> Command {
    let mut kinglet = Command::cargo_bin("kinglet").unwrap();
    kinglet.env("KINGLET_OFFLINE", "1").env("KINGLET_MODELS", "/dev/null/none").arg(command).arg("-m").arg(fixture(model)).args(args);
    kinglet
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().stderr("").get_output().stdout.clone()).unwrap()
}

fn numbers(line: &str) -> Vec<f32> {
    line.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

/// `[CLS] a small king ##let [SEP]`, as `tests/reference/make_encoders.py` numbers them.
const KINGLET: [u32; 6] = [2, 5, 8, 10, 11, 3];

#[test]
fn a_text_is_framed_pooled_as_its_files_say_and_scaled() {
    let tokens = vec![KINGLET.map(TokenId).to_vec()];
    for model in ["bert", "bert.gguf"] {
        let opened = Model::open(fixture(model)).unwrap();
        assert_eq!(opened.whole_text("A small kinglet", None).unwrap(), tokens[0], "{model}");
        // GGUF's file was converted from the folder, with its pooling.
        let expected = opened.embed(&tokens, &EmbedOptions { pooling: Some(Pooling::Cls), normalise: true }).unwrap();
        assert_eq!(numbers(&stdout(&mut kinglet("embed", model, &["A small kinglet"]))), expected[0], "{model}");
        let mean = opened.embed(&tokens, &EmbedOptions { pooling: Some(Pooling::Mean), normalise: false }).unwrap();
        let args = ["--pooling", "mean", "--no-normalise", "A small kinglet"];
        assert_eq!(numbers(&stdout(&mut kinglet("embed", model, &args))), mean[0], "{model}");
    }
}

#[test]
fn texts_are_arguments_or_the_lines_of_a_file_or_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("texts");
    std::fs::write(&file, "a bird\nthe king\n").unwrap();
    let from_arguments = stdout(&mut kinglet("embed", "bert", &["a bird", "the king"]));
    assert_eq!(from_arguments.lines().count(), 2);
    assert_eq!(stdout(&mut kinglet("embed", "bert", &["-f", file.to_str().unwrap()])), from_arguments);
    assert_eq!(stdout(kinglet("embed", "bert", &[]).write_stdin("a bird\r\nthe king")), from_arguments);
    kinglet("embed", "bert", &[]).write_stdin("").assert().code(1).stderr(contains("no text"));
    kinglet("embed", "bert", &["-f", file.to_str().unwrap(), "a bird"]).assert().code(2);
}

#[test]
fn json_says_how_the_vectors_were_made() {
    let args = ["--json", "--similarity", "a bird", "the king", "a bird"];
    let json: Value = serde_json::from_str(&stdout(&mut kinglet("embed", "bert.gguf", &args))).unwrap();
    assert_eq!((&json["model"], &json["pooling"], &json["normalised"]), (&"bert".into(), &"cls".into(), &true.into()));
    assert_eq!((&json["data"][1]["index"], &json["data"][1]["tokens"]), (&1.into(), &4.into()));
    assert_eq!(json["data"][0]["embedding"].as_array().unwrap().len(), 16);
    let cosine = |i: usize, j: usize| json["similarity"][i][j].as_f64().unwrap();
    assert!((cosine(0, 2) - 1.0).abs() < 1e-6 && (cosine(1, 1) - 1.0).abs() < 1e-6 && cosine(0, 1) < 0.999);
    let matrix = stdout(&mut kinglet("embed", "bert.gguf", &["--similarity", "a bird", "the king"]));
    assert_eq!(matrix.lines().map(|line| numbers(line).len()).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn a_text_beyond_the_models_positions_is_refused_with_both_numbers_or_cut() {
    let long = "bird ".repeat(400);
    let refused = kinglet("embed", "bert", &["a", &long]).assert().code(1).stdout("");
    refused.stderr(contains("text 2 has 402 tokens, the model takes 304").and(contains("--truncate")));
    let cut = stdout(&mut kinglet("embed", "bert", &["--truncate", &long]));
    assert_eq!(cut, stdout(&mut kinglet("embed", "bert", &["bird ".repeat(302).trim()])));
}

#[test]
fn an_encoder_continues_no_text_and_a_decoder_can_be_pooled() {
    let encoder = || contains("bert is an encoder").and(contains("kinglet embed"));
    kinglet("run", "bert", &["a bird"]).assert().code(1).stdout("").stderr(encoder());
    kinglet("chat", "bert", &[]).assert().code(1).stdout("").stderr(encoder());
    kinglet("logits", "bert", &["--tokens", "1,2", "-o", "/dev/null/none/x"]).assert().code(1).stderr(encoder());
    assert_eq!(numbers(&stdout(&mut kinglet("embed", "tiny.gguf", &["The kinglet is a tiny bird."]))).len(), 64);
}

#[test]
fn hidden_states_of_given_tokens_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hidden.safetensors");
    let args = ["--tokens", "2,5,8,10,11,3", "--hidden", "--last", "2", "-o", file.to_str().unwrap()];
    stdout(&mut kinglet("logits", "bert", &args));
    let bytes = std::fs::read(file).unwrap();
    let states = Model::open(fixture("bert")).unwrap().hidden_states(&[KINGLET.map(TokenId).to_vec()]).unwrap();
    let found: Vec<f32> = bytes[bytes.len() - 2 * 16 * 4..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(found, states[0][4 * 16..]);
}
