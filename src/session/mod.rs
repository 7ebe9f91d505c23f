//! What a library user holds: a [`Model`], shared by any number of [`Session`]s, each a conversation or a text with its cache.
//!
//! ```no_run
//! use kinglet::{GenerateOptions, Model, SessionOptions};
//!
//! let model = Model::open("smollm2-135m-instruct-q4_1.gguf")?;
//! let mut session = model.session(SessionOptions::default())?;
//! session.feed_text("The capital of France is")?;
//! print!("{}", session.complete(GenerateOptions::greedy(16))?);
//! # Ok::<(), kinglet::Error>(())
//! ```
#![forbid(unsafe_code)]

mod budget;
mod chat;
mod embed;
mod encode;
mod generation;
mod model;
mod prompt_cache;
mod save;
mod speculation;
mod stats;
mod transcript;

pub use budget::{Budget, BudgetError, Room};
pub use embed::{EmbedOptions, Pooling};
pub use generation::{Event, GenerateOptions, Generation};
pub use model::{Model, ModelOptions};
pub use prompt_cache::PromptCache;
pub use stats::Stats;

use crate::attention::PAGE;
use crate::error::{Error, SessionError};
use crate::forward::{Output, Positions, Segment};
use crate::kv::{Cache, DEFAULT_SINKS, Policy};
use crate::text::Special;
use crate::types::TokenId;
use model::Shared;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use transcript::Transcript;

/// Rows of one forward pass at most: bounds its memory.
pub(crate) const BATCH: usize = 512;

/// Limits of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// Tokens it may hold; `None` is the trained context, or what a quarter of the machine's memory can hold.
    pub context: Option<usize>,
    /// What happens when more come; `None` is a ring with four sinks, or to stop where the model's positions can't go on for ever.
    pub policy: Option<Policy>,
}

/// What the last token of a sequence gives. The row keeps its length while it is not known: the next pass overwrites it, and has not to
/// clear a megabyte first (a vocabulary of 262 144).
#[derive(Debug, Clone, Default)]
struct Logits {
    row: Vec<f32>,
    known: bool,
}

/// One sequence of tokens, its cache, and the logits of what comes next.
pub struct Session {
    model: Arc<Shared>,
    /// What it may come to.
    room: Room,
    /// All tokens, of which the first `cache.len()` have been computed.
    tokens: Transcript,
    cache: Cache,
    positions: Arc<Positions>,
    /// Logits after the last token; empty until they are computed.
    logits: Logits,
    stats: Stats,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({} of {} tokens)", self.len(), self.context())
    }
}

impl Session {
    pub(crate) fn new(model: Arc<Shared>, options: &SessionOptions) -> Result<Session, Error> {
        let spec = model.decoder.spec();
        if spec.is_encoder() {
            return Err(SessionError::Encoder { family: spec.family }.into());
        }
        if options.context == Some(0) {
            return Err(SessionError::Option { option: "context", found: "0".into(), expected: "at least 1 token" }.into());
        }
        // A context of very few tokens holds no four sinks; who asks for sinks gets them or an error.
        let ends = spec.longest().is_some();
        let usual = |context: usize| if ends { Policy::Stop } else { Policy::Ring { sinks: DEFAULT_SINKS.min(context / 2) } };
        let policy = |context| options.policy.unwrap_or_else(|| usual(context));
        let room = budget::room(&model, options.context, policy)?;
        let (context, policy) = (room.context, policy(room.context));
        if spec.prefix() > context {
            let what = "tokens that see each other";
            return Err(SessionError::TooManyAnchors { what, anchored: spec.prefix(), bound: context }.into());
        }
        let positions = Arc::new(model.decoder.positions(&model.file, context)?);
        let cache = Cache::new(model.decoder.cache_shapes(), model.cache_format, context, policy)?;
        Ok(Session { model, room, tokens: Transcript::default(), cache, positions, logits: Logits::default(), stats: Stats::default() })
    }

    /// Tokens that have come, those that a full context has let go of among them.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether no token has come.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens that have come and that attention no longer sees: 0 until the context is full.
    pub fn forgotten(&self) -> usize {
        self.cache.ring().forgotten(self.cache.len())
    }

