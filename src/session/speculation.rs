//! Speculation without a second model: the text's own repetitions are proposed, verified in one batch, and accepted only where the sampler
//! would have chosen them anyway, so the answer is the same with it and without. Guesses begin short, where a batch costs hardly more than
//! a token, and grow while they are right; where they fail, or take longer than the tokens they gave would have taken one by one, it falls
//! silent for longer and longer, so that it costs little on text that does not repeat itself.

use super::Session;
use crate::error::Error;
use crate::forward::Output;
use crate::generate::{LookupOptions, PromptLookup, Sampled, Sampler, verify};
use crate::kv::Policy;
use crate::types::TokenId;
use std::collections::VecDeque;
use std::time::Instant;

/// Tokens of the first guess: with the token before them four rows, which are multiplied while the weights are read once.
const FIRST: usize = 3;
/// The longest silence, in tokens.
const LONGEST_PAUSE: usize = 64;

/// The state of one answer's speculation.
#[derive(Debug)]
pub(super) struct Speculation {
    lookup: PromptLookup,
    /// Tokens proposed at a time, at most.
    most: usize,
    /// Tokens of the next guess.
    width: usize,
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
        Ok(Speculation { lookup, most: draft, width: FIRST.min(draft), pause: 0, next_pause: 1 })
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
        let draft = self.lookup.propose(self.width.min(room - 1));
        if draft.is_empty() {
            return Ok(None);
        }
        let begin = Instant::now();
        let tokens: Vec<TokenId> = session.tokens.from(len - 1).iter().chain(&draft).copied().collect();
        session.tokens.truncate(len - 1);
        let rows = session.outputs_of(&tokens, None, Output::Logits)?;
        let n_vocab = rows.len() / tokens.len();
        let chosen: VecDeque<Sampled> = verify(sampler, &draft, rows.chunks_exact(n_vocab), ends)?.into();
        // What was guessed wrong is forgotten; what was guessed right joins the text as it is handed out, and stays in the cache.
        session.tokens.truncate(len);
        session.cache.truncate(len + chosen.len() - 1);
        session.logits.known = false;
        let one_by_one = session.stats.time_of_token().map(|token| token * chosen.len() as u32);
        self.learn(draft.len(), chosen.len() - 1, one_by_one.is_none_or(|time| begin.elapsed() <= time));
        Ok(Some(chosen))
    }

    /// Of `guessed` tokens `right` ones were taken; `paid` says whether that was faster than without.
    fn learn(&mut self, guessed: usize, right: usize, paid: bool) {
        if right > 0 && paid {
            let width = if right == guessed { 2 * self.width } else { right + 1 };
            (self.pause, self.next_pause, self.width) = (0, 1, width.clamp(FIRST.min(self.most), self.most));
        } else {
            (self.pause, self.next_pause) = (self.next_pause, (2 * self.next_pause).min(LONGEST_PAUSE));
            self.width = FIRST.min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_grow_while_they_are_right_and_stop_where_they_do_not_pay() {
        let mut speculation = Speculation::new(16, &[]).unwrap();
        let mut widths = Vec::new();
        for (guessed, right, paid) in [(3, 3, true), (6, 6, true), (12, 12, true), (16, 7, true), (8, 8, false)] {
            speculation.learn(guessed, right, paid);
            widths.push((speculation.width, speculation.pause));
        }
        assert_eq!(widths, [(6, 0), (12, 0), (16, 0), (8, 0), (3, 1)]);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            speculation.learn(3, 0, true);
            pauses.push(speculation.pause);
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 64, 64]);
        speculation.learn(3, 1, true);
        assert_eq!((speculation.width, speculation.pause, speculation.next_pause), (3, 0, 1));
    }
}
