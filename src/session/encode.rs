//! Models with an encoder and a decoder: a text is read as a whole, then another one is written that attends to it.
//!
//! ```no_run
//! use kinglet::{GenerateOptions, Model, SessionOptions};
//!
//! let mut session = Model::open("flan-t5-small.gguf")?.session(SessionOptions::default())?;
//! session.encode_text("translate English to German: The house is wonderful.")?;
//! print!("{}", session.complete(GenerateOptions::greedy(40))?);
//! # Ok::<(), kinglet::Error>(())
//! ```

use super::{Model, Session};
use crate::error::Error;
use crate::text::Special;
use crate::types::TokenId;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

impl Model {
    /// Whether texts are read by an encoder before a decoder writes: [`Session::encode`] comes before all else then.
    pub fn has_encoder(&self) -> bool {
        self.spec().encoder.is_some()
    }
}

impl Session {
    /// Reads `tokens` with the model's encoder, in one pass over all of them. The decoder begins again: what it held is forgotten, and so
    /// is what was read before. Forks share what was read.
    ///
    /// # Errors
    /// Where the model has no encoder, there are no tokens, or one is outside the vocabulary; the session is as before then.
    pub fn encode(&mut self, tokens: &[TokenId]) -> Result<(), Error> {
        self.encode_until(tokens, None).map(|_| ())
    }

    /// As [`Session::encode`]; a raised `cancel` ends it (`false` is returned, and the session is as before).
    ///
    /// # Errors
    /// As [`Session::encode`].
    pub fn encode_until(&mut self, tokens: &[TokenId], cancel: Option<&AtomicBool>) -> Result<bool, Error> {
        let begin = Instant::now();
        let Some(across) = self.model.encode(&self.positions, tokens, cancel)? else { return Ok(false) };
        self.clear();
        self.cache.set_across(across);
        self.stats.prompt_tokens += tokens.len();
        self.stats.prompt_time += begin.elapsed();
        Ok(true)
    }

    /// Tokenises `text` (special tokens in it are text), with the token that ends a text where the model wants one, and encodes it.
    /// Returns how many tokens that were.
    ///
    /// # Errors
    /// Where the model has no tokenizer, and as [`Session::encode`].
    pub fn encode_text(&mut self, text: &str) -> Result<usize, Error> {
        let tokens = self.encoder_tokens(text, Special::Plain)?;
        self.encode(&tokens)?;
        Ok(tokens.len())
    }

    /// What [`Session::encode_text`] encodes.
    ///
    /// # Errors
    /// Where the model has no tokenizer.
    pub fn encoder_tokens(&self, text: &str, special: Special) -> Result<Vec<TokenId>, Error> {
        let tokenizer = self.model.tokenizer()?;
        let bos = tokenizer.bos().filter(|_| tokenizer.add_bos());
        let eos = tokenizer.eos().filter(|_| tokenizer.add_eos());
        Ok(bos.into_iter().chain(tokenizer.encode(text, special)?).chain(eos).collect())
    }

    /// Tokens that the encoder has read.
    pub fn encoded(&self) -> usize {
        self.cache.across().map_or(0, |across| across.len)
    }

    /// Whether the next token is the first of a decoder's text, whose word has a space before it that is not part of the text.
    pub(super) fn begins_to_decode(&self) -> bool {
        self.encoded() > 0 && self.len() == 1
    }

    /// Gives the decoder its first token, where an encoder has read a text and the decoder has none.
    pub(super) fn begin_decoding(&mut self) {
        if let (Some(encoder), true) = (&self.model.decoder.spec().encoder, self.is_empty() && self.encoded() > 0) {
            self.tokens.push(TokenId(encoder.decoder_start));
        }
    }
}
