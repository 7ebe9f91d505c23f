//! Which tokens of a stream a bounded cache keeps, and where a query stands to them: the first tokens and pinned spans stay for ever, the
//! last ones turn (StreamingLLM, Xiao et al. 2024, arXiv:2309.17453, §3.2). Positions count inside the cache: what left it leaves no gap.
//!
//! Keys are never turned again. A kept span that has lost `e` tokens between itself and the query is met by a query that is turned
//! for `e` positions less; attention depends on differences only, so this is the paper's scheme, at no cost for a token that leaves.

use crate::error::SessionError;
use std::ops::Range;

/// What happens when a cache reaches its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Policy {
    /// The oldest tokens leave, but for the first `sinks`.
    Ring {
        /// First tokens that stay.
        sinks: usize,
    },
    /// The oldest tokens leave, whatever they are: what streaming was before attention sinks were known.
    Window,
    /// An error.
    Stop,
}

/// The paper's four.
pub const DEFAULT_SINKS: usize = 4;

/// Tokens that a query sees, and the position at which it stands to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Positions of the tokens.
    pub keys: Range<usize>,
    /// The query's position in their count.
    pub at: usize,
}

/// The tokens that stay, and how many there may be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ring {
    bound: usize,
    sinks: usize,
    /// Spans that never leave, in order, apart from each other.
    anchors: Vec<Range<usize>>,
    /// Tokens before this one have left, unless they are anchored; only unpinning makes it differ from what follows from the bound.
    gone: usize,
}

impl Ring {
    /// Keeps `bound` tokens, the first `sinks` of all among them.
    ///
    /// # Errors
    /// Where the sinks leave no room for others.
    pub fn new(bound: usize, sinks: usize) -> Result<Ring, SessionError> {
        if sinks >= bound {
            return Err(SessionError::TooManyAnchors { what: "sinks", anchored: sinks, bound });
        }
        let anchors = if sinks == 0 { Vec::new() } else { std::iter::once(0..sinks).collect() };
        Ok(Ring { bound, sinks, anchors, gone: 0 })
    }

    /// Tokens kept at most.
    pub fn bound(&self) -> usize {
        self.bound
    }

    /// Spans that never leave, in order.
    pub fn anchors(&self) -> &[Range<usize>] {
        &self.anchors
    }

    /// Lets the tokens of `span` never leave, where `len` tokens have come so far.
    ///
    /// # Errors
    /// Where some of them have left already or have not come yet, or the anchors would leave no room for others.
    pub fn pin(&mut self, span: Range<usize>, len: usize) -> Result<(), SessionError> {
        if span.is_empty() {
            return Ok(());
        }
        if span.end > len || span.clone().any(|token| !self.holds(token, len)) {
            return Err(SessionError::NotHeld { span, len });
        }
        let mut anchors = self.anchors.clone();
        anchors.push(span);
        anchors.sort_by_key(|anchor| anchor.start);
        let mut joined: Vec<Range<usize>> = Vec::new();
        for anchor in anchors {
            match joined.last_mut().filter(|last| last.end >= anchor.start) {
                Some(last) => last.end = last.end.max(anchor.end),
                None => joined.push(anchor),
            }
        }
        let anchored = joined.iter().map(Range::len).sum();
        if anchored >= self.bound {
            return Err(SessionError::TooManyAnchors { what: "pinned tokens", anchored, bound: self.bound });
        }
        self.anchors = joined;
        Ok(())
    }

    /// Lets the tokens of `span` leave again, where `len` tokens have come so far; those that the window has passed are gone then.
    pub fn unpin(&mut self, span: &Range<usize>, len: usize) {
        self.gone = self.window_start(len.saturating_sub(1));
        let outside = |anchor: &Range<usize>| {
            [anchor.start..anchor.end.min(span.start), anchor.start.max(span.end)..anchor.end].into_iter().filter(|left| !left.is_empty())
        };
        self.anchors = self.anchors.iter().flat_map(outside).collect();
    }

    /// Whether the parts of a ring that was read from a file fit each other, and `len` tokens.
    pub fn is_consistent(&self, len: usize) -> bool {
        let end = len.max(self.sinks);
        let apart = self.anchors.windows(2).all(|pair| pair[0].end < pair[1].start);
        let inside = self.anchors.iter().all(|anchor| anchor.start < anchor.end && anchor.end <= end);
        let anchored: u128 = self.anchors.iter().map(|anchor| anchor.len() as u128).sum();
        let sizes_make_sense = len >> 48 == 0 && self.bound >> 62 == 0;
        sizes_make_sense && apart && inside && self.gone <= len && anchored < self.bound as u128 && self.sinks < self.bound
    }

    /// Forgets pins of tokens from position `len` on.
    pub fn truncate(&mut self, len: usize) {
        let end = len.max(self.sinks);
        self.anchors.iter_mut().for_each(|anchor| anchor.end = anchor.end.min(end));
        self.anchors.retain(|anchor| !anchor.is_empty());
    }

