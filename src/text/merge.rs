//! The merge loop that BPE and SentencePiece's "SPM" share: begin with single characters and join the neighbours of the best rank
//! until no pair of neighbours can be joined. A heap of candidates makes it n log n: a megabyte without a space is not special.
//!
//! ```text
//! for every pair of neighbours that has a rank: push (rank, left) on the heap
//! while the heap has a candidate: if both its parts are as they were: join them, push the two new pairs
//! ```
//!
//! Ties go to the leftmost pair, as in llama.cpp and in SentencePiece.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The loop's memory, kept from one word to the next.
#[derive(Debug, Default)]
pub(crate) struct Merger {
    parts: Vec<Part>,
    candidates: BinaryHeap<Reverse<Candidate>>,
}

/// A piece of the word; one that has been joined to its left neighbour has the length 0.
#[derive(Debug, Clone, Copy)]
struct Part {
    start: u32,
    len: u32,
    left: u32,
    right: u32,
}

/// No neighbour.
const NONE: u32 = u32::MAX;

/// A pair that may be joined. The derived order is the order of joining: by rank, then from left to right.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    left: u32,
    /// Bytes of both parts together: where they differ now, a part has been joined to another one since.
    len: u32,
}

impl Merger {
    /// Joins the characters of `word` (shorter than 4 GiB) and hands the pieces that remain to `emit`, from left to right.
    /// `rank(pair, middle)` is the rank of joining `pair[..middle]` to `pair[middle..]`, the lowest first, `None` for never.
    pub(crate) fn merge(&mut self, word: &str, mut rank: impl FnMut(&[u8], usize) -> Option<u32>, mut emit: impl FnMut(&[u8])) {
        let text = word.as_bytes();
        self.parts.clear();
        self.candidates.clear();
        for (start, character) in word.char_indices() {
            let index = self.parts.len() as u32;
            let left = index.checked_sub(1).unwrap_or(NONE);
            self.parts.push(Part { start: start as u32, len: character.len_utf8() as u32, left, right: index + 1 });
        }
        let Some(last) = self.parts.last_mut() else { return };
        last.right = NONE;
        for left in 0..self.parts.len() as u32 - 1 {
            self.consider(text, left, &mut rank);
        }
        while let Some(Reverse(candidate)) = self.candidates.pop() {
            let left = self.parts[candidate.left as usize];
            if left.len == 0 || left.right == NONE || left.len + self.parts[left.right as usize].len != candidate.len {
                continue;
            }
            self.join(candidate.left);
            if left.left != NONE {
                self.consider(text, left.left, &mut rank);
            }
            self.consider(text, candidate.left, &mut rank);
        }
        let remaining = self.parts.iter().filter(|part| part.len > 0);
        remaining.for_each(|part| emit(&text[part.start as usize..][..part.len as usize]));
    }

    /// Pushes the pair of `left` and its right neighbour, where it has one and may be joined to it.
    fn consider(&mut self, text: &[u8], left: u32, rank: &mut impl FnMut(&[u8], usize) -> Option<u32>) {
        let part = self.parts[left as usize];
        let Some(right) = self.parts.get(part.right as usize) else { return };
        let len = part.len + right.len;
        if let Some(rank) = rank(&text[part.start as usize..][..len as usize], part.len as usize) {
            self.candidates.push(Reverse(Candidate { rank, left, len }));
        }
    }

    /// Joins `left` and its right neighbour.
    fn join(&mut self, left: u32) {
        let right = self.parts[left as usize].right;
        let Part { len, right: next, .. } = self.parts[right as usize];
        self.parts[right as usize].len = 0;
        self.parts[left as usize].len += len;
        self.parts[left as usize].right = next;
        if let Some(next) = self.parts.get_mut(next as usize) {
            next.left = left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(word: &str, ranks: &[(&str, u32)]) -> Vec<String> {
        let rank = |pair: &[u8], _: usize| ranks.iter().find(|(text, _)| text.as_bytes() == pair).map(|&(_, rank)| rank);
        let mut pieces = Vec::new();
        Merger::default().merge(word, rank, |piece| pieces.push(String::from_utf8_lossy(piece).into_owned()));
        pieces
    }

    #[test]
    fn the_best_rank_is_joined_first() {
        assert_eq!(merged("abc", &[("ab", 2), ("bc", 1)]), ["a", "bc"]);
        assert_eq!(merged("abc", &[("ab", 1), ("bc", 2), ("abc", 3)]), ["abc"]);
    }

    #[test]
    fn ties_go_to_the_left() {
        assert_eq!(merged("aaaaa", &[("aa", 1), ("aaaa", 2)]), ["aaaa", "a"]);
    }

    #[test]
    fn an_empty_word_has_no_pieces() {
        assert!(merged("", &[]).is_empty());
    }
}
