//! A conversation's memory: a person tells some facts, talks about other things for some turns, and asks for the facts. What was said in
//! between is written here, so that all models and caches are asked alike.

use super::retrieval::answer;
use crate::error::Error;
use crate::generate::Random;
use crate::session::Session;
use crate::text::{ChatTemplate, Message, RenderOptions, Special, Tokenizer};
use crate::types::TokenId;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Tokens of an answer at most.
const ANSWER: usize = 40;

/// What is told: before the value, after it, the question, and the values that chance chooses from.
const FACTS: &[(&str, &str, &str, &[&str])] = &[
    ("My name is ", ".", "What is my name?", &["Lydia", "Marcus", "Ingrid", "Tobias", "Nadia", "Oscar"]),
    ("I live in ", ".", "In which city do I live?", &["Lisbon", "Oslo", "Krakow", "Dublin", "Vienna", "Geneva"]),
    ("My dog is called ", ".", "What is my dog called?", &["Biscuit", "Pepper", "Rocket", "Waffles", "Shadow", "Ginger"]),
    ("I work as a ", ".", "What is my job?", &["carpenter", "nurse", "pilot", "gardener", "baker", "plumber"]),
    ("My favorite color is ", ".", "What is my favorite color?", &["purple", "orange", "turquoise", "yellow", "crimson", "silver"]),
];

/// What is talked about in between.
const TALK: &[(&str, &str)] = &[
    (
        "How do I cook rice?",
        "Rinse it, add twice as much water, bring it to a boil, cover it and let it rest over a low flame for 15 minutes.",
    ),
    (
        "Why is the sky blue?",
        "Air scatters short waves of light more than long ones, so the blue part of sunlight reaches us from everywhere.",
    ),
    ("What is a prime number?", "A whole number above one that only one and itself divide without a remainder."),
    (
        "How often should I water a cactus?",
        "About every two weeks in summer, and hardly at all in winter. Let the soil dry out in between.",
    ),
    ("Who wrote Hamlet?", "William Shakespeare wrote it around the year 1600."),
    ("How do I remove a stain of wine?", "Dab it with cold water at once, cover it with salt, and wash it with a mild soap after an hour."),
    ("What does a carburetor do?", "It mixes air and fuel in the right proportion before they enter the engine."),
    ("Can you explain what inflation is?", "Prices rise over time, so that the same amount of money buys less than it did before."),
];

/// A dialogue in which facts were told, and what is asked at its end.
#[derive(Debug, Clone)]
pub struct Dialogue {
    facts: Message,
    answers: Vec<(String, String)>,
}

/// The facts that a model still knew.
#[derive(Debug, Clone, PartialEq)]
pub struct Recalled {
    /// Turns between the facts and the questions.
    pub turns: usize,
    /// Tokens of the whole dialogue before the question.
    pub tokens: usize,
    /// For each question: the question, the right answer, the model's.
    pub answers: Vec<(String, String, String)>,
}

impl Recalled {
    /// How many of the answers were right.
    pub fn right(&self) -> usize {
        self.answers.iter().filter(|(_, right, given)| Recalled::is_right(right, given)).count()
    }

    /// Whether an answer names what was told, in small or capital letters.
    pub fn is_right(right: &str, given: &str) -> bool {
        given.to_lowercase().contains(&right.to_lowercase())
    }
}

impl Dialogue {
    /// Facts drawn from a seed.
    pub fn new(seed: u64) -> Dialogue {
        let mut random = Random::new(seed);
        let mut text = String::from("Hello! Let me tell you something about myself.");
        let mut answers = Vec::new();
        for (before, after, question, values) in FACTS {
            let value = values[(random.unit() * values.len() as f64) as usize];
            text += &format!(" {before}{value}{after}");
            answers.push(((*question).to_owned(), value.to_owned()));
        }
        Dialogue { facts: Message::new("user", text), answers }
    }

