//! Ctrl-C. While somebody listens (an answer is being written, a file is being made) it only raises a flag, so that the work can be
//! left in order; else, or the second time, the program ends at once with the code that shells expect.

use super::failure::code;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

static LISTENING: AtomicBool = AtomicBool::new(false);
static RAISED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Someone who looks at the flag from time to time; until it is dropped, the first Ctrl-C does not end the program.
#[derive(Debug)]
pub struct Listener {
    raised: Arc<AtomicBool>,
}

/// Begins to listen, with the flag lowered.
pub fn listen() -> Listener {
    let raised = RAISED.get_or_init(|| {
        let raised = Arc::new(AtomicBool::new(false));
        let flag = raised.clone();
        // Where a handler can't be set (a sandbox), Ctrl-C keeps its usual meaning and the program still works.
        let _ = ctrlc::set_handler(move || {
            if !LISTENING.load(Ordering::SeqCst) || flag.swap(true, Ordering::SeqCst) {
                std::process::exit(code::INTERRUPTED.into());
            }
        });
        raised
    });
    raised.store(false, Ordering::SeqCst);
    LISTENING.store(true, Ordering::SeqCst);
    Listener { raised: raised.clone() }
}

impl Listener {
    /// Has Ctrl-C been pressed?
    pub fn raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }

    /// The flag itself, for the library's `cancel`.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.raised.clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        LISTENING.store(false, Ordering::SeqCst);
    }
}
