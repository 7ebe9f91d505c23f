//! Speculation without a second model: the text's own repetitions are proposed, verified in one batch, and accepted only where the sampler
//! would have chosen them anyway, so the answer is the same with it and without. Where guesses keep failing it falls silent for longer
//! and longer, so that it costs little on text that does not repeat itself.

use super::Session;
use crate::error::Error;
use crate::forward::Output;
use crate::generate::{LookupOptions, PromptLookup, Sampled, Sampler, verify};
use crate::kv::Policy;
use crate::types::TokenId;
use std::collections::VecDeque;

/// The longest silence, in tokens.
const LONGEST_PAUSE: usize = 64;

/// The state of one answer's speculation.
#[derive(Debug)]
pub(super) struct Speculation {
    lookup: PromptLookup,
    /// Tokens proposed at a time.
    draft: usize,
    /// Tokens to go before the next guess.
    pause: usize,
    /// How long the next silence will be.
    next_pause: usize,
}

impl Speculation {
    /// Over the text so far; `draft` tokens at a time.
    pub(super) fn new(draft: usize, text: &[TokenId]) -> Result<Speculation, Error> {
        let mut lookup = PromptLookup::new(LookupOptions::default())?;
        text.iter().for_each(|&token| lookup.push(token));
        Ok(Speculation { lookup, draft, pause: 0, next_pause: 1 })
    }

    /// Counts a token of the answer.
    pub(super) fn push(&mut self, token: TokenId) {
        self.lookup.push(token);
        self.pause = self.pause.saturating_sub(1);
    }

    /// Guesses what comes after the session's last token (which is not computed yet) and returns what the sampler makes of it: one token
    /// or more. `None` where there is nothing to guess. `room` is how many tokens the answer may still have.
    pub(super) fn run(
        &mut self,
        session: &mut Session,
        sampler: &mut Sampler,
        room: usize,
        ends: impl Fn(TokenId) -> bool,
    ) -> Result<Option<VecDeque<Sampled>>, Error> {
        let len = session.len();
        let room = if session.policy() == Policy::Stop { room.min(session.context() - len) } else { room };
        if self.pause > 0 || room < 2 || session.cache.len() + 1 != len {
            return Ok(None);
        }
        let draft = self.lookup.propose(self.draft.min(room - 1));
        if draft.is_empty() {
            return Ok(None);
        }
        let tokens: Vec<TokenId> = session.tokens.from(len - 1).iter().chain(&draft).copied().collect();
        session.tokens.truncate(len - 1);
        let rows = session.outputs_of(&tokens, None, Output::Logits)?;
        let n_vocab = rows.len() / tokens.len();
        let chosen: VecDeque<Sampled> = verify(sampler, &draft, rows.chunks_exact(n_vocab), ends)?.into();
        // What was guessed wrong is forgotten; what was guessed right joins the text as it is handed out, and stays in the cache.
        session.tokens.truncate(len);
        session.cache.truncate(len + chosen.len() - 1);
        session.logits.clear();
        if chosen.len() > 1 {
            (self.pause, self.next_pause) = (0, 1);
        } else {
            (self.pause, self.next_pause) = (self.next_pause, (2 * self.next_pause).min(LONGEST_PAUSE));
        }
        Ok(Some(chosen))
    }
}
