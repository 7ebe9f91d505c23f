//! What is left behind when the program is ended from outside, at any time: files that are whole, a terminal that works, a code that
//! scripts can use. And what a disk without room does.
#![cfg(target_os = "linux")]

use assert_cmd::cargo::CommandCargoExt;
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/models/tiny.gguf");

fn kinglet(args: &[&str]) -> Command {
    let mut kinglet = Command::cargo_bin("kinglet").unwrap();
    kinglet.args(args).env("KINGLET_OFFLINE", "1").env("XDG_STATE_HOME", "/dev/null/none");
    kinglet.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    kinglet
}

fn signal(child: &Child, name: &str) {
    Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
}

/// The program's end after it was sent `name` when `delay` had passed.
fn ended(mut command: Command, name: &str, delay: Duration) -> ExitStatus {
    let mut child = command.spawn().unwrap();
    sleep(delay);
    signal(&child, name);
    child.wait().unwrap()
}

/// Delays that fall into the start of the program, into its work, and behind its end.
fn delays() -> impl Iterator<Item = Duration> {
    (0..12).map(|n| Duration::from_micros(200 << n) / 2)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_command_that_is_told_to_end_ends_with_the_code_for_it_and_leaves_nothing_half() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.gguf");
    let (out, text) = (out.to_str().unwrap(), concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    let commands: [&[&str]; 5] = [
        &["run", "-m", MODEL, "--raw", "--ignore-eos", "-n", "100000", "-c", "512", "hello"],
        &["perplexity", "-m", MODEL, "-f", text, "-c", "128"],
        &["bench", "-m", MODEL, "-p", "64", "-n", "64", "-r", "200"],
        &["quantize", MODEL, out, "Q4_0", "--allow-requantize"],
        &["lab", "perplexity", "-m", MODEL, "-f", text, "--length", "256"],
    ];
    for args in commands {
        for (name, code, number) in [("-INT", 130, 2), ("-TERM", 143, 15), ("-HUP", 129, 1)] {
            for delay in delays() {
                let status = ended(kinglet(args), name, delay);
                // Before the program has begun to listen, the signal itself ends it; after its work there is nothing to end.
                let fine = status.code() == Some(code) || status.success() || status.signal() == Some(number);
                assert!(fine, "{args:?} {name} after {delay:?}: {status:?}");
            }
        }
        let left = names(folder.path());
        assert!(left.is_empty() || left == ["out.gguf"], "{args:?} left {left:?}");
    }
}

#[test]
fn a_file_that_is_replaced_is_the_old_one_or_the_new_one_whenever_the_program_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.gguf");
    let quantize = || kinglet(&["quantize", MODEL, out.to_str().unwrap(), "Q4_0", "--allow-requantize"]);
    assert!(quantize().status().unwrap().success());
    let new = fs::read(&out).unwrap();
    let old = b"what was there before".to_vec();
    for delay in delays().chain((0..40).map(|n| Duration::from_micros(500 * n))) {
        fs::write(&out, &old).unwrap();
        ended(quantize(), "-KILL", delay);
        let found = fs::read(&out).unwrap();
        assert!(found == old || found == new, "{} bytes after {delay:?}", found.len());
    }
}

#[test]
fn a_disk_without_room_is_an_error_that_names_the_file_and_leaves_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.gguf");
    fs::write(&out, "old").unwrap();
    let program = kinglet(&["quantize", MODEL, out.to_str().unwrap(), "Q4_0", "--allow-requantize"]);
    // No file may be longer than four blocks; what is ignored in a shell stays ignored in what it runs.
    let found = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\""])
        .arg(program.get_program())
        .args(program.get_args())
        .output()
        .unwrap();
    let talk = String::from_utf8_lossy(&found.stderr).into_owned();
    assert_eq!(found.status.code(), Some(1), "{talk}");
    assert!(talk.contains("out.gguf") && talk.lines().count() <= 3, "{talk}");
    assert_eq!(fs::read(&out).unwrap(), b"old");
    assert_eq!(names(folder.path()), ["out.gguf"]);
}

#[test]
fn a_chat_that_is_told_to_end_gives_the_terminal_back() {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let path = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let terminal = File::options().read(true).write(true).open(path).unwrap();
    let before = match tcgetattr(&terminal) {
        Err(Errno::NOSYS) => return eprintln!("not run: this system, an emulator, can't tell a terminal's modes"),
        before => before.unwrap(),
    };
    let modes = || tcgetattr(&terminal).unwrap().local_modes;
    let mut chat = kinglet(&["chat", "-m", MODEL]);
    chat.env("TERM", "xterm").stdin(terminal.try_clone().unwrap()).stdout(terminal.try_clone().unwrap());
    let mut child = chat.spawn().unwrap();
    let begin = Instant::now();
    while modes().contains(LocalModes::ICANON) {
        assert!(begin.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none(), "the line editor never came up");
        sleep(Duration::from_millis(5));
    }
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(modes(), before.local_modes);
}
