//! Every command on the tiny model that is committed: what a person, a pipe or a script gets.

use assert_cmd::Command;
use assert_cmd::cargo::CommandCargoExt;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/tiny.gguf")
}

/// A command of kinglet on the tiny model, with the network forbidden and folders of its own.
fn kinglet(command: &str) -> Command {
    let mut kinglet = Command::cargo_bin("kinglet").unwrap();
    kinglet.env("KINGLET_OFFLINE", "1").env("KINGLET_MODELS", "/dev/null/none").env("XDG_STATE_HOME", "/dev/null/none").arg(command);
    match command {
        "inspect" => kinglet.arg(tiny()),
        "quantize" => kinglet.arg(tiny()),
        _ => kinglet.arg("-m").arg(tiny()),
    };
    kinglet
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&stdout(command)).unwrap()
}

#[test]
fn run_prints_the_answer_and_nothing_else_on_stdout() {
    let greedy = |prompt: &str| stdout(kinglet("run").args(["--raw", "--temp", "0", "-n", "8", prompt]));
    let answer = greedy("hello");
    assert!(answer.ends_with('\n'));
    assert_eq!(answer, greedy("hello"), "greedy answers are the same each time");
    kinglet("run").args(["--raw", "-n", "4", "hello"]).assert().success().stderr("");
}

#[test]
fn a_prompt_comes_from_an_argument_a_flag_a_file_or_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prompt.txt");
    std::fs::write(&file, "hello").unwrap();
    let flags = ["--raw", "--temp", "0", "-n", "8"];
    let expected = stdout(kinglet("run").args(flags).arg("hello"));
    assert_eq!(stdout(kinglet("run").args(flags).args(["-p", "hello"])), expected);
    assert_eq!(stdout(kinglet("run").args(flags).arg("-f").arg(&file)), expected);
    assert_eq!(stdout(kinglet("run").args(flags).write_stdin("hello")), expected);
    assert_eq!(stdout(kinglet("run").args(flags).arg("-").write_stdin("hello")), expected);
    assert_eq!(stdout(kinglet("run").args(flags).args(["-e", "a\\nb"])), stdout(kinglet("run").args(flags).arg("a\nb")));
}

#[test]
fn a_seed_makes_chance_repeatable() {
    let with = |seed: &str| stdout(kinglet("run").args(["--raw", "--temp", "1.5", "-n", "16", "-s", seed, "hello"]));
    assert_eq!(with("7"), with("7"));
    assert!((0..5).any(|seed| with(&seed.to_string()) != with("7")));
}

#[test]
fn threads_and_ways_of_loading_do_not_change_the_answer() {
    let with = |flags: &[&str]| stdout(kinglet("run").args(["--raw", "--temp", "0", "-n", "12", "hello"]).args(flags));
    let expected = with(&[]);
    for flags in [&["-t", "1"][..], &["-t", "3"], &["--load", "populate"], &["--load", "read"]] {
        assert_eq!(with(flags), expected, "{flags:?}");
    }
}

#[test]
fn stats_go_to_stderr() {
    let parts = contains("prompt").and(contains("tokens/s")).and(contains("at most")).and(contains("threads"));
    kinglet("run").args(["--raw", "-n", "4", "--stats", "hello"]).assert().success().stderr(parts);
}

#[test]
fn parameters_out_of_range_are_wrong_command_lines() {
    for flags in [
        &["--top-p", "2"][..],
        &["--temp", "nan"],
        &["--samplers", "top_q"],
        &["--repeat-last-n", "-5"],
        &["-n", "-7"],
        &["--mirostat", "1"],
        &["--stop", ""],
        &["-l", "99999999+1"],
    ] {
        kinglet("run").args(["--raw", "hello"]).args(flags).assert().code(2).stdout("").stderr(contains("error: "));
    }
}

#[test]
fn parameters_are_looked_at_before_the_prompt_is_computed() {
    // A prompt that fits no context would be told first if it were computed first.
    let prompt = "one two three four five six seven eight";
    for flags in [["--top-p", "2"], ["-l", "99999999+1"], ["--stop", ""]] {
        kinglet("run").args(["--raw", "-c", "4", prompt]).args(flags).assert().code(2);
        kinglet("chat").args(flags).write_stdin("").assert().code(2);
    }
}

