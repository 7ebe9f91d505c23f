//! Stop strings in a text that comes in pieces. A stop string may span several pieces, so text that could be its beginning is
//! held back until it is clear whether it is; what may be shown never depends on how the text was cut into pieces.

use crate::error::generate::GenerateError;

/// Searches a stream of text for several strings at once: for each string the automaton of Knuth, Morris and Pratt ("Fast
/// pattern matching in strings", 1977), whose state is exactly the length of text that must be held back for it.
///
/// ```
/// use kinglet::generate::StopStrings;
///
/// let mut stop = StopStrings::new(["User:"])?;
/// assert_eq!(stop.push("Fine. U").show, "Fine. ");
/// assert_eq!(stop.push("se it").show, "Use it");
/// let last = stop.push(" User: and more");
/// assert_eq!((last.show.as_str(), last.stopped.as_deref()), (" ", Some("User:")));
/// # Ok::<(), kinglet::error::generate::GenerateError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct StopStrings {
    searches: Vec<Search>,
    held: String,
    stopped: bool,
}

/// What came of a piece of text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// What may be shown now.
    pub show: String,
    /// The stop string that was reached; neither it nor anything after it is ever shown.
    pub stopped: Option<String>,
}

/// One stop string and how much of it the text ends with.
#[derive(Debug, Clone)]
struct Search {
    string: String,
    /// `borders[n]`: the longest proper start of the string that its first n + 1 bytes end with.
    borders: Vec<usize>,
    matched: usize,
}

impl StopStrings {
    /// Strings to stop at; an empty one is an error.
    pub fn new(strings: impl IntoIterator<Item = impl Into<String>>) -> Result<StopStrings, GenerateError> {
        let search = |(index, string): (usize, String)| match string.is_empty() {
            true => Err(GenerateError::EmptyStopString { index }),
            false => Ok(Search::new(string)),
        };
        let searches = strings.into_iter().map(Into::into).enumerate().map(search).collect::<Result<_, _>>()?;
        Ok(StopStrings { searches, held: String::new(), stopped: false })
    }

    /// Takes the next piece of text. Of several stop strings the one counts that is complete first; of those that are complete
    /// at the same character, the longest. Once stopped, it takes no more text.
    pub fn push(&mut self, piece: &str) -> Text {
        if self.stopped {
            return Text::default();
        }
        let before = self.held.len();
        self.held.push_str(piece);
        for (i, byte) in piece.bytes().enumerate() {
            self.searches.iter_mut().for_each(|search| search.advance(byte));
            let complete = self.searches.iter().filter(|search| search.is_complete());
            if let Some(string) = complete.map(|search| &search.string).max_by_key(|string| string.len()) {
                self.stopped = true;
                self.held.truncate(before + i + 1 - string.len());
                return Text { show: std::mem::take(&mut self.held), stopped: Some(string.clone()) };
            }
        }
        let hold = self.searches.iter().map(|search| search.matched).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - hold);
        Text { show: std::mem::replace(&mut self.held, rest), stopped: None }
    }

    /// The text ends: what was held back turned out to be no stop string. Afterwards a new text can begin.
    pub fn finish(&mut self) -> String {
        self.searches.iter_mut().for_each(|search| search.matched = 0);
        self.stopped = false;
        std::mem::take(&mut self.held)
    }
}

impl Search {
    fn new(string: String) -> Search {
        let bytes = string.as_bytes();
        let mut borders = vec![0; bytes.len()];
        for i in 1..bytes.len() {
            borders[i] = longer(bytes, &borders, borders[i - 1], bytes[i]);
        }
        Search { string, borders, matched: 0 }
    }

    fn advance(&mut self, byte: u8) {
        self.matched = longer(self.string.as_bytes(), &self.borders, self.matched, byte);
    }

    fn is_complete(&self) -> bool {
        self.matched == self.string.len()
    }
}