    /// What happens when the context is full.
    pub fn policy(&self) -> Policy {
        self.cache.policy()
    }

    /// Lets the tokens at the positions of `span` never leave the context.
    ///
    /// # Errors
    /// Where some of them have left already or have not come yet, or what never leaves would fill the context; as [`Session::feed`].
    pub fn pin(&mut self, span: Range<usize>) -> Result<(), Error> {
        self.catch_up_if_any()?;
        let len = self.cache.len();
        Ok(self.cache.ring_mut().pin(span, len)?)
    }

    /// Lets the tokens at the positions of `span` leave when their turn comes, which may be at once.
    pub fn unpin(&mut self, span: Range<usize>) {
        let len = self.cache.len();
        self.cache.ring_mut().unpin(&span, len);
    }

    /// The positions whose tokens never leave: sinks and what was pinned.
    pub fn pinned(&self) -> &[Range<usize>] {
        self.cache.ring().anchors()
    }

    /// What its positions do in each layer, resolved for its context.
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Tokens it may hold.
    pub fn context(&self) -> usize {
        self.cache.bound()
    }

    /// The tokens; of a session that has outgrown its context the newest ones, as many as the context holds or more.
    pub fn tokens(&self) -> &[TokenId] {
        self.tokens.tokens()
    }

    /// Bytes of the cache now.
    pub fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Bytes of the cache when it is full: where the oldest tokens leave, they do so batch by batch and page by page.
    pub fn cache_bound_bytes(&self) -> usize {
        let turning = if self.policy() == Policy::Stop { 0 } else { BATCH + PAGE };
        self.model.cache_bytes(self.context().saturating_add(turning))
    }

    /// The memory that it may come to.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// What has been computed so far and how long it took.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Adds `tokens` and computes them (a prefill).
    ///
    /// # Errors
    /// Where a token is outside the vocabulary, or they would not fit the context; the session is as before then.
    pub fn feed(&mut self, tokens: &[TokenId]) -> Result<(), Error> {
        self.feed_until(tokens, None, |_| ()).map(|_| ())
    }

    /// Tokenises `text` (with the model's begin-of-text token where the session is empty and the model wants one; special tokens in the
    /// text are text) and feeds it. Returns how many tokens that were.
    ///
    /// # Errors
    /// Where the model has no tokenizer, and as [`Session::feed`].
    pub fn feed_text(&mut self, text: &str) -> Result<usize, Error> {
        let tokenizer = self.model.tokenizer()?;
        let bos = tokenizer.bos().filter(|_| self.is_empty() && tokenizer.add_bos());
        let tokens: Vec<TokenId> = bos.into_iter().chain(tokenizer.encode(text, Special::Plain)?).collect();
        self.feed(&tokens)?;
        Ok(tokens.len())
    }

    /// As [`Session::feed`], in batches: `progress` hears how many tokens are done, and a raised `cancel` ends it within some tens of
    /// milliseconds (`false` is returned, and the session is as before).
    ///
    /// # Errors
    /// As [`Session::feed`].
    pub fn feed_until(&mut self, tokens: &[TokenId], cancel: Option<&AtomicBool>, progress: impl FnMut(usize)) -> Result<bool, Error> {
        self.model.decoder.knows(tokens)?;
        let before = self.len();
        // A single pass that fails has changed nothing. What leaves the context between several can be had back only from a copy, which
        // shares the pages.
        let len = before + tokens.len();
        let copy = (len > self.context() && len - self.cache.len() > self.rows_at_once()).then(|| self.fork());
        self.tokens.extend(tokens);
        let result = self.catch_up(cancel, progress);
        if !matches!(result, Ok(true)) {
            match copy {
                Some(copy) => *self = copy,
                None => self.truncate(before)?,
            }
        }
        result
    }

    /// Logits of the next token, `[n_vocab]`.
    ///
    /// # Errors
    /// Where the session is empty; as [`Session::feed`].
    pub fn logits(&mut self) -> Result<&[f32], Error> {
        self.catch_up(None, |_| ())?;
        Ok(&self.logits.row)
    }

