//! Ctrl-C, and a request to end (SIGTERM, SIGHUP). While somebody listens (an answer is being written, a file is being made) it only
//! raises a flag, so that the work can be left in order; else, or the second time, the program gives the terminal back as it was and ends
//! at once with the code that shells expect.

use super::failure;
#[cfg(target_os = "linux")]
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

static LISTENING: AtomicBool = AtomicBool::new(false);
static RAISED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
static CODE: AtomicU8 = AtomicU8::new(failure::code::INTERRUPTED);

/// The exit code of a program that was told to end: 128 and the signal's number.
pub fn code() -> u8 {
    CODE.load(Ordering::SeqCst)
}

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
        let give_back = terminal();
        // Where a handler can't be set (a sandbox), Ctrl-C keeps its usual meaning and the program still works.
        on_request_to_end(move |code| {
            CODE.store(code, Ordering::SeqCst);
            if !LISTENING.load(Ordering::SeqCst) || flag.swap(true, Ordering::SeqCst) {
                give_back();
                std::process::exit(code.into());
            }
        });
        raised
    });
    raised.store(false, Ordering::SeqCst);
    LISTENING.store(true, Ordering::SeqCst);
    Listener { raised: raised.clone() }
}

/// Calls `told` with the exit code for each request.
#[cfg(unix)]
fn on_request_to_end(mut told: impl FnMut(u8) + Send + 'static) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    if let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) {
        std::thread::spawn(move || signals.forever().for_each(|signal| told(128 + signal as u8)));
    }
}

#[cfg(not(unix))]
fn on_request_to_end(mut told: impl FnMut(u8) + Send + 'static) {
    let _ = ctrlc::set_handler(move || told(failure::code::INTERRUPTED));
}

/// Gives the terminal back as it is now: a line editor changes it, and may be interrupted in the middle of a line.
#[cfg(target_os = "linux")]
fn terminal() -> impl Fn() {
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    let before = tcgetattr(rustix::stdio::stdin()).ok();
    move || {
        if let Some(before) = &before {
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, before);
            // Pasted text is bracketed no more.
            let _ = std::io::stdout().write_all(b"\x1b[?2004l").and_then(|()| std::io::stdout().flush());
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn terminal() -> impl Fn() {
    || ()
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
