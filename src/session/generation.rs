//! Generation as an iterator of typed events: sample, look for an end, hand out the text, compute the token only when the next one is
//! asked for.

use super::speculation::Speculation;
use super::{Model, Session, Stats};
use crate::error::Error;
use crate::generate::{FinishReason, Sampled, Sampler, SamplerOptions, StopStrings, Stopper};
use crate::kv::Policy;
use crate::text::{Decoder, Special};
use crate::types::TokenId;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How an answer is made and when it ends.
#[derive(Debug, Clone, Default)]
pub struct GenerateOptions {
    /// How tokens are chosen.
    pub sampler: SamplerOptions,
    /// Tokens at most; `None` is as many as the context holds: in all where it stops when it is full, else of the answer.
    pub max_tokens: Option<usize>,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Go on past the model's end-of-generation tokens, which are never sampled then.
    pub ignore_eos: bool,
    /// Guess so many tokens ahead from the text's own repetitions, and verify them in one batch. The answer is the same.
    pub speculate: Option<usize>,
    /// Raised from elsewhere, ends the answer after the token at hand.
    pub cancel: Option<Arc<AtomicBool>>,
}

impl GenerateOptions {
    /// Whether `model` can generate with these options: what [`Session::generate`] would refuse, but before a prompt is computed.
    ///
    /// # Errors
    /// Where a parameter of the sampler is outside its range, a bias names no token of the model, or a stop text is empty.
    pub fn check(&self, model: &Model) -> Result<(), Error> {
        self.check_for(model.spec().n_vocab)
    }

    pub(super) fn check_for(&self, n_vocab: usize) -> Result<(), Error> {
        self.sampler.check(n_vocab)?;
        StopStrings::new(&self.stop)?;
        Ok(())
    }

    /// The likeliest token each time, `max_tokens` of them at most.
    pub fn greedy(max_tokens: usize) -> Self {
        GenerateOptions {
            sampler: SamplerOptions { temp: 0.0, ..SamplerOptions::default() },
            max_tokens: Some(max_tokens),
            ..Self::default()
        }
    }
}

/// What generation hands out.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A token was chosen.
    Token {
        /// The token.
        id: TokenId,
        /// Text that is certain now: it may be empty (half a character, the beginning of a stop text) or be of several tokens.
        text: String,
        /// ln of its probability before any sampler changed it, where asked for.
        logprob: Option<f32>,
        /// The likeliest tokens and their ln probabilities, where asked for.
        top: Vec<(TokenId, f32)>,
    },
    /// The answer is complete; the last event.
    Finished {
        /// Why.
        reason: FinishReason,
        /// Text that was held back until now.
        text: String,
        /// The session's counters.
        stats: Stats,
    },
}

/// An answer in the making. Dropping it leaves the session with the tokens that were handed out.
#[derive(Debug)]
pub struct Generation<'s> {
    session: &'s mut Session,
    cancel: Option<Arc<AtomicBool>>,
    sampler: Sampler,
    stopper: Stopper,
    decoder: Option<Decoder>,
    speculation: Option<Speculation>,
    /// Tokens that the sampler has chosen ahead, verified but not handed out yet.
    ahead: VecDeque<Sampled>,
    /// Why the answer ended, once its last token is handed out.
    reason: Option<FinishReason>,
    finished: bool,
}

