//! Finding special tokens in a text. Only what the caller allows is found: with [`Special::Plain`] a control token's text is text.
//!
//! As in llama.cpp, longer tokens go first: each claims its places in what is still text, from left to right. Tokens are not searched
//! one by one (Gemma has 6 414 of them): all of one length are looked up together, at the places where one of them may begin.

use super::vocabulary::{TokenKind, Vocabulary};
use crate::types::TokenId;
use std::ops::Range;

/// Whether the texts of special tokens are special tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// `<|im_end|>` is a control token: for templates and for prompts that a program writes.
    Match,
    /// `<|im_end|>` is ten characters of text: for everything a user writes. Tokens that the vocabulary calls user-defined (runs of
    /// newlines, HTML tags) are matched all the same: they are text.
    Plain,
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fragment {
    /// Bytes of the text that are to be tokenized.
    Text(Range<usize>),
    /// A special token.
    Token(TokenId),
}

/// The special tokens of a vocabulary, for one of the two ways.
#[derive(Debug, Default)]
pub(crate) struct Matcher {
    /// Longest first.
    lengths: Vec<Length>,
    /// White space before these tokens belongs to them.
    strips_left: Vec<TokenId>,
    /// White space after these tokens belongs to them.
    strips_right: Vec<TokenId>,
}

/// All special tokens of one length.
#[derive(Debug)]
struct Length {
    bytes: usize,
    kinds: fn(TokenKind) -> bool,
    /// The bytes one of them begins with.
    first: Box<[bool; 256]>,
}

impl Matcher {
    /// The matcher for the tokens that are special with `special`.
    pub(crate) fn new(vocabulary: &Vocabulary, special: Special) -> Self {
        match special {
            Special::Match => Matcher::of_kinds(vocabulary, |kind| kind.is_special() || kind == TokenKind::UserDefined),
            Special::Plain => Matcher::of_kinds(vocabulary, |kind| kind == TokenKind::UserDefined),
        }
    }

    /// The matcher for the tokens that are never to be made from a user's text.
    pub(crate) fn of_control(vocabulary: &Vocabulary) -> Self {
        Matcher::of_kinds(vocabulary, TokenKind::is_special)
    }

    fn of_kinds(vocabulary: &Vocabulary, kinds: fn(TokenKind) -> bool) -> Self {
        let mut lengths: Vec<Length> = Vec::new();
        for text in vocabulary.of_kind(kinds).map(|id| vocabulary.text(id)).filter(|text| !text.is_empty()) {
            let length = match lengths.iter_mut().find(|length| length.bytes == text.len()) {
                Some(length) => length,
                None => {
                    lengths.push(Length { bytes: text.len(), kinds, first: Box::new([false; 256]) });
                    lengths.last_mut().expect("one was pushed")
                }
            };
            length.first[usize::from(text[0])] = true;
        }
        lengths.sort_by_key(|length| std::cmp::Reverse(length.bytes));
        Matcher { lengths, ..Matcher::default() }
    }

    /// The same, with tokens that take the white space before or after them.
    pub(crate) fn stripping(self, strips_left: Vec<TokenId>, strips_right: Vec<TokenId>) -> Self {
        Matcher { strips_left, strips_right, ..self }
    }

    /// `text` in fragments. No special token begins at one of the `barriers`, ascending offsets into `text`.
    pub(crate) fn split(&self, vocabulary: &Vocabulary, text: &str, barriers: &[usize]) -> Vec<Fragment> {
        let mut fragments = vec![Fragment::Text(0..text.len())];
        for length in &self.lengths {
            let mut next = Vec::with_capacity(fragments.len());
            for fragment in fragments {
                match fragment {
                    Fragment::Text(range) => self.claim(length, vocabulary, text, barriers, range, &mut next),
                    token => next.push(token),
                }
            }
            fragments = next;
        }
        fragments.retain(|fragment| !matches!(fragment, Fragment::Text(range) if range.is_empty()));
        fragments
    }

    /// Cuts the tokens of one length out of a piece of text.
    fn claim(
        &self,
        length: &Length,
        vocabulary: &Vocabulary,
        text: &str,
        barriers: &[usize],
        range: Range<usize>,
        into: &mut Vec<Fragment>,
    ) {
        let mut rest = range;
        let mut at = rest.start;
        while let Some((start, id)) = length.find(vocabulary, text, at..rest.end) {
            if barriers.binary_search(&start).is_ok() {
                at = start + 1;
                continue;
            }
            let before = &text[rest.start..start];
            let before = if self.strips_left.contains(&id) { before.trim_ascii_end() } else { before };
            if !before.is_empty() {
                into.push(Fragment::Text(rest.start..rest.start + before.len()));
            }
            into.push(Fragment::Token(id));
            let after = &text[start + length.bytes..rest.end];
            let stripped = if self.strips_right.contains(&id) { after.trim_ascii_start().len() } else { after.len() };
            rest.start = rest.end - stripped;
            at = rest.start;
        }
        if !rest.is_empty() {
            into.push(Fragment::Text(rest));
        }
    }

    /// Where special tokens begin in `text`, overlapping ones too, ascending.
    pub(crate) fn starts(&self, vocabulary: &Vocabulary, text: &str) -> Vec<usize> {
        let mut starts = Vec::new();
        for length in &self.lengths {
            let mut at = 0;
            while let Some((start, _)) = length.find(vocabulary, text, at..text.len()) {
                starts.push(start);
                at = start + 1;
            }
        }
        starts.sort_unstable();
        starts.dedup();
        starts
    }
}

impl Length {
    /// The first token of this length that lies in `text[range]`.
    fn find(&self, vocabulary: &Vocabulary, text: &str, range: Range<usize>) -> Option<(usize, TokenId)> {
        let bytes = text.as_bytes();
        let last = range.end.checked_sub(self.bytes)?;
        (range.start..=last).filter(|&start| self.first[usize::from(bytes[start])]).find_map(|start| {
            let id = vocabulary.find(&bytes[start..start + self.bytes])?;
            (self.kinds)(vocabulary.kind(id)).then_some((start, id))
        })
    }
}