    /// Whether token `token` is still there when `len` have come.
    pub fn holds(&self, token: usize, len: usize) -> bool {
        token < len && (token >= self.window_start(len - 1) || self.anchors.iter().any(|anchor| anchor.contains(&token)))
    }

    /// Tokens that have left when `len` have come.
    pub fn forgotten(&self, len: usize) -> usize {
        if len == 0 { 0 } else { self.missing_before(self.window_start(len - 1)) }
    }

    /// The oldest token that is there for its own sake, and not as an anchor, when the token at `position` is the newest.
    pub fn window_start(&self, position: usize) -> usize {
        let mut start = (position + 1).saturating_sub(self.bound);
        for anchor in &self.anchors {
            if anchor.start < start {
                start += anchor.len();
            }
        }
        start.max(self.gone)
    }

    /// Tokens before `token` that are not anchored.
    fn missing_before(&self, token: usize) -> usize {
        token - self.anchors.iter().map(|anchor| anchor.end.min(token) - anchor.start.min(token)).sum::<usize>()
    }

    /// What the query at `position` sees of the window, or (`Some`) of the anchor of that number. An anchor that the window still touches
    /// is part of what the window gives.
    pub fn sight(&self, position: usize, anchor: Option<usize>) -> Sight {
        let start = self.window_start(position);
        match anchor {
            None => {
                let touching = self.anchors.iter().rev().find(|anchor| anchor.start < start && anchor.end >= start);
                Sight { keys: touching.map_or(start, |anchor| anchor.start)..position + 1, at: position }
            }
            Some(number) => {
                let anchor = &self.anchors[number];
                let keys = if anchor.end < start { anchor.clone() } else { 0..0 };
                let lost = self.missing_before(start) - self.missing_before(anchor.start.min(start));
                Sight { keys, at: position - lost }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a query at `position` sees, token by token with its position in the count of the query's own `at`.
    fn seen(ring: &Ring, position: usize) -> Vec<(usize, usize)> {
        let sights = (0..ring.anchors().len()).map(Some).chain([None]).map(|anchor| ring.sight(position, anchor));
        sights.flat_map(|sight| sight.keys.clone().map(move |key| (key, sight.at - key))).collect()
    }

    proptest! {
        #[test]
        fn the_kept_tokens_stand_as_if_nothing_else_had_been(
            bound in 2usize..40,
            sinks in 0usize..8,
            pin in 0usize..20,
            width in 0usize..6,
            len in 1usize..200,
        ) {
            prop_assume!(sinks + width < bound);
            let mut ring = Ring::new(bound, sinks).unwrap();
            if pin + width <= len.min(bound) {
                ring.pin(pin..pin + width, len.min(bound)).unwrap();
            }
            let seen = seen(&ring, len - 1);
            prop_assert_eq!(seen.len(), len.min(bound));
            // Distances count the kept tokens alone, which stand side by side.
            for (place, (token, distance)) in seen.iter().rev().enumerate() {
                prop_assert_eq!(*distance, place);
                prop_assert!(ring.holds(*token, len));
            }
            prop_assert_eq!(ring.forgotten(len), len - seen.len());
            prop_assert!((0..sinks.min(len)).all(|sink| seen.iter().any(|(token, _)| *token == sink)));
        }
    }

    #[test]
    fn before_the_bound_a_query_sees_everything_as_one_span() {
        let mut ring = Ring::new(100, 4).unwrap();
        ring.pin(10..20, 50).unwrap();
        assert_eq!(ring.sight(99, None), Sight { keys: 0..100, at: 99 });
        assert!(ring.sight(99, Some(0)).keys.is_empty() && ring.sight(99, Some(1)).keys.is_empty());
    }

    #[test]
    fn unpinned_tokens_that_the_window_has_passed_are_gone() {
        let mut ring = Ring::new(10, 2).unwrap();
        ring.pin(4..6, 8).unwrap();
        assert_eq!(seen(&ring, 19).iter().map(|(token, _)| *token).collect::<Vec<_>>(), [0, 1, 4, 5, 14, 15, 16, 17, 18, 19]);
        ring.unpin(&(4..6), 20);
        assert_eq!(seen(&ring, 20).iter().map(|(token, _)| *token).collect::<Vec<_>>(), [0, 1, 14, 15, 16, 17, 18, 19, 20]);
        assert!(!ring.holds(5, 21));
    }

    #[test]
    fn anchors_must_leave_room_and_be_there() {
        assert!(Ring::new(4, 4).is_err());
        let mut ring = Ring::new(10, 2).unwrap();
        assert!(ring.pin(2..11, 10).is_err());
        assert!(ring.pin(2..10, 10).is_err());
        assert!(ring.pin(3..4, 30).is_err());
        assert!(ring.pin(20..23, 25).is_ok());
    }
}
