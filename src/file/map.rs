//! A file's bytes in memory: mapped, so that opening costs nothing and pages are shared between processes and can be dropped; or, where
//! somebody wants no surprises, read into memory of our own. The only place where files become slices, and one of the `unsafe` doors.

use crate::error::FileError;
#[cfg(target_os = "linux")]
use memmap2::UncheckedAdvice;
use memmap2::{Mmap, MmapMut, MmapOptions};
use std::fs::{self, File, FileType};
use std::hint::black_box;
use std::io::Read;
#[cfg(target_os = "linux")]
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How a file is brought into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadMode {
    /// Mapped; pages are read when they are first touched.
    #[default]
    Mmap,
    /// Mapped, and all pages are read now.
    Populate,
    /// Mapped, read now, and kept from being swapped out. Needs a high enough `ulimit -l`.
    Lock,
    /// Read into memory of our own: slow to open and not shared, but safe from whoever changes the file afterwards.
    Read,
}

/// Asks for pages of 2 MB, which miss the TLB 500 times less often. On one thread SmolLM2 decodes 230 tokens/s from them and 160 from pages
/// of 4 KB (Zen 4 under KVM). A file's pages are huge where its file system has large folios and the file was not in memory before, in
/// smaller ones; where the system refuses, small pages do as well.
#[cfg(target_os = "linux")]
const HUGE_PAGES: memmap2::Advice = memmap2::Advice::HugePage;

/// What bringing a model's files into huge pages may take when it is opened: a slow disk's or a large model's go on at the next start.
pub(super) const SETTLING: Duration = Duration::from_secs(1);

/// The bytes of one file.
#[derive(Debug)]
pub(super) struct Map {
    path: PathBuf,
    bytes: Mmap,
    /// The open file behind a mapping; none where the bytes are our own copy.
    file: Option<File>,
}

impl Map {
    /// Opens a regular file that has at least one byte.
    pub fn open(path: &Path, how: LoadMode) -> Result<Map, FileError> {
        let failed = |action| FileError::io(path, action);
        // Asked before opening, because opening a pipe would wait for its writer; and after, because the path may have changed hands.
        must_be_file(path, fs::metadata(path).map_err(failed("open it"))?.file_type())?;
        let file = File::open(path).map_err(failed("open it"))?;
        let metadata = file.metadata().map_err(failed("read its size"))?;
        must_be_file(path, metadata.file_type())?;
        if metadata.len() == 0 {
            return Err(FileError::Empty { file: path.to_owned() });
        }
        let len = usize::try_from(metadata.len()).map_err(|_| {
            FileError::field(path, "size", format!("at most {} bytes, which this machine can address", usize::MAX), metadata.len())
        })?;
        let (bytes, file) = match how {
            LoadMode::Read => (read(file, len).map_err(failed("read it"))?, None),
            LoadMode::Mmap | LoadMode::Populate | LoadMode::Lock => (map(&file, len).map_err(failed("map it"))?, Some(file)),
        };
        let map = Map { path: path.to_owned(), bytes, file };
        if how == LoadMode::Populate || how == LoadMode::Lock {
            map.populate();
        }
        if how == LoadMode::Lock {
            lock(&map.bytes).map_err(failed("lock it into memory (`ulimit -l` must allow its size)"))?;
        }
        Ok(map)
    }

    /// Reads all pages, into huge ones where it can.
    fn populate(&self) {
        self.settle(Instant::now() + SETTLING);
        black_box(self.bytes.iter().step_by(4096).fold(0, |all, byte| all ^ byte));
    }