#[test]
fn a_prompt_that_does_not_fit_the_context_is_one_line() {
    kinglet("run")
        .args(["--raw", "-c", "4", "--policy", "stop", "one two three four five six seven eight"])
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains("context"));
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let mut child = std::process::Command::cargo_bin("kinglet")
        .unwrap()
        .args(["run", "--raw", "--ignore-eos", "-n", "100000", "-c", "100000", "hello", "-m"])
        .arg(tiny())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut byte = [0];
    child.stdout.take().unwrap().read_exact(&mut byte).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("error"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_an_answer_with_130() {
    let mut child = std::process::Command::cargo_bin("kinglet")
        .unwrap()
        .args(["run", "--raw", "--ignore-eos", "-n", "100000", "-c", "100000", "hello", "-m"])
        .arg(tiny())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0]).unwrap();
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(rest.ends_with(b"\n"), "the terminal's prompt begins on a line of its own");
}

#[test]
fn chat_takes_a_turn_from_every_line_of_a_pipe() {
    let output = kinglet("chat").args(["--temp", "0", "-n", "4"]).write_stdin("hello\n\nagain\n").assert().success();
    assert!(String::from_utf8_lossy(&output.get_output().stdout).lines().count() >= 2);
}

#[test]
fn chat_saves_what_was_said_and_goes_on_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("chat.json");
    let script = format!("/system Be brief.\nhello\nmore\n/undo\n/save {}\n/quit\nnever asked\n", saved.display());
    kinglet("chat").args(["--temp", "0", "-n", "4"]).write_stdin(script).assert().success();
    let messages: Value = serde_json::from_str(&std::fs::read_to_string(&saved).unwrap()).unwrap();
    let roles: Vec<&str> = messages.as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant"]);
    assert_eq!(messages[1]["content"], "hello");

    let again = folder.path().join("again.json");
    let script = format!("/load {}\n/retry\n/stats\n/save {}\n", saved.display(), again.display());
    kinglet("chat").args(["--temp", "0", "-n", "4"]).write_stdin(script).assert().success().stderr(contains("1 turns loaded"));
    assert_eq!(std::fs::read(&saved).unwrap(), std::fs::read(&again).unwrap(), "a greedy answer to the same question is the same");
}

#[test]
fn a_next_turn_computes_only_what_is_new() {
    let script = "hello\nand\n/stats\n";
    kinglet("chat").args(["--temp", "0", "-n", "4"]).write_stdin(script).assert().success().stderr(contains("reused"));
}

#[test]
fn a_chat_goes_on_when_its_context_is_full_and_says_so_once() {
    let long = "word ".repeat(400);
    let turns = format!("hello\n/pin\n{long}\nand now\n{long}\n/stats\n");
    let told = contains("from now on the oldest are forgotten").count(1).and(contains("pinned: ")).and(contains(" forgotten; "));
    kinglet("chat").args(["--temp", "0", "-n", "4", "-c", "256"]).write_stdin(turns.clone()).assert().success().stderr(told);
    let full = contains("the context is full");
    kinglet("chat").args(["--temp", "0", "-c", "256", "--policy", "stop"]).write_stdin(turns).assert().code(1).stderr(full);
}

#[test]
fn a_stream_is_cut_by_no_context() {
    let run =
        |flags: &[&str]| stdout(kinglet("run").args(["--raw", "--temp", "0", "--ignore-eos", "-n", "100", "one two three"]).args(flags));
    // Before its bound a ring is the plain cache; a quantised one may say other things, but it speaks.
    assert_eq!(run(&["-c", "400"]), run(&["-c", "400", "--policy", "stop"]));
    assert!(run(&["-c", "32"]).split_whitespace().count() > 0);
    assert!(!run(&["-c", "32", "--sinks", "0", "--cache-k", "q8_0", "--cache-v", "q4_0"]).is_empty());
    assert!(!run(&["-c", "32", "--policy", "window", "--position", "rope:ntk=2+alibi:scale=0.1"]).is_empty());
}

