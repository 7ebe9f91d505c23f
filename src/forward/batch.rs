//! The rows of one forward pass: tokens of one or several sequences, those of a sequence side by side and in order.

use crate::kv::{Cache, Ring};
use crate::types::TokenId;
use std::ops::Range;

/// New tokens of one sequence, and which of them need logits.
#[derive(Debug)]
pub struct Segment<'a> {
    /// What the sequence holds already; the tokens are added to it.
    pub cache: &'a mut Cache,
    /// The new tokens, at least one.
    pub tokens: &'a [TokenId],
    /// The last so many of them get an output row.
    pub outputs: usize,
}

/// Where a segment's rows lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Row of its first token in the batch.
    pub first_row: usize,
    /// Rows.
    pub len: usize,
    /// Position of its first token in the sequence.
    pub start: usize,
    /// What the sequence keeps.
    pub ring: Ring,
    /// Tokens of another text that its queries see in cross-attention.
    pub across: usize,
}

impl Span {
    /// Anchors that some of its queries no longer see as part of the window.
    fn anchors_apart(&self) -> usize {
        if self.ring.forgotten(self.start + self.len) == 0 { 0 } else { self.ring.anchors().len() }
    }

    /// Positions of its tokens in the sequence.
    pub fn positions(&self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

/// What a query stands to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The window (`None`), or an anchor.
    pub anchor: Option<usize>,
    /// The keys beyond its neighbours, where those are met in another way (see [`kinglet_models::Grouping`]).
    pub far: bool,
}

impl Standing {
    /// The window, at its own position.
    pub const WINDOW: Standing = Standing { anchor: None, far: false };
}

/// All rows of a batch.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    tokens: Vec<TokenId>,
    spans: Vec<Span>,
    outputs: Vec<usize>,
}

impl Rows {
    /// The rows of `segments`, one segment after the other.
    pub fn new(segments: &[Segment<'_>]) -> Rows {
        let mut rows = Rows::default();
        for segment in segments {
            let (first_row, len) = (rows.tokens.len(), segment.tokens.len());
            rows.tokens.extend(segment.tokens);
            let across = segment.cache.across().map_or(0, |across| across.len);
            rows.spans.push(Span { first_row, len, start: segment.cache.len(), ring: segment.cache.ring().clone(), across });
            rows.outputs.extend(first_row + len - segment.outputs.min(len)..first_row + len);
        }
        rows
    }

    /// Rows in all.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The token of each row.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// The sequences' shares, in the order of the segments.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Rows that need an output.
    pub fn outputs(&self) -> &[usize] {
        &self.outputs
    }

    /// The position of each row in its sequence.
    pub fn positions(&self) -> impl Iterator<Item = u64> {
        self.positions_before(None)
    }

    /// The position at which each row's query stands to the window (its own), or to the anchor of that number.
    pub fn positions_before(&self, anchor: Option<usize>) -> impl Iterator<Item = u64> {
        self.spans.iter().flat_map(move |span| {
            let anchor = anchor.filter(|&anchor| anchor < span.ring.anchors().len());
            span.positions().map(move |position| span.ring.sight(position, anchor).at as u64)
        })
    }

    /// The anchors that have been left behind in some sequence, one after the other, then the window.
    pub fn anchors_and_window(&self) -> impl Iterator<Item = Option<usize>> + use<> {
        let apart = self.spans.iter().map(Span::anchors_apart).max().unwrap_or(0);
        (0..apart).map(Some).chain([None])
    }
}
