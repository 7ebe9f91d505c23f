//! `kinglet bench` beyond what llama-bench has: steps, whole answers, models made for the test. No test asserts on time.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::path::Path;

/// `kinglet bench` with short tests on the tiny model.
fn bench(flags: &[&str]) -> Command {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/tiny.gguf");
    let mut bench = Command::cargo_bin("kinglet").unwrap();
    bench.env("KINGLET_OFFLINE", "1").env("KINGLET_MODELS", "/nonexistent").args(["bench", "-r", "2", "-t", "2", "-m"]).arg(tiny);
    bench.args(flags);
    bench
}

fn json(command: &mut Command) -> Value {
    let out = command.args(["-o", "json"]).assert().success().get_output().stdout.clone();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn a_profile_tells_where_a_pass_spends_its_time() {
    let steps = contains("2 threads, pp6").and(contains("2 threads, tg3")).and(contains("| gate, up ")).and(contains("| attention "));
    bench(&["-p", "6", "-n", "3", "--profile"]).assert().success().stdout(steps);
    bench(&["-p", "6", "-n", "3"]).assert().success().stdout(contains("gate, up").not());
}

#[test]
fn a_profile_counts_passes_and_multiplications() {
    let records = json(&mut bench(&["-p", "0", "-n", "3", "--profile"]));
    let profile = &records[0]["profile"];
    assert_eq!(profile["passes"], 6, "two repeats of three tokens");
    let steps = profile["steps"].as_array().unwrap();
    let of = |name: &str| steps.iter().find(|step| step["step"] == name).unwrap();
    let macs: u64 = steps[..steps.len() - 1].iter().map(|step| step["integer_macs"].as_u64().unwrap()).sum();
    assert!(macs > 0 && of("attention")["float_macs"].as_u64() > Some(0));
    assert_eq!(of("all")["integer_macs"], macs);
    assert_eq!(json(&mut bench(&["-p", "0", "-n", "3"]))[0]["profile"], Value::Null);
}
