//! The position lab on the tiny model that is committed: every measurement prints a table and writes its files, and what can't be measured
//! is refused with what could be. (That the numbers are right is tested beside the functions that make them.)

use assert_cmd::Command;
use assert_cmd::cargo::CommandCargoExt;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/tiny.gguf")
}

/// A measurement on the tiny model, with the network forbidden.
fn lab(measurement: &str) -> Command {
    let mut lab = Command::cargo_bin("kinglet").unwrap();
    lab.env("KINGLET_OFFLINE", "1").env("KINGLET_MODELS", "/dev/null/none").args(["lab", measurement, "-m"]).arg(tiny());
    lab
}

fn text() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md")).unwrap()
}

/// Files of one measurement.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    /// Runs `lab`, which has to succeed and to write all four kinds of files. Returns what it printed, and the JSON.
    fn of(lab: &mut Command) -> (Files, String, Value) {
        let files = Files { folder: tempfile::tempdir().unwrap() };
        for (flag, name) in [("--json", "a.json"), ("--csv", "a.csv"), ("--plot", "a.svg"), ("--plot", "a.png")] {
            lab.arg(flag).arg(files.path(name));
        }
        let printed = String::from_utf8(lab.assert().success().get_output().stdout.clone()).unwrap();
        let json: Value = serde_json::from_str(&files.read("a.json")).unwrap();
        files.check(&json);
        (files, printed, json)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// JSON and CSV hold the same rows; the figures are figures.
    fn check(&self, json: &Value) {
        assert_eq!(json["model"], "tiny.gguf");
        assert_eq!(json["complete"], true);
        let rows = json["rows"].as_array().unwrap();
        let csv = self.read("a.csv");
        let header: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
        let names: Vec<&str> = rows[0].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(header, names);
        assert!(csv.lines().count() > rows.len());
        let svg = self.read("a.svg");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("tiny.gguf"));
        let png = std::fs::read(self.path("a.png")).unwrap();
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.len() > 5_000);
    }
}

#[test]
fn perplexity_compares_schemes_position_by_position() {
    let flags = ["--length", "64", "--pieces", "2", "--bins", "4", "--schemes", "file;rope:yarn=4;alibi", "--scheme", "none"];
    let (files, printed, json) = Files::of(lab("perplexity").args(flags).write_stdin(text()));
    for part in ["file", "rope:yarn=4", "alibi", "none", "0-15", "48-63", "all"] {
        assert!(printed.contains(part), "{part}\n{printed}");
    }
    let rows = json["rows"].as_array().unwrap();
    assert_eq!((rows.len(), json["pieces"].as_u64()), (16, Some(2)));
    // The first token of a piece is never predicted.
    let tokens: u64 = rows.iter().map(|row| row["tokens"].as_u64().unwrap()).sum();
    assert_eq!(tokens, 4 * 2 * 63);
    assert!(rows.iter().all(|row| row["perplexity"].as_f64().unwrap() > 1.0));
    for part in ["position (tokens)", "perplexity", "rope:yarn=4"] {
        assert!(files.read("a.svg").contains(part), "{part}");
    }
}

#[test]
fn position_by_position_it_is_what_the_perplexity_command_tells() {
    let mut plain = Command::cargo_bin("kinglet").unwrap();
    plain.env("KINGLET_OFFLINE", "1").args(["perplexity", "-c", "64", "--chunks", "1", "--json", "-m"]).arg(tiny()).write_stdin(text());
    let plain: Value = serde_json::from_slice(&plain.assert().success().get_output().stdout).unwrap();
    let (_, printed, json) = Files::of(lab("perplexity").args(["--length", "64", "--pieces", "1", "--bins", "64"]).write_stdin(text()));
    assert!(!printed.contains("NaN"), "{printed}");
    // The command scores the second half of what it has predicted.
    let scored = &json["rows"].as_array().unwrap()[33..];
    assert_eq!(plain["tokens"].as_u64(), Some(scored.len() as u64));
    let mean = scored.iter().map(|row| row["perplexity"].as_f64().unwrap().ln()).sum::<f64>() / scored.len() as f64;
    assert!((mean.exp() / plain["perplexity"].as_f64().unwrap() - 1.0).abs() < 1e-9);
}