    /// Feeds `tokens` and returns what each of the last `last` positions of them (all, where `None`) gives: logits `[rows, n_vocab]`, or
    /// hidden states `[rows, d_model]`.
    ///
    /// # Errors
    /// As [`Session::feed`].
    pub fn outputs_of(&mut self, tokens: &[TokenId], last: Option<usize>, output: Output) -> Result<Vec<f32>, Error> {
        Ok(self.outputs_until(tokens, last, output, None)?.unwrap_or_default())
    }

    /// As [`Session::outputs_of`]. `None` where `cancel` was raised; some of the tokens may have been fed then.
    ///
    /// # Errors
    /// As [`Session::feed`].
    pub fn outputs_until(
        &mut self,
        tokens: &[TokenId],
        last: Option<usize>,
        output: Output,
        cancel: Option<&AtomicBool>,
    ) -> Result<Option<Vec<f32>>, Error> {
        self.catch_up_if_any()?;
        let first = tokens.len() - last.unwrap_or(tokens.len()).min(tokens.len());
        let mut rows = Vec::new();
        let mut done = 0;
        while done < tokens.len() {
            let batch = &tokens[done..][..self.rows_at_once().min(tokens.len() - done)];
            done += batch.len();
            let segment = Segment { cache: &mut self.cache, tokens: batch, outputs: done.saturating_sub(first).min(batch.len()) };
            let at = rows.len();
            if !self.model.forward(&self.positions, &mut [segment], output, cancel, (&mut rows, at))? {
                self.logits.known = false;
                return Ok(None);
            }
            self.tokens.extend(batch);
        }
        self.drop_old();
        let n_vocab = self.model.decoder.spec().n_vocab;
        self.logits.known = output == Output::Logits && rows.len() >= n_vocab;
        if self.logits.known {
            self.logits.row.clear();
            self.logits.row.extend_from_slice(&rows[rows.len() - n_vocab..]);
        }
        Ok(Some(rows))
    }

    /// Rows of the next pass.
    fn rows_at_once(&self) -> usize {
        let together = if self.cache.len() == 0 { self.model.decoder.spec().prefix() } else { 0 };
        let depth = self.cache.len().min(self.context());
        self.model.decoder.rows_at_once(depth, self.room.batch, self.model.threads()).max(together)
    }

    /// A session that goes on from the same tokens by itself. The caches share what both hold.
    pub fn fork(&self) -> Session {
        Session {
            model: Arc::clone(&self.model),
            room: self.room,
            tokens: self.tokens.clone(),
            cache: self.cache.clone(),
            positions: Arc::clone(&self.positions),
            logits: self.logits.clone(),
            stats: self.stats.clone(),
        }
    }

    /// Forgets all tokens from position `len` on.
    ///
    /// # Errors
    /// Where the context has let go of tokens that would be seen again; the session is as before then.
    pub fn truncate(&mut self, len: usize) -> Result<(), Error> {
        if len == 0 {
            self.clear();
        } else if len < self.len() {
            let first = self.tokens.dropped();
            if first > 0 && !self.cache.can_truncate(len) {
                return Err(SessionError::NotHeld { span: len..len, len: self.len() }.into());
            }
            self.tokens.truncate(len);
            self.logits.known = false;
        }
        self.cache.truncate(self.len());
        Ok(())
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.tokens = Transcript::default();
        self.logits.known = false;
        self.cache.truncate(0);
    }

    /// How many tokens `tokens` and the session have in common from the beginning on; 0 where the session has dropped more than they are.
    pub fn shared_prefix(&self, tokens: &[TokenId]) -> usize {
        self.tokens.common_prefix(tokens)
    }

