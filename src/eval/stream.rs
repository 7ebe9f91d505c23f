//! How well each token of a text is predicted, by its position: over pieces of one length, to compare position schemes inside and beyond
//! what a model was trained for, or over one stream without an end, to compare what bounded caches keep. Time and memory are measured
//! on the way.

use super::meter::{self, Meter};
use super::perplexity::{Perplexity, negative_log_likelihood};
use crate::error::{Error, SessionError};
use crate::forward::Output;
use crate::kv::Policy;
use crate::session::Session;
use crate::types::TokenId;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Rows of a pass whose logits are looked at: bounds their memory, which is a vocabulary wide.
const ROWS: usize = 64;

/// Positions side by side, and what was measured there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// The first position.
    pub start: usize,
    /// The position after the last one.
    pub end: usize,
    /// How well the tokens at these positions were predicted.
    pub score: Perplexity,
    /// Time that their prediction took.
    pub time: Duration,
    /// Bytes of memory that the process held when the last of them were computed; `None` where the system does not tell.
    pub resident: Option<u64>,
}

/// Positions in bins of one width, as far as the measurement came.
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    width: usize,
    bins: Vec<Bin>,
}

/// How a measurement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All of it is measured.
    Done,
    /// The cache was full, and its policy is to stop.
    Full,
    /// It was cancelled.
    Cancelled,
}

/// What a stream gave.
#[derive(Debug, Clone)]
pub struct Streamed {
    /// By position.
    pub bins: Bins,
    /// Time and memory of each token past the cache's bound.
    pub meter: Meter,
    /// How it ended.
    pub end: End,
}

impl Bins {
    /// Bins of `width` positions each, none measured so far.
    ///
    /// # Panics
    /// Where `width` is 0.
    pub fn new(width: usize) -> Bins {
        assert!(width > 0, "a bin holds at least one position");
        Bins { width, bins: Vec::new() }
    }

    /// All bins up to the last position that was measured, in order.
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// Positions of a bin.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All bins together.
    pub fn total(&self) -> Perplexity {
        self.bins.iter().fold(Perplexity::default(), |total, bin| total.and(&bin.score))
    }

    /// Adds what was scored, and what memory the process holds now.
    fn add_all(&mut self, scored: &Scored<'_>) {
        let resident = meter::resident();
        for (position, &nll) in (scored.first..).zip(scored.nll) {
            let bin = self.at(position);
            bin.score.add(nll);
            bin.time += scored.time;
            bin.resident = resident;
        }
    }

    /// The bin of `position`, made where it is not there yet.
    fn at(&mut self, position: usize) -> &mut Bin {
        for index in self.bins.len()..=position / self.width {
            let (start, end) = (index * self.width, (index + 1) * self.width);
            self.bins.push(Bin { start, end, score: Perplexity::default(), time: Duration::ZERO, resident: None });
        }
        &mut self.bins[position / self.width]
    }
}

/// Tokens that were predicted in one pass.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    /// The position of the first of them.
    pub first: usize,
    /// −ln of the probability that each had.
    pub nll: &'a [f64],
    /// Time of the pass, by token.
    pub time: Duration,
}

/// Feeds `tokens` to a `session` in batches of `batch`, and tells `each` how well every one but the first was predicted.
///
/// # Errors
/// As [`Session::feed`], but for a full context, which ends it.
pub fn likelihoods(
    session: &mut Session,
    tokens: &[TokenId],
    batch: usize,
    cancel: Option<&AtomicBool>,
    mut each: impl FnMut(&Scored<'_>),
) -> Result<End, Error> {
    let mut first = 1;
    // The last token is only ever predicted.
    let mut rest = &tokens[..tokens.len().saturating_sub(1)];
    while !rest.is_empty() {
        let room = if session.policy() == Policy::Stop { session.context() - session.len() } else { batch };
        if room == 0 {
            return Ok(End::Full);
        }
        let (fed, later) = rest.split_at(batch.clamp(1, room).min(rest.len()));
        let begin = Instant::now();
        let Some(rows) = session.outputs_until(fed, None, Output::Logits, cancel)? else { return Ok(End::Cancelled) };
        let time = begin.elapsed() / fed.len() as u32;
        let rows = rows.chunks_exact(rows.len() / fed.len());
        let nll: Vec<f64> = rows.zip(&tokens[first..]).map(|(row, &token)| negative_log_likelihood(row, token)).collect();
        each(&Scored { first, nll: &nll, time });
        first += fed.len();
        rest = later;
    }
    Ok(End::Done)
}

/// How well tokens are predicted at each position up to `length`: `tokens` in pieces of `length`, each by itself in an empty `session`;
/// `bos` replaces each piece's first token. A piece that was not finished counts as far as it came. `progress` hears how many tokens
/// are done, and what they gave.
///
/// # Errors
/// Where there are fewer tokens than one piece, and as [`Session::feed`].
pub fn by_position(
    session: &mut Session,
    tokens: &[TokenId],
    (length, width): (usize, usize),
    bos: Option<TokenId>,
    cancel: Option<&AtomicBool>,
    mut progress: impl FnMut(usize, &Bins),
) -> Result<(Bins, End), Error> {
    if length < 2 || tokens.len() < length || width == 0 {
        let found = format!("{} tokens for pieces of {length} in bins of {width}", tokens.len());
        return Err(SessionError::Option { option: "text", found, expected: "at least one piece of 2 tokens or more" }.into());
    }
    let mut bins = Bins::new(width);
    for (index, piece) in tokens.chunks_exact(length).enumerate() {
        session.clear();
        let mut piece = piece.to_vec();
        piece[0] = bos.unwrap_or(piece[0]);
        let end = likelihoods(session, &piece, ROWS, cancel, |scored| {
            bins.add_all(scored);
            progress(index * length + scored.first + scored.nll.len(), &bins);
        })?;
        if end != End::Done {
            return Ok((bins, end));
        }
    }
    session.clear();
    Ok((bins, End::Done))
}

/// How well tokens are predicted along one stream of `tokens` through `session`, `batch` of them in a pass, in bins of `width` positions.
/// `progress` hears how many tokens are done, and what they gave.
///
/// # Errors
/// As [`Session::feed`]; a session whose policy is to stop ends the stream at its bound instead.
pub fn stream(
    session: &mut Session,
    tokens: &[TokenId],
    (width, batch): (usize, usize),
    cancel: Option<&AtomicBool>,
    mut progress: impl FnMut(usize, &Bins),
) -> Result<Streamed, Error> {
    let (mut bins, mut meter) = (Bins::new(width), Meter::after(session.context()));
    let end = likelihoods(session, tokens, batch, cancel, |scored| {
        bins.add_all(scored);
        meter.add(scored.nll.len(), scored.time);
        progress(scored.first + scored.nll.len(), &bins);
    })?;
    Ok(Streamed { bins, meter, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_fall_into_their_bins() {
        let mut bins = Bins::new(10);
        let time = Duration::from_millis(1);
        bins.add_all(&Scored { first: 1, nll: &[2.0; 12], time });
        bins.add_all(&Scored { first: 30, nll: &[4.0], time });
        let counts: Vec<usize> = bins.bins().iter().map(|bin| bin.score.tokens).collect();
        assert_eq!(counts, [9, 3, 0, 1]);
        assert_eq!(bins.bins()[1].time, 3 * time);
        assert!((bins.bins()[3].score.value() - 4f64.exp()).abs() < 1e-9);
        assert!((bins.total().value() - (28.0f64 / 13.0).exp()).abs() < 1e-12);
        assert_eq!((bins.bins()[2].start, bins.bins()[2].end), (20, 30));
    }
}
