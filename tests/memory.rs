//! One budget of memory: what does not fit is refused with the numbers, what is allowed is enough, and memory that the system has not got
//! is an error.
#![cfg(target_os = "linux")]

use assert_cmd::cargo::CommandCargoExt;
use kinglet::parallel::machine::private_memory;
use kinglet::{Budget, Error, Model, ModelOptions, Session, SessionOptions};
use std::io::Write;
use std::process::{Command, Output, Stdio};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/models/tiny.gguf");

/// False, and a word about it, where the system does not tell what a process holds.
fn told() -> bool {
    let told = private_memory().is_some();
    if !told {
        eprintln!("not run: the system does not tell a process's memory");
    }
    told
}

/// False, and a word about it, in an emulator (whose name begins the program's line then): a limit would be that of the emulator's own
/// memory.
fn can_be_limited() -> bool {
    let emulated = Command::cargo_bin("kinglet").unwrap().get_args().next().is_some();
    if emulated {
        eprintln!("not run: an emulator's limits are its own");
    }
    !emulated && told()
}

/// A session that may take `budget` bytes more than this process holds.
fn session(budget: u64, context: Option<usize>) -> Result<Session, Error> {
    let model = Model::open_with(MODEL, &ModelOptions { threads: Some(2), ..ModelOptions::default() })?;
    model.tokenizer()?;
    let memory = Some(Budget(private_memory().unwrap() + budget));
    let model = Model::open_with(MODEL, &ModelOptions { threads: Some(2), memory, ..ModelOptions::default() })?;
    model.session(SessionOptions { context, ..SessionOptions::default() })
}

#[test]
fn a_context_is_as_long_as_the_budget_allows_and_no_longer_than_it_was_trained() {
    if !told() {
        return;
    }
    let trained = session(1 << 30, None).unwrap().room().context;
    assert_eq!(trained, Model::open(MODEL).unwrap().spec().trained_context);
    let short = *session(2_600_000, None).unwrap().room();
    assert!((256..trained).contains(&short.context), "{short}");
    assert!(short.total() <= private_memory().unwrap() + 3_000_000, "{short}");
    // What was asked for is given or refused, and never cut.
    assert_eq!(session(1 << 30, Some(9_000)).unwrap().context(), 9_000);
    // No length is too long to be counted.
    let error = session(1 << 30, Some(usize::MAX)).unwrap_err().to_string();
    assert!(error.contains("--memory"), "{error}");
    assert_eq!(Model::open(MODEL).unwrap().session(SessionOptions { context: Some(usize::MAX), policy: None }).unwrap().len(), 0);
    let error = session(1 << 20, Some(90_000)).unwrap_err().to_string();
    assert!(error.contains("90000 tokens") && error.contains("--memory") && error.contains("MiB"), "{error}");
}

/// The program under `ulimit FLAG KIB`, asked something that `prompt` is.
fn limited(flag: &str, kib: u64, args: &[&str], prompt: &str) -> Output {
    let script = format!("ulimit {flag} {kib}; exec \"$0\" \"$@\"");
    let program = Command::cargo_bin("kinglet").unwrap();
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .arg(program.get_program())
        .args(["run", "-m", MODEL, "-t", "2", "--raw", "--temp", "0", "-n", "4"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The program may end without having read it.
    let _ = child.stdin.take().unwrap().write_all(prompt.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn a_stream_that_outgrows_its_context_stays_within_the_budget() {
    if !can_be_limited() {
        return;
    }
    const BUDGET: u64 = 24;
    let prompt = "one two three four five six seven eight nine ten ".repeat(600);
    let args = ["--stats", "--memory", "24M", "-c", "12000", "--cache-k", "f32", "--cache-v", "f32"];
    // RLIMIT_DATA bounds all memory of a process that is its own and may be written.
    let found = limited("-d", BUDGET << 10, &args, &prompt);
    let talk = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(found.status.success() && talk.contains("memory: 24.0 MiB at most"), "{talk}");
    assert!(talk.contains("forgotten") && !found.stdout.is_empty(), "{talk}");
}

#[test]
fn memory_that_the_system_has_not_got_is_an_error() {
    if !can_be_limited() {
        return;
    }
    let prompt = "one two three four five six seven eight nine ten ".repeat(3000);
    let found = limited("-d", 24 << 10, &["-c", "100000", "--cache-k", "f32", "--cache-v", "f32"], &prompt);
    let talk = String::from_utf8_lossy(&found.stderr).into_owned();
    assert_eq!(found.status.code(), Some(1), "{talk}");
    assert!(talk.contains("out of memory") && talk.contains("--context"), "{talk}");
}
