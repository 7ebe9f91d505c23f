//! Brings a mapped file into pages of 2 MB where it lies in smaller ones. A file that was just downloaded or copied does: the system keeps
//! it in the pieces in which it was written, from which weights are read at half the speed. What is dropped from memory and read anew into
//! a mapping that asks for huge pages comes in huge ones, where the file system can.

use super::map::Map;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::libc::{c_long, off_t};
use nix::sys::resource::{UsageWho, getrusage};
use std::fs::File;
use std::hint::black_box;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Bytes of a huge page.
const PIECE: usize = 2 << 20;

/// A piece that takes longer to read lies on a slow disk (250 MB/s): what is in memory stays there.
const SLOW: Duration = Duration::from_millis(8);

/// Pieces that stay in small pages after which no other one is tried: the file system has no large ones, or the file has changes that are
/// not on the disk yet, or somebody else has it mapped.
const VAIN: usize = 2;

/// Goes over the whole huge pages of the file until `deadline` and reads those anew that lie in small pages. Pages that are not in memory
/// are read now, not later. Nothing that fails here matters: small pages do as well.
pub(super) fn settle(map: &Map, deadline: Instant) {
    let Some(file) = map.file() else { return };
    let bytes = map.bytes();
    if !(bytes.as_ptr() as usize).is_multiple_of(PIECE) {
        return;
    }
    let mut vain = 0;
    for piece in (0..bytes.len() / PIECE).map(|i| i * PIECE..(i + 1) * PIECE) {
        if vain == VAIN || Instant::now() > deadline {
            return;
        }
        if is_huge(&bytes[piece.clone()]) {
            continue;
        }
        let begin = Instant::now();
        map.forget(piece.clone());
        drop_cached(file, &piece);
        if is_huge(&bytes[piece]) {
            vain = 0;
        } else {
            vain += 1;
        }
        if begin.elapsed() > SLOW {
            return;
        }
    }
}

/// Whether these bytes are mapped as one page: then touching their end takes no other fault than touching their beginning. (The system maps
/// some small pages around the one that is touched, but no 2 MB of them.) Pieces that were read already can't be told, as a file's metadata
/// were; they count as huge.
fn is_huge(piece: &[u8]) -> bool {
    black_box(piece[0]);
    let before = faults();
    black_box(piece[PIECE - 1]);
    before.is_some() && faults() == before
}

/// Page faults of this thread so far.
fn faults() -> Option<c_long> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
    Some(usage.minor_page_faults() + usage.major_page_faults())
}

/// Has the system drop what it keeps of a piece of the file, as far as nobody uses it.
fn drop_cached(file: &File, piece: &Range<usize>) {
    let _ = posix_fadvise(file, piece.start as off_t, PIECE as off_t, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}