#[test]
fn perplexity_streams_through_every_policy() {
    let flags = ["--policies", "ring,window,stop", "-c", "100", "--sinks", "2", "--tokens", "600", "--bins", "6"];
    let (_, printed, json) = Files::of(lab("perplexity").args(flags).write_stdin(text()));
    for part in ["ring", "window", "stop", "first ms", "memory most"] {
        assert!(printed.contains(part), "{part}\n{printed}");
    }
    let rows = |policy: &str| json["rows"].as_array().unwrap().iter().filter(|row| row["policy"] == policy).cloned().collect::<Vec<_>>();
    assert_eq!((rows("ring").len(), rows("window").len()), (6, 6));
    // A cache that stops ends at its bound.
    assert_eq!(rows("stop").len(), 2);
    assert_eq!(rows("stop").iter().map(|row| row["tokens"].as_u64().unwrap()).sum::<u64>(), 100);
    assert_eq!(rows("ring")[0]["perplexity"], rows("window")[0]["perplexity"], "before the bound all are one");
    assert_eq!(json["costs"][0]["tokens"].as_u64(), Some(499));
}

#[test]
fn passkey_and_needle_make_a_grid() {
    let hay = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(hay.path(), text()).unwrap();
    for measurement in ["passkey", "needle"] {
        let mut command = lab(measurement);
        command.args(["--lengths", "400,600", "--depths", "0,50,100", "--trials", "2", "--schemes", "file;alibi"]);
        if measurement == "needle" {
            command.arg("-f").arg(hay.path());
        }
        let (_, printed, json) = Files::of(&mut command);
        assert!(printed.contains("50 %") && printed.contains("/2"), "{printed}");
        let rows = json["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 2 * 2 * 3);
        for row in rows {
            let (length, tokens) = (row["length"].as_u64().unwrap(), row["prompt_tokens"].as_u64().unwrap());
            assert!(tokens <= length && tokens + 300 > length, "{row}");
            assert_eq!(row["asked"], 2);
        }
    }
    let (_, _, json) = Files::of(lab("passkey").args(["--lengths", "300", "--policy", "ring,window", "-c", "100", "--depths", "0"]));
    assert_eq!(json["rows"].as_array().unwrap().len(), 2);
}

#[test]
fn recall_asks_for_what_was_told() {
    let flags = ["--turns", "0,3", "--policy", "ring,window", "-c", "200"];
    let (_, printed, json) = Files::of(lab("recall").args(flags));
    assert!(printed.contains("recalled") && printed.contains("/5"), "{printed}");
    assert_eq!(json["rows"].as_array().unwrap().len(), 2 * 2 * 5);
    let forgotten = |json: &Value| json["rows"].as_array().unwrap().iter().map(|row| row["forgotten"].as_u64().unwrap()).max();
    assert!(forgotten(&json) > Some(0));
    lab("recall").args(["--turns", "3", "--policy", "ring", "-c", "200", "--pin"]).assert().success();
}

#[test]
fn decay_tells_where_heads_look_and_the_curve_of_the_scheme() {
    let (files, printed, json) = Files::of(lab("decay").args(["--length", "64", "--layers", "0,1", "--schemes", "file;alibi"]));
    for part in ["mean distance", "sinks", "mean cos", "bound", "bias of head 0"] {
        assert!(printed.contains(part), "{part}\n{printed}");
    }
    let rows = json["rows"].as_array().unwrap();
    let mass: f64 = rows
        .iter()
        .filter(|row| row["what"] == "attention" && row["scheme"] == "file" && row["layer"] == 0 && row["head"] == 0)
        .map(|row| row["value"].as_f64().unwrap())
        .sum();
    assert!((mass - 1.0).abs() < 1e-9);
    assert!(files.read("a.svg").contains("distance (tokens)"));
}

#[test]
fn a_tap_shows_heads_before_positions_turn_them() {
    let model = kinglet::Model::open(tiny()).unwrap();
    let tokens: Vec<_> = [5, 6, 7, 5, 8].into_iter().map(kinglet::TokenId).collect();
    let heads = kinglet::eval::heads(&model, &tokens, &[0, 1], None).unwrap().unwrap();
    assert_eq!(heads.len(), 2);
    for all in [&heads[0].q, &heads[0].k, &heads[0].v] {
        let rows: Vec<&[f32]> = all.chunks_exact(all.len() / 5).collect();
        assert_eq!(rows[0], rows[3], "in the first layer equal tokens are equal wherever they stand");
        assert_ne!(rows[0], rows[1]);
    }
    // Seen from farther back, a token of the second layer has heard of others.
    assert_ne!(heads[1].head(&heads[1].k, 0, 0), heads[1].head(&heads[1].k, 3, 0));
    assert!(model.take_tap().is_none(), "nobody looks any more");
}

#[test]
fn stability_is_the_same_at_ten_million() {
    let flags = ["--length", "40", "-n", "64", "-c", "32", "--policy", "ring,window", "--schemes", "file;alibi"];
    let (_, printed, json) = Files::of(lab("stability").args(flags));
    assert!(printed.contains("10000000") && printed.contains("repeated %"), "{printed}");
    let values = |what: &str| -> Vec<f64> {
        let rows = json["rows"].as_array().unwrap().iter().filter(|row| row["what"] == what);
        rows.map(|row| row["value"].as_f64().unwrap()).collect()
    };
    assert!(values("error").iter().chain(&values("shift_error")).all(|&error| error < 1e-4));
    assert!(values("not_finite").iter().all(|&n| n == 0.0));
    assert_eq!(values("repeated").len(), 2 * 2 * 8);
}

#[test]
fn what_can_not_be_measured_is_refused_with_what_could_be() {
    for (measurement, flags, says) in [
        ("perplexity", &["--length", "64", "--policy", "ring"][..], "--tokens"),
        ("perplexity", &["--sinks", "4"], "--policy"),
        ("perplexity", &["--batch", "4"], "--policy"),
        ("perplexity", &["--policy", "window", "--sinks", "4", "-c", "64"], "--policy ring"),
        ("perplexity", &["--policy", "ring", "--sinks", "64", "-c", "64"], "at most 63"),
        ("perplexity", &["--policy", "ring,ring", "-c", "64"], "twice"),
        ("perplexity", &["--schemes", "file;file"], "twice"),
        ("perplexity", &["--schemes", "file;rop"], "rope"),
        ("perplexity", &["--position", "alibi", "--scheme", "none"], "--scheme \"alibi;"),
        ("perplexity", &["--bins", "0"], "at least 1"),
        ("perplexity", &["--plot", "a.jpeg"], ".svg or .png"),
        ("passkey", &["--policy", "ring"], "add -c"),
        ("passkey", &["-c", "100"], "2064"),
        ("needle", &["--depths", "101"], "0 to 100"),
        ("recall", &["--pin", "--policy", "stop"], "--policy ring"),
        ("decay", &["--layers", "99"], "layers 0 to"),
        ("stability", &["-n", "0", "-c", "100"], "-n"),
        ("stability", &["--reference"], "leave it out"),
    ] {
        let what = predicate::function(|text: &str| text.contains(says));
        lab(measurement).args(flags).write_stdin(text()).assert().code(2).stdout("").stderr(contains("error: ").and(what));
    }
    lab("perplexity")
        .args(["--length", "64", "--csv", "/dev/null/none/a.csv"])
        .write_stdin(text())
        .assert()
        .code(1)
        .stderr(contains("folder"));
    lab("perplexity").args(["--length", "64"]).write_stdin("short").assert().code(1).stderr(contains("longer text"));
    lab("needle").args(["--lengths", "20"]).assert().code(1).stderr(contains("larger --lengths"));
}

#[test]
#[cfg(unix)]
fn an_interrupted_measurement_prints_what_it_has() {
    use std::io::Write;
    use std::process::Stdio;
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("a.json");
    let mut child = std::process::Command::cargo_bin("kinglet")
        .unwrap()
        .args(["lab", "perplexity", "--policy", "ring", "-c", "64", "--batch", "1", "-t", "1", "--json"])
        .arg(&json)
        .arg("-m")
        .arg(tiny())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text().repeat(100).as_bytes()).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(3));
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Perplexity by position"));
    let json: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(json["complete"], false);
    assert!(!json["rows"].as_array().unwrap().is_empty());
}