/// The longest start of `bytes` that a text ends with after `byte`, if it ended with the first `matched` bytes before.
fn longer(bytes: &[u8], borders: &[usize], mut matched: usize, byte: u8) -> usize {
    while matched > 0 && bytes.get(matched) != Some(&byte) {
        matched = borders[matched - 1];
    }
    if bytes.get(matched) == Some(&byte) { matched + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(strings: &[&str], pieces: &[&str]) -> (Vec<String>, Option<String>) {
        let mut stop = StopStrings::new(strings.iter().copied()).unwrap();
        let mut shown = Vec::new();
        for piece in pieces {
            let text = stop.push(piece);
            shown.push(text.show);
            if text.stopped.is_some() {
                return (shown, text.stopped);
            }
        }
        shown.push(stop.finish());
        (shown, None)
    }

    #[test]
    fn text_that_may_begin_a_stop_string_waits_until_it_is_clear() {
        assert_eq!(run(&["</s>"], &["a<", "/", "s", "b"]), (vec!["a".into(), "".into(), "".into(), "</sb".into(), "".into()], None));
        assert_eq!(run(&["</s>"], &["a<", "/"]), (vec!["a".into(), "".into(), "</".into()], None));
        assert_eq!(run(&["</s>"], &["a<", "/s>b"]), (vec!["a".into(), "".into()], Some("</s>".into())));
    }

    #[test]
    fn a_stop_string_that_overlaps_its_own_start_is_found() {
        assert_eq!(run(&["aab"], &["aaa", "b"]), (vec!["a".into(), "".into()], Some("aab".into())));
    }

    #[test]
    fn the_first_complete_string_counts_and_the_longest_of_those() {
        assert_eq!(run(&["xaby", "ab"], &["xaby"]), (vec!["x".into()], Some("ab".into())));
        assert_eq!(run(&["b", "ab"], &["xab"]), (vec!["x".into()], Some("ab".into())));
    }

    #[test]
    fn text_in_other_scripts_is_cut_between_characters() {
        // 終 and 絢 share their first byte.
        assert_eq!(run(&["終わり"], &["絢終", "わ", "り。"]), (vec!["絢".into(), "".into(), "".into()], Some("終わり".into())));
    }

    #[test]
    fn nothing_is_shown_after_the_stop_and_a_new_text_may_begin() {
        let mut stop = StopStrings::new(["."]).unwrap();
        assert_eq!(stop.push("a.b").stopped.as_deref(), Some("."));
        assert_eq!(stop.push("c"), Text::default());
        assert_eq!(stop.finish(), "");
        assert_eq!(stop.push("d").show, "d");
    }

    #[test]
    fn an_empty_stop_string_is_refused_by_its_place() {
        assert_eq!(StopStrings::new(["a", ""]).unwrap_err(), GenerateError::EmptyStopString { index: 1 });
    }

    proptest! {
        #[test]
        fn the_cut_into_pieces_changes_nothing(
            text in "[abé]{0,24}", strings in prop::collection::vec("[abé]{1,4}", 0..4), cuts in prop::collection::vec(1usize..5, 24),
        ) {
            // The plain search: at each character, the longest string that the text so far ends with.
            let ending_at = |end: usize| strings.iter().filter(|s| text[..end].ends_with(s.as_str())).max_by_key(|s| s.len());
            let mut ends = text.char_indices().map(|(i, c)| i + c.len_utf8());
            let first = ends.find_map(|end| Some((end, ending_at(end)?)));
            let expected = first.map_or(text.as_str(), |(end, s)| &text[..end - s.len()]);

            let mut stop = StopStrings::new(strings.iter().map(String::as_str)).unwrap();
            let (mut shown, mut stopped, mut rest) = (String::new(), None, text.as_str());
            for cut in cuts {
                let end = rest.char_indices().nth(cut).map_or(rest.len(), |(i, _)| i);
                let piece = stop.push(&rest[..end]);
                shown += &piece.show;
                stopped = stopped.or(piece.stopped);
                prop_assert!(expected.starts_with(&shown));
                rest = &rest[end..];
            }
            shown += &stop.finish();
            prop_assert_eq!(shown, expected);
            prop_assert_eq!(stopped.as_ref(), first.map(|(_, s)| s));
        }
    }
}