    /// The facts, the model's thanks, and `turns` turns about other things.
    fn before(&self, turns: usize) -> Vec<Message> {
        let thanks = Message::new("assistant", "Nice to meet you! I will remember that.");
        let talk = TALK.iter().cycle().take(turns);
        let turn = |(question, answer): &(&str, &str)| [Message::new("user", *question), Message::new("assistant", *answer)];
        [self.facts.clone(), thanks].into_iter().chain(talk.flat_map(turn)).collect()
    }

    /// Asks for each fact after `turns` turns, each time in a copy of the same session, which is emptied first. With `pin` the facts never
    /// leave the context. `None` where `cancel` was raised.
    ///
    /// # Errors
    /// As [`Session::feed`], [`Session::pin`] and [`ChatTemplate::tokens`].
    pub fn ask(
        &self,
        session: &mut Session,
        (tokenizer, template): (&Tokenizer, Option<&ChatTemplate>),
        (turns, pin): (usize, bool),
        cancel: &Arc<AtomicBool>,
    ) -> Result<Option<Recalled>, Error> {
        let mut messages = self.before(turns);
        let mut prompts = Vec::new();
        for (question, _) in &self.answers {
            messages.push(Message::new("user", question));
            prompts.push(render(tokenizer, template, &messages, true)?);
            messages.pop();
        }
        let shared = prompts.iter().skip(1).fold(prompts[0].len(), |shared, prompt| common(&prompts[0][..shared], prompt));
        let told = common(&render(tokenizer, template, &messages[..1], false)?, &prompts[0]);
        session.clear();
        if !session.feed_until(&prompts[0][..told], Some(cancel), |_| ())? {
            return Ok(None);
        }
        if pin {
            session.pin(0..told)?;
        }
        if shared > told && !session.feed_until(&prompts[0][told..shared], Some(cancel), |_| ())? {
            return Ok(None);
        }
        let mut recalled = Recalled { turns, tokens: shared, answers: Vec::new() };
        for (prompt, (question, right)) in prompts.iter().zip(&self.answers) {
            let mut copy = session.fork();
            if !copy.feed_until(&prompt[shared..], Some(cancel), |_| ())? {
                return Ok(None);
            }
            let Some(given) = answer(&mut copy, ANSWER, cancel)? else { return Ok(None) };
            recalled.answers.push((question.clone(), right.clone(), given));
        }
        Ok(Some(recalled))
    }
}

/// The conversation as the model was trained on it, or in plain words where it has no template.
fn render(tokenizer: &Tokenizer, template: Option<&ChatTemplate>, messages: &[Message], answer: bool) -> Result<Vec<TokenId>, Error> {
    if let Some(template) = template {
        let options = RenderOptions { add_generation_prompt: answer, ..RenderOptions::default() };
        return Ok(template.tokens(tokenizer, messages, &options)?);
    }
    let name = |role: &str| if role == "user" { "User" } else { "Assistant" };
    let mut text: String = messages.iter().map(|message| format!("{}: {}\n", name(&message.role), message.content)).collect();
    if answer {
        text += "Assistant:";
    }
    let bos = tokenizer.bos().filter(|_| tokenizer.add_bos());
    Ok(bos.into_iter().chain(tokenizer.encode(&text, Special::Plain)?).collect())
}

/// How many tokens two prompts have in common from the beginning on.
fn common(a: &[TokenId], b: &[TokenId]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_tells_the_same_facts_and_asks_for_what_was_told() {
        let dialogue = Dialogue::new(7);
        assert_eq!(Dialogue::new(7).facts.content, dialogue.facts.content);
        assert!((0..9).any(|seed| Dialogue::new(seed).facts.content != dialogue.facts.content));
        assert!(dialogue.answers.iter().all(|(_, right)| dialogue.facts.content.contains(right)));
        assert_eq!(dialogue.before(11).len(), 2 + 22);
    }

    #[test]
    fn an_answer_is_right_where_it_names_the_fact() {
        let answer = |given: &str| (String::new(), "Oslo".to_owned(), given.to_owned());
        let answers = vec![answer("You live in OSLO, Norway."), answer("I don't know."), answer("Lisbon")];
        assert_eq!(Recalled { turns: 0, tokens: 0, answers }.right(), 1);
    }
}
