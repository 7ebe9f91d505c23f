//! Something to be found in a long text: prompts of a wanted length with a fact at a wanted depth, and whether the model's answer has it.
//! The key is drawn from a seed, so that no model knows it, and is a number, so that an answer is right or wrong.

use crate::error::{Error, TextError};
use crate::generate::Random;
use crate::session::{GenerateOptions, Session};
use crate::text::{Special, Tokenizer};
use crate::types::TokenId;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Tokens of an answer at most: enough for the key, with a token for each digit and some words before it.
pub const ANSWER: usize = 16;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// A number in a text that says the same few things over and over (Mohtashami & Jaggi 2023, arXiv:2305.16300, appendix B).
    PassKey,
    /// A number that belongs to a word, in a text that tells of other things (the single needle of RULER, Hsieh et al. 2024,
    /// arXiv:2404.06654, appendix B).
    Needle,
}

/// A prompt and the answer that it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The whole prompt, with the model's begin-of-text token where it wants one.
    pub tokens: Vec<TokenId>,
    /// What the answer has to tell.
    pub key: String,
}

const PASSKEY_INTRO: &str = "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it. \
                             I will quiz you about the important information there.";
const NEEDLE_INTRO: &str = "A special magic number is hidden within the following text. Make sure to memorize it. \
                            I will quiz you about the number afterwards.";

/// What the passkey is hidden in; the paper's own words.
const REPEATED: &[&str] = &["The grass is green.", "The sky is blue.", "The sun is yellow.", "Here we go.", "There and back again."];

/// What needles are hidden in where no text is given.
const PROSE: &[&str] = &[
    "The old mill stood at the bend of the river, where the water was slow and brown.",
    "In spring the farmers brought their first vegetables to the market before sunrise.",
    "A letter took three days to reach the coast, and a week when there was snow.",
    "She had learned to read the clouds from her grandmother, who was seldom wrong.",
    "The library kept its maps in a long room with windows to the north.",
    "Nobody remembered who had planted the two oak trees beside the bridge.",
    "When the train was late, the station master played chess with whoever was waiting.",
    "The baker's oven was lit at two in the morning, and its smoke went straight up.",
    "Children collected the chestnuts and sold them by the bucket to the zoo.",
    "It is said that the clock in the tower has never once shown the right time.",
    "The path over the hill is shorter, but in wet weather most people go around.",
    "Every summer a painter came from the city and stayed until the leaves turned.",
    "The well in the square gave cold water even in the driest August.",
    "His boat was old, but it had been mended so often that little of it was.",
    "They measured the field with a rope of forty knots, as their fathers had done.",
    "On the shelf above the stove stood jars of honey, each with a year on its lid.",
    "The teacher believed that every stone had a history and could be asked about it.",
    "Swallows built under the roof of the post office, and the door was left open for them.",
    "A good wall, the mason used to say, is one that nobody has ever noticed.",
    "After the flood the cellar was painted white up to the mark of the water.",
    "The tailor kept a drawer full of buttons that belonged to no coat.",
    "Fog came up from the valley in the evening and covered the lower gardens.",
    "The ferry carried sheep in the morning and musicians at night.",
    "There was one telephone in the village, and it stood in the room behind the bar.",
];

/// Words that needles belong to.
const WORDS: &[&str] =
    &["apple", "harbor", "violin", "lantern", "meadow", "pepper", "saddle", "thunder", "window", "anchor", "marble", "falcon"];