impl Session {
    /// Goes on from the session's tokens; after [`Session::encode`], with the token that the decoder's text begins with.
    ///
    /// # Errors
    /// Where the session is empty or an option is out of its range.
    pub fn generate(&mut self, options: GenerateOptions) -> Result<Generation<'_>, Error> {
        self.begin_decoding();
        // An answer that was cancelled while its prompt was computed still ends in order.
        if !options.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            self.catch_up(None, |_| ())?;
        }
        let model = Arc::clone(&self.model);
        // A model without a tokenizer generates tokens without text.
        let tokenizer = model.tokenizer().ok();
        let eog = || tokenizer.iter().flat_map(|tokenizer| tokenizer.eog()).copied();
        let mut sampling = options.sampler;
        if options.ignore_eos {
            sampling.logit_bias.extend(eog().map(|token| (token, f32::NEG_INFINITY)));
        }
        let mut sampler = Sampler::new(sampling, model.decoder.spec().n_vocab)?;
        if let Some(tokenizer) = tokenizer {
            let encode = |text: &str| tokenizer.encode(text, Special::Plain).unwrap_or_default();
            sampler.find_breakers(|token| tokenizer.piece(token).unwrap_or_default(), encode);
        }
        self.tokens().iter().for_each(|&token| sampler.accept(token));
        // A stream has no end of its own: an answer that is not bounded is as long as the context.
        let max_tokens = options.max_tokens.or_else(|| (self.policy() != Policy::Stop).then(|| self.context()));
        let stopper = Stopper::new(eog(), StopStrings::new(options.stop)?, max_tokens);
        let reason = (options.max_tokens == Some(0)).then_some(FinishReason::Length);
        let decoder = tokenizer.map(|tokenizer| tokenizer.decoder());
        let speculation = options.speculate.filter(|&draft| draft > 0).map(|draft| Speculation::new(draft, self.tokens())).transpose()?;
        let (cancel, ahead) = (options.cancel, VecDeque::new());
        Ok(Generation { session: self, cancel, sampler, stopper, decoder, speculation, ahead, reason, finished: false })
    }

    /// The whole answer as one text.
    ///
    /// # Errors
    /// As [`Session::generate`].
    pub fn complete(&mut self, options: GenerateOptions) -> Result<String, Error> {
        let mut answer = String::new();
        for event in self.generate(options)? {
            let (Event::Token { text, .. } | Event::Finished { text, .. }) = event?;
            answer += &text;
        }
        Ok(answer)
    }
}

impl Generation<'_> {
    fn step(&mut self) -> Result<Event, Error> {
        if let Some(reason) = self.reason.take() {
            return Ok(self.finish(reason, String::new()));
        }
        if self.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            let step = self.stopper.cancel();
            return Ok(self.finish(FinishReason::Cancelled, step.show));
        }
        if self.session.policy() == Policy::Stop && self.session.len() >= self.session.context() {
            let step = self.stopper.cancel();
            return Ok(self.finish(FinishReason::Length, step.show));
        }
        let Sampled { token, logprob, top } = self.choose()?;
        let ends = self.stopper.is_stop(token);
        let text = self.decoder.as_mut().filter(|_| !ends).map(|decoder| decoder.push(token)).unwrap_or_default();
        let text = if self.session.begins_to_decode() { text.trim_start_matches(' ').to_owned() } else { text };
        let step = self.stopper.push(token, &text);
        if let (true, Some(reason)) = (ends, step.finish.clone()) {
            return Ok(self.finish(reason, step.show));
        }
        self.session.tokens.push(token);
        if let Some(speculation) = &mut self.speculation {
            speculation.push(token);
        }
        self.reason = step.finish;
        Ok(Event::Token { id: token, text: step.show, logprob, top })
    }

    /// The next token, accepted by the sampler.
    fn choose(&mut self) -> Result<Sampled, Error> {
        if let (Some(speculation), true) = (&mut self.speculation, self.ahead.is_empty()) {
            let room = self.stopper.remaining().unwrap_or(usize::MAX);
            let chosen = speculation.run(self.session, &mut self.sampler, room, |token| self.stopper.is_stop(token))?;
            self.ahead = chosen.unwrap_or_default();
        }
        if let Some(sampled) = self.ahead.pop_front() {
            return Ok(sampled);
        }
        self.session.catch_up(None, |_| ())?;
        let sampled = self.sampler.sample(&self.session.logits.row)?;
        self.sampler.accept(sampled.token);
        Ok(sampled)
    }

    /// The last event; `held` is what the stop strings held back, after which half a character may be left in the decoder.
    fn finish(&mut self, reason: FinishReason, held: String) -> Event {
        self.finished = true;
        let stopped = matches!(reason, FinishReason::StopString(_));
        let tail = self.decoder.as_mut().filter(|_| !stopped).map(Decoder::finish).unwrap_or_default();
        Event::Finished { reason, text: held + &tail, stats: self.session.stats.clone() }
    }
}

impl Drop for Generation<'_> {
    /// Forgets what was computed ahead and never handed out.
    fn drop(&mut self) {
        self.session.cache.truncate(self.session.tokens.len());
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let event = self.step();
        self.finished |= event.is_err();
        Some(event)
    }
}
