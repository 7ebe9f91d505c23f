//! Paths that lead to no model, files that are something else, and files that change while they are in use.

use crate::assert_refused;
use crate::support::{Scratch, fixture_bytes, open};
use kinglet::error::FileError;
use kinglet::file::{LoadMode, ModelFile};

#[test]
fn what_is_no_file_is_refused_by_what_it_is() {
    let scratch = Scratch::new();
    assert_refused!(open(&scratch.path("none.gguf"), 0), FileError::Io { .. }, "none.gguf", "can't open it");
    assert_refused!(scratch.open("empty.gguf", b""), FileError::Empty { .. }, "empty.gguf", "0 bytes");
    assert_refused!(open(&scratch.path(""), 0), FileError::NotAModelFolder { .. }, "config.json", "empty.gguf");
}

#[cfg(unix)]
#[test]
fn pipes_sockets_and_devices_are_refused_without_waiting() {
    let scratch = Scratch::new();
    let _socket = std::os::unix::net::UnixListener::bind(scratch.path("socket")).expect("a socket in the temporary folder");
    assert_refused!(open(&scratch.path("socket"), 0), FileError::NotAFile { .. }, "expected a file", "a socket");
    assert_refused!(open("/dev/zero".as_ref(), 0), FileError::NotAFile { .. }, "/dev/zero", "a device");
    let made = std::process::Command::new("mkfifo").arg(scratch.path("pipe")).status();
    if made.is_ok_and(|status| status.success()) {
        assert_refused!(open(&scratch.path("pipe"), 0), FileError::NotAFile { .. }, "a pipe");
    }
    std::os::unix::fs::symlink(scratch.path("loop"), scratch.path("loop")).expect("a link to itself");
    assert_refused!(open(&scratch.path("loop"), 0), FileError::Io { .. }, "can't open it");
}

#[test]
fn a_file_of_another_sort_is_called_by_its_name() {
    let scratch = Scratch::new();
    let cases: [(&[u8], &str); 11] = [
        (b"PK\x03\x04\x14\x00\x00\x00\x08\x08", "a zip archive (a PyTorch checkpoint is one)"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "a Python pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "a page of HTML"),
        (b"tjgg\x03\x00\x00\x00", "GGJT"),
        (b"{\"error\": \"not found\"}", "JSON"),
        (b"{\"abcde\":{}}", "JSON"),
        (b"\x1f\x8b\x08\x00", "a gzip archive"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"hello, world", "[68, 65, 6c, 6c, 6f, 2c, 20, 77]"),
        (b"\xff", "[ff]"),
    ];
    for (bytes, what) in cases {
        assert_refused!(
            scratch.open("model.gguf", bytes),
            FileError::NotAModel { .. },
            "model.gguf",
            "expected a GGUF or safetensors file",
            what
        );
    }
    assert_refused!(scratch.open("model.gguf", b"GG"), FileError::Truncated { .. }, "magic", "expected 4 bytes, found 2");
}

#[test]
fn a_file_cut_while_it_is_open_is_an_error_where_a_tensor_is_looked_up() {
    let scratch = Scratch::new();
    let bytes = fixture_bytes("small.gguf");
    let path = scratch.write("shrinks.gguf", &bytes);
    let mapped = ModelFile::open(&path).expect("a whole file");
    let copied = ModelFile::open_with(&path, LoadMode::Read).expect("a whole file");
    std::fs::OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(100)).expect("the file can be cut");
    assert_refused!(mapped.tensor("q4"), FileError::Shrunk { .. }, "shrinks.gguf", "1312 bytes", "found 100", "--load read");
    assert_refused!(mapped.gguf().unwrap().text("kind.text"), FileError::Shrunk { .. }, "found 100");
    assert_refused!(mapped.check(), FileError::Shrunk { .. }, "found 100");
    copied.check().expect("a copy of one's own can't be cut");
    assert_eq!(copied.tensor("vector").unwrap().bytes[..8], [0, 0, 0, 0, 0, 0, 0, 0x3e]);
}