    /// Brings what lies in small pages into huge ones until `deadline`, where the system can (`huge.rs`).
    pub fn settle(&self, deadline: Instant) {
        #[cfg(target_os = "linux")]
        if self.check().is_ok() {
            super::huge::settle(self, deadline);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = deadline;
    }

    /// The open file behind the mapping, where it is one.
    #[cfg(target_os = "linux")]
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Takes whole pages out of the mapping: they come back when they are touched.
    #[cfg(target_os = "linux")]
    pub fn forget(&self, pages: Range<usize>) {
        if self.file.is_some() {
            // SAFETY: of a read-only mapping of a file nothing is lost, as each page comes back with the file's bytes. Memory of our own,
            // which would come back as zeros, is not touched.
            let _ = unsafe { self.bytes.unchecked_advise_range(UncheckedAdvice::DontNeed, pages.start, pages.len()) };
        }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All bytes. They start at a page.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Fails where the file has become shorter than the mapping, whose lost pages would end the process with SIGBUS.
    ///
    /// A question to the system of a fraction of a microsecond, asked whenever a tensor or an array is looked up and before each turn of a
    /// session. Somebody who cuts the file between the question and the reading still ends the process: a signal handler could only say so
    /// more politely, and a library does not install those. [`LoadMode::Read`] is for those who can't trust their disk.
    pub fn check(&self) -> Result<(), FileError> {
        let Some(file) = &self.file else { return Ok(()) };
        let found = file.metadata().map_err(FileError::io(&self.path, "read its size"))?.len();
        let expected = self.bytes.len() as u64;
        if found < expected { Err(FileError::Shrunk { file: self.path.clone(), expected, found }) } else { Ok(()) }
    }
}

fn must_be_file(path: &Path, ty: FileType) -> Result<(), FileError> {
    if ty.is_file() {
        return Ok(());
    }
    let found = if ty.is_dir() { "a folder" } else { "a pipe, a socket or a device, which can't be mapped" };
    Err(FileError::NotAFile { file: path.to_owned(), found })
}

fn map(file: &File, len: usize) -> std::io::Result<Mmap> {
    // SAFETY: the mapping is read-only and private to this type, lives as long as its owner, and `len` is the size of a regular file that
    // is open. What no program can rule out is that another one changes or cuts the file meanwhile. Changed bytes are weights of other
    // values or metadata that every access checks again (`Cursor` trusts no length; text is checked for UTF-8 whenever it is read); for a
    // cut file see `Map::check`.
    let bytes = unsafe { MmapOptions::new().len(len).map(file)? };
    #[cfg(target_os = "linux")]
    let _ = bytes.advise(HUGE_PAGES);
    Ok(bytes)
}

fn read(mut file: File, len: usize) -> std::io::Result<Mmap> {
    let mut bytes = MmapMut::map_anon(len)?;
    #[cfg(target_os = "linux")]
    let _ = bytes.advise(HUGE_PAGES);
    file.read_exact(&mut bytes)?;
    bytes.make_read_only()
}

#[cfg(unix)]
fn lock(bytes: &Mmap) -> std::io::Result<()> {
    bytes.lock()
}

#[cfg(not(unix))]
fn lock(_: &Mmap) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Memory of our own in huge pages, for measuring how fast it is read.
#[derive(Debug)]
pub struct OwnMemory(MmapMut);

impl OwnMemory {
    /// `len` bytes, all the same.
    ///
    /// # Errors
    /// Where the system has not so much memory.
    pub fn new(len: usize) -> std::io::Result<OwnMemory> {
        let mut bytes = MmapMut::map_anon(len)?;
        #[cfg(target_os = "linux")]
        let _ = bytes.advise(HUGE_PAGES);
        bytes.fill(1);
        Ok(OwnMemory(bytes))
    }
}

impl std::ops::Deref for OwnMemory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// A small text file of at most `limit` bytes: `config.json` and its like.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    must_be_file(path, fs::metadata(path).map_err(FileError::io(path, "open it"))?.file_type())?;
    let file = File::open(path).map_err(FileError::io(path, "open it"))?;
    let size = file.metadata().map_err(FileError::io(path, "read its size"))?.len();
    if size > limit {
        return Err(FileError::field(path, "size", format!("at most {limit} bytes"), size));
    }
    let mut text = Vec::with_capacity(size as usize);
    file.take(limit).read_to_end(&mut text).map_err(FileError::io(path, "read it"))?;
    Ok(text)
}
