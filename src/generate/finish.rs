//! When a text ends: at one of the model's stop tokens, at a stop string, or at its length; and what of it may be shown.

use std::collections::HashSet;

use super::stop::StopStrings;
use crate::types::TokenId;

/// Why a text ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishReason {
    /// The model said this stop token, which isn't shown.
    Stop(TokenId),
    /// The text reached this stop string, which isn't shown.
    StopString(String),
    /// The text has as many tokens as were allowed.
    Length,
    /// The caller stopped it.
    Cancelled,
}

/// Follows a text token by token and says when it ends.
///
/// ```
/// use kinglet::generate::{FinishReason, StopStrings, Stopper};
/// use kinglet::types::TokenId;
///
/// let mut stopper = Stopper::new([TokenId(2)], StopStrings::default(), Some(16));
/// assert_eq!(stopper.push(TokenId(7), "Hello").show, "Hello");
/// assert_eq!(stopper.push(TokenId(2), "").finish, Some(FinishReason::Stop(TokenId(2))));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Stopper {
    tokens: HashSet<TokenId>,
    strings: StopStrings,
    max_tokens: Option<usize>,
    generated: usize,
}

/// What came of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// What may be shown now. With the text's end this includes all that was held back.
    pub show: String,
    /// Why the text ends here, if it does.
    pub finish: Option<FinishReason>,
}

impl Stopper {
    /// `tokens`: the model's end-of-generation tokens (none, to ignore them). `max_tokens`: how many tokens may be generated,
    /// the stop token counted.
    pub fn new(tokens: impl IntoIterator<Item = TokenId>, strings: StopStrings, max_tokens: Option<usize>) -> Stopper {
        Stopper { tokens: tokens.into_iter().collect(), strings, max_tokens, generated: 0 }
    }

    /// Takes a sampled token and the text that the decoder made of it, which for a stop token doesn't matter.
    ///
    /// A stop token or string counts before the length: a text that is complete with its last allowed token is complete.
    pub fn push(&mut self, token: TokenId, text: &str) -> Step {
        self.generated += 1;
        if self.tokens.contains(&token) {
            return Step { show: self.strings.finish(), finish: Some(FinishReason::Stop(token)) };
        }
        let text = self.strings.push(text);
        if let Some(string) = text.stopped {
            return Step { show: text.show, finish: Some(FinishReason::StopString(string)) };
        }
        if self.remaining() == Some(0) {
            return Step { show: text.show + &self.strings.finish(), finish: Some(FinishReason::Length) };
        }
        Step { show: text.show, finish: None }
    }

    /// The caller ends the text: what was held back until now.
    pub fn cancel(&mut self) -> Step {
        Step { show: self.strings.finish(), finish: Some(FinishReason::Cancelled) }
    }

    /// Whether this token would end the text by itself.
    pub fn is_stop(&self, token: TokenId) -> bool {
        self.tokens.contains(&token)
    }

    /// Tokens taken so far, the stop token counted.
    pub fn generated(&self) -> usize {
        self.generated
    }

    /// How many more tokens may be generated; `None`: any number.
    pub fn remaining(&self) -> Option<usize> {
        self.max_tokens.map(|max| max.saturating_sub(self.generated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopper(max_tokens: Option<usize>) -> Stopper {
        Stopper::new([TokenId(0), TokenId(9)], StopStrings::new(["END"]).unwrap(), max_tokens)
    }

    #[test]
    fn a_stop_token_is_counted_but_not_shown_and_releases_what_was_held() {
        let mut stopper = stopper(None);
        assert_eq!(stopper.push(TokenId(1), "the EN"), Step { show: "the ".into(), finish: None });
        assert_eq!(stopper.push(TokenId(9), "<eos>"), Step { show: "EN".into(), finish: Some(FinishReason::Stop(TokenId(9))) });
        assert_eq!((stopper.generated(), stopper.remaining()), (2, None));
    }

    #[test]
    fn a_stop_string_over_two_tokens_ends_the_text_before_it() {
        let mut stopper = stopper(Some(2));
        assert_eq!(stopper.push(TokenId(1), "a E").show, "a ");
        let last = stopper.push(TokenId(2), "ND b");
        assert_eq!(last, Step { show: String::new(), finish: Some(FinishReason::StopString("END".into())) });
    }

    #[test]
    fn the_length_ends_the_text_with_everything_shown() {
        let mut stopper = stopper(Some(2));
        assert_eq!(stopper.push(TokenId(1), "a").finish, None);
        assert_eq!(stopper.remaining(), Some(1));
        assert_eq!(stopper.push(TokenId(2), " E"), Step { show: " E".into(), finish: Some(FinishReason::Length) });
        assert_eq!(stopper.remaining(), Some(0));
    }

    #[test]
    fn cancelling_shows_what_was_held() {
        let mut stopper = stopper(None);
        stopper.push(TokenId(1), "E");
        assert_eq!(stopper.cancel(), Step { show: "E".into(), finish: Some(FinishReason::Cancelled) });
    }
}
