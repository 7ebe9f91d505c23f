//! The command line itself: help, exit codes, and the one line that says what is wrong. No model is needed here.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;

const COMMANDS: &[&str] = &[
    "run",
    "chat",
    "pull",
    "list",
    "inspect",
    "embed",
    "tokenize",
    "quantize",
    "perplexity",
    "bench",
    "lab",
    "logits",
    "doctor",
    "completions",
];

fn kinglet(args: &[&str]) -> assert_cmd::assert::Assert {
    let models = tempfile::tempdir().unwrap();
    Command::cargo_bin("kinglet")
        .unwrap()
        .env("KINGLET_OFFLINE", "1")
        .env("KINGLET_MODELS", models.path())
        .args(args)
        .write_stdin("")
        .assert()
}

/// What an error looks like: one line, perhaps a hint, nothing on stdout, no trace of a panic.
fn one_line(stderr: &str) -> bool {
    let lines: Vec<&str> = stderr.lines().collect();
    let well_formed = matches!(lines.as_slice(), [error] if error.starts_with("error: "))
        || matches!(lines.as_slice(), [error, hint] if error.starts_with("error: ") && hint.starts_with("hint: "));
    well_formed && !stderr.contains("panicked") && !stderr.contains('\x1b')
}

#[test]
fn the_help_lists_every_command_and_the_exit_codes() {
    let mut all = contains("Exit codes: 0 done, 1 an error").and(contains("KINGLET_MODELS")).boxed();
    for command in COMMANDS {
        all = all.and(contains(format!("\n  {command} "))).boxed();
    }
    kinglet(&["--help"]).success().stdout(all);
}

#[test]
fn every_command_has_help_with_examples() {
    for command in COMMANDS {
        let example = format!("  kinglet {command}");
        kinglet(&[command, "--help"]).success().stdout(contains("Examples:").and(contains(example))).stderr("");
        kinglet(&["help", command]).success().stdout(contains("Examples:"));
    }
}

#[test]
fn no_line_of_help_is_wider_than_a_terminal() {
    for command in COMMANDS {
        let output = kinglet(&[command, "--help"]).get_output().stdout.clone();
        for line in String::from_utf8(output).unwrap().lines() {
            assert!(line.chars().count() <= 100, "{command}: {line}");
        }
    }
}

#[test]
fn without_a_command_the_help_is_shown_and_the_exit_code_is_that_of_a_wrong_line() {
    kinglet(&[]).code(2).stderr(contains("Usage: kinglet <COMMAND>"));
}

#[test]
fn the_version_is_printed() {
    kinglet(&["--version"]).success().stdout(concat!("kinglet ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_slip_in_a_command_or_flag_gets_a_suggestion() {
    kinglet(&["lits"]).code(2).stderr(contains("similar").and(contains("'list'")));
    kinglet(&["run", "--tmep", "1", "hello"]).code(2).stderr(contains("similar argument exists: '--temp'"));
}

#[test]
fn values_out_of_range_are_wrong_command_lines() {
    for args in [
        &["run", "--temp", "hot", "x"][..],
        &["run", "-n", "many", "x"],
        &["run", "-t", "0", "x"],
        &["run", "--load", "telepathy", "x"],
        &["run", "--logit-bias", "7", "x"],
        &["run", "--raw", "--system", "y", "x"],
        &["run", "--special", "x"],
        &["bench", "-o", "xml"],
        &["bench", "-r", "0"],
        &["bench", "--pg", "512"],
        &["logits", "--tokens", "1"],
        &["completions", "csh2"],
        &["quantize", "a.gguf"],
    ] {
        kinglet(args).code(2).stdout("").stderr(contains("error: "));
    }
}

#[test]
fn a_model_that_is_not_there_is_one_line_and_a_hint() {
    for command in [&["run", "hello"][..], &["chat"], &["inspect"], &["tokenize", "x"], &["bench"], &["perplexity", "-f", "Cargo.toml"]] {
        kinglet(command).code(1).stdout("").stderr(predicate::function(one_line).and(contains("KINGLET_OFFLINE")));
    }
}

#[test]
fn an_unknown_model_name_gets_the_nearest_one() {
    kinglet(&["run", "-m", "smolm2", "hello"]).code(1).stderr(predicate::function(one_line).and(contains("smollm2-135m-instruct")));
    kinglet(&["run", "-m", "gemma3", "hello"]).code(1).stderr(contains("did you mean gemma-3-270m?"));
    kinglet(&["run", "-m", "qwertz", "hello"]).code(1).stderr(predicate::function(one_line));
    kinglet(&["run", "-m", "", "hello"]).code(2).stderr(predicate::function(one_line));
}

#[test]
fn a_missing_file_a_folder_and_a_broken_file_are_one_line_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("empty.gguf"), "").unwrap();
    std::fs::write(path("text.gguf"), "not a model at all").unwrap();
    std::fs::write(path("cut.gguf"), b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f\x01\0\0\0\0\0\0\0").unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    for name in ["missing.gguf", "empty.gguf", "text.gguf", "cut.gguf", "folder"] {
        let model = path(name);
        for command in [
            &["run", "-m", &model, "hello"][..],
            &["chat", "-m", &model],
            &["inspect", &model],
            &["tokenize", "-m", &model, "x"],
            &["bench", "-m", &model],
            &["logits", "-m", &model, "--tokens", "1", "-o", "unused.safetensors"],
            &["quantize", &model, &path("out.gguf"), "Q8_0"],
        ] {
            kinglet(command).code(1).stdout("").stderr(predicate::function(one_line).and(contains(name)));
        }
        assert!(!folder.path().join("out.gguf").exists());
    }
}

#[test]
fn an_empty_prompt_is_a_wrong_command_line() {
    kinglet(&["run"]).code(2).stderr(predicate::function(one_line));
    kinglet(&["run", "  "]).code(2).stderr(predicate::function(one_line));
}

#[test]
fn a_prompt_that_is_no_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bytes");
    std::fs::write(&file, b"good\xff\xfe").unwrap();
    kinglet(&["run", "-f", file.to_str().unwrap()]).code(1).stderr(predicate::function(one_line).and(contains("byte 4")));
}

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        kinglet(&["completions", shell]).success().stdout(contains("perplexity").and(contains("top-k"))).stderr("");
    }
}

#[test]
fn the_doctor_works_without_models() {
    kinglet(&["doctor"]).success().stdout(
        contains("processor").and(contains("levels")).and(contains("cpu mask")).and(contains("huge pages")).and(contains("not here")),
    );
}
