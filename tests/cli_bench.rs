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
    bench.env("KINGLET_OFFLINE", "1").env("KINGLET_MODELS", "/dev/null/none").args(["bench", "-r", "2", "-t", "2", "-m"]).arg(tiny);
    bench.args(flags);
    bench
}

fn json(command: &mut Command) -> Value {
    let out = command.args(["-o", "json"]).assert().success().get_output().stdout.clone();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn a_profile_tells_where_a_pass_spends_its_time() {
    let steps =
        contains("2 threads, pp6").and(contains("2 threads, tg3")).and(contains("| gate, up, activation ")).and(contains("| attention "));
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

#[test]
fn text_in_and_text_out_is_measured_too() {
    let records = json(&mut bench(&["-p", "20", "-n", "5", "--pg", "8,4", "--end-to-end"]));
    let records = records.as_array().unwrap();
    assert_eq!(records.len(), 3);
    assert!(records.iter().all(|record| record["end_to_end"] == true && record["median_ts"].as_f64() > Some(0.0)));
    assert!(records[0]["n_prompt"].as_u64() >= Some(20), "a text has at least as many tokens as were asked for");
    assert_eq!((&records[1]["n_prompt"], &records[1]["n_gen"]), (&0.into(), &5.into()));
    bench(&["-p", "20", "-n", "0", "--end-to-end"]).assert().success().stdout(contains(" text |"));
}

#[test]
fn every_type_can_be_measured_on_a_model_made_for_it() {
    let synthetic = |flags: &[&str]| {
        let mut bench = Command::cargo_bin("kinglet").unwrap();
        bench.env("KINGLET_OFFLINE", "1").args(["bench", "-r", "1", "-t", "1", "-p", "8", "-n", "2", "--synthetic"]).args(flags);
        bench
    };
    let records = json(&mut synthetic(&["1x256", "--type", "Q4_K,Q8_0,F16"]));
    let types: Vec<&str> = records.as_array().unwrap().iter().map(|record| record["model_type"].as_str().unwrap()).collect();
    assert_eq!(types.len(), 6);
    for (at, name) in [(0, "Q4_K"), (2, "Q8_0"), (5, "F16")] {
        assert!(types[at].contains(name), "{types:?}");
    }
    synthetic(&["1x100"]).assert().code(2).stderr(contains("multiple of 256"));
    synthetic(&["1x256", "--type", "Q9_9"]).assert().code(2).stderr(contains("Q4_K"));
    synthetic(&["1x256", "-m", "x.gguf"]).assert().code(2);
}

#[test]
fn a_spread_is_reported_and_a_mask_recorded() {
    let records = json(&mut bench(&["-p", "4", "-n", "0", "--cpu-mask", "0"]));
    assert_eq!(records[0]["cpu_mask"], "0x1");
    assert!(records[0]["spread"].as_f64() >= Some(0.0));
}
