//! Generation as an iterator of typed events: sample, look for an end, hand out the text, compute the token only when the next one is
//! asked for.

use super::{Session, Stats};
use crate::error::Error;
use crate::generate::{FinishReason, Sampled, Sampler, SamplerOptions, StopStrings};
use crate::text::Decoder;
use crate::types::TokenId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How an answer is made and when it ends.
#[derive(Debug, Clone, Default)]
pub struct GenerateOptions {
    /// How tokens are chosen.
    pub sampler: SamplerOptions,
    /// Tokens at most; `None` is as many as the context holds.
    pub max_tokens: Option<usize>,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Go on past the model's end-of-generation tokens, which are never sampled then.
    pub ignore_eos: bool,
    /// Raised from elsewhere, ends the answer after the token at hand.
    pub cancel: Option<Arc<AtomicBool>>,
}

impl GenerateOptions {
    /// The likeliest token each time, `max_tokens` of them at most.
    pub fn greedy(max_tokens: usize) -> Self {
        GenerateOptions { sampler: SamplerOptions::greedy(), max_tokens: Some(max_tokens), ..Self::default() }
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
        /// ln of its probability before any sampler changed it.
        logprob: f32,
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
    options: GenerateOptions,
    sampler: Sampler,
    stops: StopStrings,
    decoder: Option<Decoder>,
    generated: usize,
    finished: bool,
}

impl Session {
    /// Goes on from the session's tokens.
    ///
    /// # Errors
    /// Where the session is empty or an option is out of its range.
    pub fn generate(&mut self, mut options: GenerateOptions) -> Result<Generation<'_>, Error> {
        self.catch_up(None, |_| ())?;
        let model = Arc::clone(&self.model);
        // A model without a tokenizer generates tokens without text.
        let tokenizer = model.tokenizer().ok();
        if options.ignore_eos {
            let eog = tokenizer.iter().flat_map(|tokenizer| tokenizer.eog());
            options.sampler.logit_bias.extend(eog.map(|&token| (token, f32::NEG_INFINITY)));
        }
        let mut sampler = Sampler::new(options.sampler.clone(), model.decoder.spec().n_vocab)?;
        self.tokens.iter().for_each(|&token| sampler.accept(token));
        let stops = StopStrings::new(options.stop.clone())?;
        let decoder = tokenizer.map(|tokenizer| tokenizer.decoder());
        Ok(Generation { session: self, options, sampler, stops, decoder, generated: 0, finished: false })
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
        if self.options.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            return Ok(self.finish(FinishReason::Cancelled));
        }
        if self.options.max_tokens.is_some_and(|max| self.generated >= max) || self.session.len() >= self.session.context() {
            return Ok(self.finish(FinishReason::Length));
        }
        self.session.catch_up(None, |_| ())?;
        let Sampled { token, logprob, top } = self.sampler.sample(&self.session.logits)?;
        if !self.options.ignore_eos && self.session.model.tokenizer().is_ok_and(|tokenizer| tokenizer.is_eog(token)) {
            return Ok(self.finish(FinishReason::Stop(token)));
        }
        self.sampler.accept(token);
        self.session.tokens.push(token);
        self.generated += 1;
        let text = self.decoder.as_mut().map(|decoder| decoder.push(token)).unwrap_or_default();
        let pushed = self.stops.push(&text);
        if let Some(stop) = pushed.stop {
            self.finished = true;
            let stats = self.session.stats.clone();
            return Ok(Event::Finished { reason: FinishReason::StopString(stop), text: pushed.emit, stats });
        }
        Ok(Event::Token { id: token, text: pushed.emit, logprob, top })
    }

    fn finish(&mut self, reason: FinishReason) -> Event {
        self.finished = true;
        let tail = self.decoder.as_mut().map(Decoder::finish).unwrap_or_default();
        let pushed = self.stops.push(&tail);
        let held = if pushed.stop.is_none() { self.stops.finish() } else { String::new() };
        Event::Finished { reason, text: pushed.emit + &held, stats: self.session.stats.clone() }
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
