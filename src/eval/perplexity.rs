//! Perplexity by llama-perplexity's method: the text is cut into chunks of the context's length, each is computed by itself (its first
//! token replaced by the begin-of-text token where the model wants one), and the second half of each is scored, so that every scored
//! token has at least half a context before it.

use crate::error::{Error, SessionError};
use crate::forward::Output;
use crate::session::{BATCH, Session};
use crate::types::TokenId;
use std::sync::atomic::AtomicBool;

/// A mean over scored tokens, growing chunk by chunk.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Perplexity {
    /// Tokens scored.
    pub tokens: usize,
    sum: f64,
    squares: f64,
}

impl Perplexity {
    /// `exp` of the mean negative log-likelihood.
    pub fn value(&self) -> f64 {
        self.mean().exp()
    }

    /// The standard error of [`Perplexity::value`].
    pub fn error(&self) -> f64 {
        let n = self.tokens as f64;
        let variance = (self.squares / n - self.mean().powi(2)).max(0.0);
        self.value() * (variance / (n - 1.0)).sqrt()
    }

    /// The mean over the tokens of both.
    pub fn and(&self, other: &Perplexity) -> Perplexity {
        let Perplexity { tokens, sum, squares } = *other;
        Perplexity { tokens: self.tokens + tokens, sum: self.sum + sum, squares: self.squares + squares }
    }

    fn mean(&self) -> f64 {
        self.sum / self.tokens as f64
    }

    pub(super) fn add(&mut self, nll: f64) {
        self.tokens += 1;
        self.sum += nll;
        self.squares += nll * nll;
    }
}

/// Scores `tokens` in chunks of `context` with an empty `session`; `bos` replaces each chunk's first token. `progress` hears the running
/// mean after each chunk (done, of all) and ends the measurement by returning false; a raised `cancel` ends it in the middle of a chunk,
/// which does not count then.
///
/// # Errors
/// Where there are fewer tokens than two chunks, and as [`Session::feed`].
pub fn perplexity(
    session: &mut Session,
    tokens: &[TokenId],
    context: usize,
    bos: Option<TokenId>,
    cancel: Option<&AtomicBool>,
    mut progress: impl FnMut(usize, usize, &Perplexity) -> bool,
) -> Result<Perplexity, Error> {
    if context < 4 || tokens.len() < 2 * context {
        let found = format!("{} tokens for chunks of {context}", tokens.len());
        return Err(SessionError::Option { option: "text", found, expected: "at least two chunks of 4 tokens or more" }.into());
    }
    let mut total = Perplexity::default();
    let chunks = tokens.len() / context;
    for (index, chunk) in tokens.chunks_exact(context).enumerate() {
        let Some(with_this) = score(session, chunk, bos, cancel, total)? else { break };
        total = with_this;
        if !progress(index + 1, chunks, &total) {
            break;
        }
    }
    session.clear();
    Ok(total)
}

/// Scores the second half of one chunk and adds it to `total`; `None` where `cancel` was raised.
fn score(
    session: &mut Session,
    chunk: &[TokenId],
    bos: Option<TokenId>,
    cancel: Option<&AtomicBool>,
    mut total: Perplexity,
) -> Result<Option<Perplexity>, Error> {
    session.clear();
    let mut tokens = chunk.to_vec();
    if let Some(bos) = bos {
        tokens[0] = bos;
    }
    let half = chunk.len() / 2;
    if !session.feed_until(&tokens[..half], cancel, |_| ())? {
        return Ok(None);
    }
    let mut at = half;
    // The last token is only ever predicted. Batches bound the memory of their logits.
    for batch in tokens[half..chunk.len() - 1].chunks(BATCH / 4) {
        let Some(logits) = session.outputs_until(batch, None, Output::Logits, cancel)? else { return Ok(None) };
        for row in logits.chunks_exact(logits.len() / batch.len()) {
            at += 1;
            total.add(negative_log_likelihood(row, chunk[at]));
        }
    }
    Ok(Some(total))
}

/// `−ln softmax(logits)[token]`.
pub(super) fn negative_log_likelihood(logits: &[f32], token: TokenId) -> f64 {
    let max = logits.iter().fold(f32::NEG_INFINITY, |max, &x| max.max(x));
    let sum: f64 = logits.iter().map(|&x| ((x - max) as f64).exp()).sum();
    sum.ln() + (max - logits[token.index()]) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_and_its_error_are_those_of_the_samples() {
        let mut total = Perplexity::default();
        [1.0, 2.0, 3.0, 4.0].into_iter().for_each(|nll| total.add(nll));
        assert!((total.value() - 2.5f64.exp()).abs() < 1e-12);
        assert!((total.error() - 2.5f64.exp() * (1.25f64 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn likelihoods_are_those_of_the_softmax() {
        let logits = [1.0, 2.0, 3.0];
        let all: f64 = (0..3).map(|i| (-negative_log_likelihood(&logits, TokenId(i))).exp()).sum();
        assert!((all - 1.0).abs() < 1e-12);
        assert!((negative_log_likelihood(&logits, TokenId(2)) - 0.407_605_964_444_380_1).abs() < 1e-12);
    }
}
