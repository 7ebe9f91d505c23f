//! An answer on its way to stdout: the prompt is computed with a bar where that takes long, then text is shown as it comes.

use super::Failure;
use super::interrupt::Listener;
use super::terminal::count_bar;
use crate::generate::FinishReason;
use crate::types::TokenId;
use crate::{Event, Generation, Session};
use std::io::Write;
use std::time::{Duration, Instant};

/// How long a prompt may take without a progress bar.
const SOON: Duration = Duration::from_millis(500);

/// An answer that has been shown.
#[derive(Debug)]
pub struct Printed {
    /// Why it ended.
    pub reason: FinishReason,
    /// All of it.
    pub text: String,
    /// Its tokens.
    pub generated: usize,
}

/// Makes the session hold `tokens`, computing what it does not hold yet. False where Ctrl-C was pressed.
pub fn prefill(session: &mut Session, tokens: &[TokenId], interrupt: &Listener) -> Result<bool, Failure> {
    let (begin, flag) = (Instant::now(), interrupt.flag());
    let mut bar = None;
    session.replace(tokens, Some(&flag), |done| {
        if begin.elapsed() > SOON {
            bar.get_or_insert_with(|| count_bar(tokens.len() as u64, "reading the prompt")).set_position(done as u64);
        }
    })?;
    bar.iter().for_each(indicatif::ProgressBar::finish_and_clear);
    Ok(!interrupt.raised())
}

/// Shows the answer as it comes.
pub fn print(generation: Generation<'_>, out: &mut impl Write) -> Result<Printed, Failure> {
    let mut printed = Printed { reason: FinishReason::Length, text: String::new(), generated: 0 };
    for event in generation {
        let text = match event? {
            Event::Token { text, .. } => {
                printed.generated += 1;
                text
            }
            Event::Finished { reason, text, .. } => {
                printed.reason = reason;
                text
            }
        };
        if !text.is_empty() {
            out.write_all(text.as_bytes())?;
            out.flush()?;
            printed.text += &text;
        }
    }
    Ok(printed)
}