impl Probe {
    /// The prompt of number `trial`, at most `length` tokens long and within a sentence of it, with the fact at `depth` (0: first, 1: last,
    /// right before the question). `haystack` takes the place of the built-in filler.
    ///
    /// # Errors
    /// Where the text can't be tokenised.
    pub fn question(
        self,
        tokenizer: &Tokenizer,
        (length, depth): (usize, f64),
        haystack: Option<&[String]>,
        (seed, trial): (u64, u64),
    ) -> Result<Option<Question>, Error> {
        let mut random = Random::new(seed ^ trial.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut draw = |from: f64, to: f64| (from + random.unit() * (to - from)) as u64;
        let word = WORDS[draw(0.0, WORDS.len() as f64) as usize];
        let (key, intro, fact, question) = match self {
            Probe::PassKey => {
                let key = draw(10_000.0, 100_000.0).to_string();
                let fact = format!("The pass key is {key}. Remember it. {key} is the pass key.");
                (key, PASSKEY_INTRO, fact, "What is the pass key? The pass key is".to_owned())
            }
            Probe::Needle => {
                let key = draw(1_000_000.0, 10_000_000.0).to_string();
                let fact = format!("One of the special magic numbers for {word} is: {key}.");
                let asked = format!("the special magic number for {word} mentioned in the provided text");
                (key, NEEDLE_INTRO, fact, format!("What is {asked}? The{} is", &asked[3..]))
            }
        };
        let built_in = if self == Probe::PassKey { REPEATED } else { PROSE };
        let sentence = |i: usize| haystack.map_or_else(|| built_in[i % built_in.len()], |hay| &hay[i % hay.len()]);
        let text = |n: usize| {
            let place = (n as f64 * depth).round() as usize;
            let filler = |range: std::ops::Range<usize>| range.map(sentence).collect::<Vec<_>>().join(" ");
            [intro, &filler(0..place), &fact, &filler(place..n), &question].join("\n")
        };
        let bos = tokenizer.bos().filter(|_| tokenizer.add_bos());
        let encode = |text: &str| -> Result<Vec<TokenId>, TextError> {
            Ok(bos.into_iter().chain(tokenizer.encode(text, Special::Plain)?).collect())
        };
        let tokens = longest(length, |n| encode(&text(n)))?;
        Ok(tokens.map(|tokens| Question { tokens, key }))
    }
}

/// What `make` gives for the largest `n` that is at most `length` long; `None` where even 0 is longer. It is assumed to grow with `n`.
fn longest<T, E>(length: usize, mut make: impl FnMut(usize) -> Result<Vec<T>, E>) -> Result<Option<Vec<T>>, E> {
    let mut best = make(0)?;
    if best.len() > length {
        return Ok(None);
    }
    let (mut fits, mut too_many) = (0, 1);
    loop {
        let made = make(too_many)?;
        if made.len() > length {
            break;
        }
        // Nothing grows where there are no sentences.
        if made.len() <= best.len() && too_many > 1 {
            return Ok(Some(made));
        }
        (fits, too_many, best) = (too_many, too_many * 2, made);
    }
    while too_many - fits > 1 {
        let middle = (fits + too_many) / 2;
        let made = make(middle)?;
        if made.len() > length {
            too_many = middle;
        } else {
            (fits, best) = (middle, made);
        }
    }
    Ok(Some(best))
}

impl Question {
    /// Puts the question to `session`, which reuses what it holds of the prompt already, and tells the model's greedy answer; `None` where
    /// `cancel` was raised.
    ///
    /// # Errors
    /// As [`Session::feed`].
    pub fn ask(&self, session: &mut Session, cancel: &Arc<AtomicBool>) -> Result<Option<String>, Error> {
        session.replace(&self.tokens, Some(cancel), |_| ())?;
        answer(session, ANSWER, cancel)
    }

    /// Whether `answer` tells the key: its first number is the key.
    pub fn is_answered_by(&self, answer: &str) -> bool {
        first_number(answer).is_some_and(|number| number == self.key)
    }
}

/// What `session` goes on with, greedily, `tokens` at most; `None` where `cancel` was raised.
pub(super) fn answer(session: &mut Session, tokens: usize, cancel: &Arc<AtomicBool>) -> Result<Option<String>, Error> {
    let raised = || cancel.load(std::sync::atomic::Ordering::Relaxed);
    if raised() {
        return Ok(None);
    }
    let answer = session.complete(GenerateOptions { cancel: Some(Arc::clone(cancel)), ..GenerateOptions::greedy(tokens) })?;
    Ok((!raised()).then_some(answer))
}

/// The first run of digits; commas between groups of three are read over.
fn first_number(text: &str) -> Option<String> {
    let text: String = text.chars().skip_while(|c| !c.is_ascii_digit()).collect();
    let number: String = text.chars().take_while(|&c| c.is_ascii_digit() || c == ',').filter(|&c| c != ',').collect();
    (!number.is_empty()).then_some(number)
}

/// The text that needles are hidden in where none is given, `n` sentences of it.
pub fn prose(n: usize) -> String {
    PROSE.iter().copied().cycle().take(n).collect::<Vec<_>>().join(" ")
}

/// The sentences of a text of one's own, to hide needles in.
pub fn sentences(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    for paragraph in text.split("\n\n") {
        let mut sentence = Vec::new();
        for word in paragraph.split_whitespace() {
            sentence.push(word);
            if word.ends_with(['.', '!', '?']) {
                sentences.push(std::mem::take(&mut sentence).join(" "));
            }
        }
        sentences.extend(Some(sentence.join(" ")).filter(|rest| !rest.is_empty()));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn the_longest_that_fits_is_found() {
        for length in [3, 4, 10, 57, 1000] {
            let made = longest(length, |n| Ok::<_, Infallible>(vec![0; 3 + 7 * n])).unwrap().unwrap();
            assert_eq!(made.len(), 3 + 7 * ((length - 3) / 7));
        }
        assert_eq!(longest(2, |n| Ok::<_, Infallible>(vec![0; 3 + n])).unwrap(), None);
    }

    #[test]
    fn an_answer_is_right_where_its_first_number_is_the_key() {
        let question = Question { tokens: Vec::new(), key: "12345".into() };
        for right in [" 12345.", "12345", " is 12,345. The", "\"12345\" and 6"] {
            assert!(question.is_answered_by(right), "{right}");
        }
        for wrong in ["", "123456", "1234", "6 12345", "none"] {
            assert!(!question.is_answered_by(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_text_falls_into_sentences() {
        assert_eq!(sentences("One is\nhere, 3.5. Two!\n\nA heading\n\nThree?"), ["One is here, 3.5.", "Two!", "A heading", "Three?"]);
    }
}