    /// Makes the session hold exactly `tokens`, computing only what comes after the longest prefix that it holds already. Returns
    /// how many tokens were reused.
    ///
    /// # Errors
    /// As [`Session::feed`]. A token that the model doesn't know is refused before anything is forgotten.
    pub fn replace(&mut self, tokens: &[TokenId], cancel: Option<&AtomicBool>, progress: impl FnMut(usize)) -> Result<usize, Error> {
        self.model.decoder.knows(tokens)?;
        let common = self.tokens.common_prefix(tokens);
        // The last token is computed again where its logits are not at hand.
        let keep = if common == tokens.len() && (!self.logits.known || common < self.len()) { common.saturating_sub(1) } else { common };
        if self.truncate(keep).is_err() {
            self.clear();
        }
        let reused = self.cache.len();
        self.stats.reused_tokens += reused;
        self.feed_until(&tokens[self.len()..], cancel, progress)?;
        Ok(reused)
    }

    fn catch_up_if_any(&mut self) -> Result<(), Error> {
        if self.cache.len() < self.tokens.len() { self.catch_up(None, |_| ()).map(|_| ()) } else { Ok(()) }
    }

    /// Computes the tokens that the cache does not hold yet, and the logits after the last. False where `cancel` was raised.
    fn catch_up(&mut self, cancel: Option<&AtomicBool>, mut progress: impl FnMut(usize)) -> Result<bool, Error> {
        if self.is_empty() {
            return Err(SessionError::Empty.into());
        }
        if self.cache.len() == self.tokens.len() && !self.logits.known {
            self.cache.truncate(self.tokens.len() - 1);
        }
        let (start, first) = (Instant::now(), self.cache.len());
        if self.policy() == Policy::Stop && self.tokens.len() > self.cache.bound() {
            let (bound, held) = (self.cache.bound(), self.cache.len());
            return Err(SessionError::ContextFull { bound, held, asked: self.tokens.len() - held }.into());
        }
        while self.cache.len() < self.tokens.len() {
            let at = self.cache.len();
            let rest = self.tokens.from(at);
            let batch = &rest[..rest.len().min(self.rows_at_once())];
            let outputs = usize::from(at + batch.len() == self.tokens.len());
            let segment = Segment { cache: &mut self.cache, tokens: batch, outputs };
            self.logits.known = false;
            if !self.model.forward(&self.positions, &mut [segment], Output::Logits, cancel, (&mut self.logits.row, 0))? {
                return Ok(false);
            }
            self.logits.known = outputs > 0;
            progress(self.cache.len() - first);
        }
        self.stats.add(self.tokens.len() - first, start.elapsed());
        self.drop_old();
        Ok(true)
    }

    /// Lets go of tokens that have left the context long ago.
    fn drop_old(&mut self) {
        if self.policy() != Policy::Stop {
            self.tokens.drop_old(self.context());
        }
    }
}

/// Feeds several sessions of one model in one batch: each gets its tokens, and its logits are ready afterwards.
///
/// # Errors
/// Where the sessions are of different models or context bounds, or one gets no token; as [`Session::feed`]. No session has changed then.
pub fn feed_together(sessions: &mut [(&mut Session, &[TokenId])]) -> Result<(), Error> {
    let Some((first, _)) = sessions.first() else { return Ok(()) };
    let (model, positions, context) = (Arc::clone(&first.model), Arc::clone(&first.positions), first.context());
    for (session, tokens) in sessions.iter_mut() {
        if tokens.is_empty() {
            return Err(SessionError::Empty.into());
        }
        if !Arc::ptr_eq(&session.model, &model) || session.context() != context {
            let expected = "sessions of one model with one context bound";
            return Err(SessionError::Option { option: "sessions", found: "sessions of several".into(), expected }.into());
        }
        session.catch_up_if_any()?;
    }
    let mut segments: Vec<Segment<'_>> =
        sessions.iter_mut().map(|(session, tokens)| Segment { cache: &mut session.cache, tokens, outputs: 1 }).collect();
    let mut logits = Vec::new();
    model.forward(&positions, &mut segments, Output::Logits, None, (&mut logits, 0))?;
    for ((session, tokens), logits) in sessions.iter_mut().zip(logits.chunks_exact(model.decoder.spec().n_vocab)) {
        session.tokens.extend(tokens);
        session.drop_old();
        session.logits = Logits { row: logits.to_vec(), known: true };
    }
    Ok(())
}