#[test]
fn contradictory_position_and_cache_flags_say_what_would_be_right() {
    let refused = |flags: &[&str], code: i32, says: &str| {
        kinglet("run").args(["--raw", "hello"]).args(flags).assert().code(code).stdout("").stderr(contains(says));
    };
    refused(&["--sinks", "4", "--policy", "stop"], 2, "--sinks is of --policy ring");
    refused(&["--sinks", "64", "-c", "64"], 1, "64 sinks in a context of 64 tokens");
    refused(&["--position", "rope:yarn"], 2, "NAME=NUMBER");
    refused(&["--position", "swirl"], 2, "unknown position scheme");
    refused(&["--cache-k", "q5_1"], 2, "q8_0");
    refused(&["--prompt-cache-size", "5"], 2, "--prompt-cache");
}

#[test]
fn a_prompt_that_was_computed_once_is_read_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let prompt = "one two three four five ".repeat(40);
    let run = |stats: &str| {
        let mut command = kinglet("run");
        command.args(["--raw", "--temp", "0", "-n", "8", "--stats", "--prompt-cache"]).arg(folder.path()).arg(&prompt);
        let output = command.assert().success().stderr(contains(stats)).get_output().stdout.clone();
        String::from_utf8(output).unwrap()
    };
    let first = run("prompt");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(run("reused"), first);
}

#[test]
fn a_chat_in_a_pipe_stops_at_the_first_mistake() {
    kinglet("chat").write_stdin("/lod x\n").assert().code(1).stderr(contains("unknown command /lod").and(contains("did you mean /load?")));
    kinglet("chat").write_stdin("/load /dev/null/none\n").assert().code(1).stderr(contains("cannot read /dev/null/none"));
    kinglet("chat").write_stdin("/undo\n").assert().code(1).stderr(contains("no turn to take back"));
}

#[test]
fn tokenize_prints_ids_and_pieces() {
    let lines = stdout(kinglet("tokenize").args(["--no-bos", "hello world"]));
    let ids: Vec<u64> = lines.lines().map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
    let array = json(kinglet("tokenize").args(["--no-bos", "--ids", "hello world"]));
    assert_eq!(array, Value::from(ids));
    assert_eq!(json(kinglet("tokenize").args(["--no-bos", "--ids"]).write_stdin("hello world")), array);
}

#[test]
fn inspect_shows_metadata_tensors_position_and_memory() {
    let parts = contains("general.architecture").and(contains("position")).and(contains("RoPE")).and(contains("cache of 100 tokens"));
    kinglet("inspect").args(["-c", "100"]).assert().success().stdout(parts);
    let all = json(kinglet("inspect").args(["--json", "-c", "100"]));
    assert_eq!(all["model"]["context"], 100);
    assert!(all["model"]["cache_bytes"].as_u64().unwrap() > 0);
    assert!(all["model"]["position"][0]["rope"]["base"].as_f64().unwrap() > 0.0);
    assert!(all["tensors"].as_array().unwrap().len() > 10);
}

#[test]
fn logits_are_a_safetensors_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let header = |flags: &[&str]| -> Value {
        kinglet("logits").args(["--tokens", "1,2,3", "-o"]).arg(&out).args(flags).assert().success().stdout("");
        let bytes = std::fs::read(&out).unwrap();
        let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
        let tensor = header.as_object().unwrap().values().next().unwrap();
        assert_eq!(bytes.len(), 8 + len + tensor["data_offsets"][1].as_u64().unwrap() as usize);
        header
    };
    let vocabulary = json(kinglet("inspect").arg("--json"))["model"]["n_vocab"].clone();
    assert_eq!(header(&[])["logits"]["shape"], serde_json::json!([3, vocabulary]));
    assert_eq!(header(&["--last", "1"])["logits"]["shape"][0], 1);
    assert_eq!(header(&["--last", "9"])["logits"]["shape"][0], 3);
    assert_eq!(header(&["--hidden", "--reference"])["hidden"]["shape"][0], 3);
    kinglet("logits").args(["--tokens", "99999999", "-o"]).arg(&out).assert().code(1).stderr(contains("99999999"));
    kinglet("logits").args(["--tokens", "1", "--decoder-tokens", "1", "-o"]).arg(&out).assert().code(2).stderr(contains("no encoder"));
    kinglet("logits").args(["--tokens", "1", "-o", "/dev/null/none/x"]).assert().code(1).stderr(contains("cannot write /dev/null/none/x"));
}

