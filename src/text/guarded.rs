//! Calls of libraries that panic where a file is not what they expect: `tokenizers` in many places, minijinja's compiler in one. A file
//! must not end the process that opens it, so that a panic becomes an error here.

use crate::error::one_line;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// What `work` returns, or what it said when it panicked. Nothing that it was changing may be used afterwards.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    result.map_err(|panic| {
        let said =
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        format!("rules that the library can't follow ({})", one_line(said, 300))
    })
}

/// Whether a panic of this thread will become an error, so that a report of it is not wanted.
pub fn panics_are_errors() -> bool {
    GUARDED.get()
}
