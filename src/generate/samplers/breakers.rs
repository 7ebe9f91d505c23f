//! DRY's sequence breakers as tokens. A breaker is given as a string, but the text is a sequence of tokens, and a token may
//! contain a breaker, end with its first characters, or be a part of it; so each breaker becomes a table of head tokens, each
//! with the tails that complete it.

use std::collections::HashMap;

use crate::types::TokenId;

/// Characters of a breaker that count, and tokens of a tail, as in llama.cpp: they bound the search at each token.
const LONGEST_BREAKER: usize = 40;
const LONGEST_TAIL: usize = 20;

/// Token sequences that end a repetition, by their first token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Breakers {
    tails: HashMap<TokenId, Vec<Vec<TokenId>>>,
}

impl Breakers {
    /// Breakers given as tokens. Empty ones are passed over.
    pub fn from_tokens<'a>(sequences: impl IntoIterator<Item = &'a [TokenId]>) -> Breakers {
        let mut breakers = Breakers::default();
        for sequence in sequences {
            if let Some((&head, tail)) = sequence.split_first() {
                breakers.add(head, tail.to_vec());
            }
        }
        breakers
    }

    /// Breakers given as strings, for a vocabulary of `n_vocab` tokens: `piece` gives a token's text, `encode` the tokens of a
    /// text (no special tokens added). It looks at every token of the vocabulary once for each breaker.
    ///
    /// ```
    /// use kinglet::generate::Breakers;
    /// use kinglet::types::TokenId;
    ///
    /// let vocabulary = ["a", "b\n", "x:", "\n"];
    /// let breakers = Breakers::from_strings(&["\n"], 4, |token| vocabulary[token.index()].to_owned(), |_| Vec::new());
    /// assert_eq!(breakers, Breakers::from_tokens([&[TokenId(1)][..], &[TokenId(3)]]));
    /// ```
    pub fn from_strings(
        strings: &[impl AsRef<str>],
        n_vocab: usize,
        piece: impl Fn(TokenId) -> String,
        encode: impl Fn(&str) -> Vec<TokenId>,
    ) -> Breakers {
        let mut breakers = Breakers::default();
        let shortened = strings.iter().map(|s| s.as_ref().chars().take(LONGEST_BREAKER).collect::<String>());
        let strings: Vec<String> = shortened.filter(|s| !s.is_empty()).collect();
        for token in (0..n_vocab as u32).map(TokenId) {
            let piece = piece(token);
            for string in &strings {
                if piece.contains(string.as_str()) {
                    breakers.add(token, Vec::new());
                    continue;
                }
                for rest in rests_after(&piece, string) {
                    let mut tail = encode(rest);
                    tail.truncate(LONGEST_TAIL);
                    breakers.add(token, tail);
                }
            }
        }
        breakers
    }

    fn add(&mut self, head: TokenId, tail: Vec<TokenId>) {
        let tails = self.tails.entry(head).or_default();
        if !tails.contains(&tail) {
            tails.push(tail);
        }
    }

    /// Whether the token is a breaker by itself.
    pub(super) fn is_breaker(&self, token: TokenId) -> bool {
        self.tails.get(&token).is_some_and(|tails| tails.iter().any(Vec::is_empty))
    }

    /// How many tokens came after the last breaker.
    pub(super) fn distance(&self, newest_first: &[TokenId]) -> Option<usize> {
        newest_first.iter().enumerate().find_map(|(back, head)| {
            let follows =
                |tail: &&Vec<TokenId>| tail.len() <= back && tail.iter().zip(newest_first[..back].iter().rev()).all(|(a, b)| a == b);
            let longest = self.tails.get(head)?.iter().filter(follows).map(Vec::len).max()?;
            Some(back - longest)
        })
    }
}

/// What is missing of `string` after each start of it that ends `piece`.
fn rests_after<'a>(piece: &str, string: &'a str) -> impl Iterator<Item = &'a str> {
    let starts = string.char_indices().map(|(i, _)| i).skip(1);
    starts.filter(move |&i| piece.ends_with(&string[..i])).map(|i| &string[i..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u32]) -> Vec<TokenId> {
        ids.iter().map(|&id| TokenId(id)).collect()
    }

    #[test]
    fn a_breaker_may_be_inside_a_token_or_begin_at_its_end() {
        let vocabulary = ["no", "a##b", "x#", "#", "y##", "#z"];
        let encode = |text: &str| ids(&[vocabulary.iter().position(|&p| p == text).unwrap() as u32]);
        let breakers = Breakers::from_strings(&["##"], vocabulary.len(), |t| vocabulary[t.index()].to_owned(), encode);
        assert_eq!(breakers, Breakers::from_tokens([&ids(&[1])[..], &ids(&[2, 3]), &ids(&[3, 3]), &ids(&[4])]));
        assert!(breakers.is_breaker(TokenId(1)) && !breakers.is_breaker(TokenId(3)));
    }

    #[test]
    fn the_distance_is_counted_from_the_end_of_the_last_breaker() {
        let breakers = Breakers::from_tokens([&ids(&[7])[..], &ids(&[8, 9])]);
        let distance = |text: &[u32]| breakers.distance(&text.iter().rev().map(|&id| TokenId(id)).collect::<Vec<_>>());
        assert_eq!(distance(&[1, 2, 3]), None);
        assert_eq!(distance(&[1, 7, 2, 3]), Some(2));
        assert_eq!(distance(&[1, 7]), Some(0));
        assert_eq!(distance(&[7, 8, 9, 1]), Some(1));
        assert_eq!(distance(&[7, 8, 1]), Some(2));
        assert_eq!(distance(&[7, 8]), Some(1), "the second half of the breaker hasn't come yet");
    }
}