#[test]
fn perplexity_is_one_line_or_json() {
    let text = "the quick brown fox jumps over the lazy dog. ".repeat(20);
    let line = stdout(kinglet("perplexity").args(["-c", "32"]).write_stdin(text.clone()));
    assert!(line.starts_with("Final estimate: PPL = ") && line.contains(" +/- "), "{line}");
    let all = json(kinglet("perplexity").args(["-c", "32", "--chunks", "2", "--json"]).write_stdin(text));
    assert_eq!((all["chunks"].as_u64(), all["tokens"].as_u64()), (Some(2), Some(30)));
    kinglet("perplexity").write_stdin("too short").assert().code(1).stderr(contains("two chunks of 512 need 1024"));
}

#[test]
#[cfg(target_os = "linux")]
fn cpus_that_are_not_there_are_refused_with_those_that_are() {
    let run = |mask: &str| {
        let mut run = kinglet("run");
        run.args(["--raw", "--temp", "0", "-n", "4", "hello", "--cpu-mask", mask]);
        run
    };
    let expected = stdout(kinglet("run").args(["--raw", "--temp", "0", "-n", "4", "hello"]));
    assert_eq!(stdout(&mut run("0")), expected);
    run("0,1023").assert().code(1).stdout("").stderr(contains("0,1023 were asked for").and(contains("may use 0 of them")));
    run("2f").assert().code(2).stderr(contains("0x2f"));
}

#[test]
fn bench_speaks_llama_benchs_formats() {
    let flags = ["-p", "8", "-n", "4", "-r", "2", "-t", "1,2", "-d", "0,8"];
    let rows = json(kinglet("bench").args(flags).args(["-o", "json"]));
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 8);
    for key in [
        "model_filename",
        "model_type",
        "model_size",
        "model_n_params",
        "n_threads",
        "n_prompt",
        "n_gen",
        "n_depth",
        "test_time",
        "avg_ns",
        "stddev_ns",
        "avg_ts",
        "stddev_ts",
    ] {
        assert!(!rows[0][key].is_null(), "{key}");
    }
    assert_eq!(rows[0]["samples_ts"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&rows[0]["n_threads"], &rows[0]["n_prompt"], &rows[1]["n_gen"], &rows[2]["n_depth"]),
        (&1.into(), &8.into(), &4.into(), &8.into())
    );
    let table = stdout(kinglet("bench").args(flags));
    assert!(table.contains("| test |") || table.contains(" test |"));
    assert!(table.contains("pp8 @ d8") && table.contains("tg4"));
    let lines = stdout(kinglet("bench").args(flags).args(["-o", "jsonl"]));
    assert_eq!(lines.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count(), 8);
    assert!(stdout(kinglet("bench").args(flags).args(["-o", "csv"])).starts_with("build_commit,build_number,cpu_info"));
    kinglet("bench").args(["-p", "0", "-n", "0"]).assert().code(2);
}

#[test]
fn a_quantised_model_is_smaller_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("small.gguf");
    kinglet("quantize").arg(&out).args(["Q4_0", "--allow-requantize"]).assert().success().stdout("").stderr(contains("bits a weight"));
    let run = || Command::cargo_bin("kinglet").unwrap();
    run().args(["run", "--raw", "-n", "4", "hello", "-m"]).arg(&out).assert().success();
    run().args(["inspect", "--json"]).arg(&out).assert().success().stdout(contains("Q4_0"));
    run()
        .arg("quantize")
        .arg(&out)
        .arg(folder.path().join("again.gguf"))
        .arg("Q5_0")
        .assert()
        .code(1)
        .stderr(contains("--allow-requantize"));
    run().arg("quantize").arg(&out).arg(&out).arg("Q5_0").assert().code(2).stderr(contains("same file"));
    kinglet("quantize").arg(&out).arg("Q4_K_M").assert().code(2).stderr(contains("Q4_K is the nearest"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-done is left");
}

#[test]
fn output_streams_while_it_is_made() {
    let mut child = std::process::Command::cargo_bin("kinglet")
        .unwrap()
        .args(["chat", "--temp", "0", "-n", "4", "-m"])
        .arg(tiny())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut stdin = child.stdin.take().unwrap();
    // The second question is asked after the first answer has been read: nothing may wait for the pipe's end.
    for _ in 0..2 {
        stdin.write_all(b"hello\n").unwrap();
        lines.next().unwrap().unwrap();
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}
