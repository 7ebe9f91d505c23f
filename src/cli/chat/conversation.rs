//! The messages of a chat: a system message, then questions and answers in turn. Saved as the JSON array that every chat API takes.

use crate::Session;
use crate::cli::{Failure, input};
use crate::text::{Message, RenderOptions};
use crate::types::TokenId;
use std::io::Write;
use std::path::Path;

/// What has been said.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    system: Option<String>,
    /// Question and answer.
    turns: Vec<(String, String)>,
}

impl Conversation {
    /// Sets or removes what the model is told first.
    pub fn set_system(&mut self, text: Option<&str>) {
        self.system = text.map(str::to_owned).filter(|text| !text.is_empty());
    }

    /// What the model is told first.
    pub fn system(&self) -> Option<&str> {
        self.system.as_deref()
    }

    /// Number of turns.
    pub fn len(&self) -> usize {
        self.turns.len()
    }

    /// Forgets all turns; the system message stays.
    pub fn clear(&mut self) {
        self.turns.clear();
    }

    /// A turn is complete.
    pub fn add(&mut self, question: &str, answer: &str) {
        self.turns.push((question.to_owned(), answer.to_owned()));
    }

    /// Takes the last turn back; its question.
    pub fn undo(&mut self) -> Option<String> {
        self.turns.pop().map(|(question, _)| question)
    }

    /// The tokens of everything said, and of `question`.
    pub fn tokens(&self, session: &Session, question: &str) -> Result<Vec<TokenId>, Failure> {
        let mut messages = self.messages();
        messages.push(Message::new("user", question));
        Ok(session.chat_tokens(&messages, &RenderOptions { add_generation_prompt: true, ..RenderOptions::default() })?)
    }

    /// How many tokens come before the first question: what the model is told first, and what its template says by itself.
    pub fn opening(&self, session: &Session) -> Result<usize, Failure> {
        let before = Conversation { system: self.system.clone(), turns: Vec::new() };
        let (one, other) = (before.tokens(session, "0")?, before.tokens(session, "?")?);
        Ok(one.iter().zip(&other).take_while(|(a, b)| a == b).count())
    }

    fn messages(&self) -> Vec<Message> {
        let system = self.system.iter().map(|system| Message::new("system", system));
        let turns = self.turns.iter().flat_map(|(question, answer)| [Message::new("user", question), Message::new("assistant", answer)]);
        system.chain(turns).collect()
    }

    /// Writes the messages to a file.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(&self.messages()).map_err(Failure::error)? + "\n";
        crate::file::replace(path, |mut file| file.write_all(text.as_bytes()))
            .map_err(|e| Failure::io(format!("cannot write {}", path.display()), &e))
    }

    /// Reads a file that [`Conversation::save`] (or another program) wrote.
    pub fn load(path: &Path) -> Result<Conversation, Failure> {
        let broken = |what: String| Failure::error(format!("{} holds no conversation: {what}", path.display()));
        let messages: Vec<Message> = serde_json::from_str(&input::text_of(path)?).map_err(|e| broken(e.to_string()))?;
        Conversation::of_messages(messages).map_err(broken)
    }

    fn of_messages(messages: Vec<Message>) -> Result<Conversation, String> {
        let mut conversation = Conversation::default();
        let mut asked = None;
        for (at, message) in messages.into_iter().enumerate() {
            match (message.role.as_str(), asked.take()) {
                ("system", None) if at == 0 => conversation.system = Some(message.content),
                ("user", None) => asked = Some(message.content),
                ("assistant", Some(question)) => conversation.turns.push((question, message.content)),
                (role, _) => return Err(format!("message {at} is the {role:?}'s, expected system, then user and assistant in turn")),
            }
        }
        if asked.is_some() { Err("the last question has no answer".to_owned()) } else { Ok(conversation) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_what_is_loaded() {
        let mut conversation = Conversation::default();
        conversation.set_system(Some("Be brief."));
        conversation.add("Hello\n\"you\"", "Hi ☺");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.json");
        conversation.save(&path).unwrap();
        let loaded = Conversation::load(&path).unwrap();
        assert_eq!((loaded.system, loaded.turns), (conversation.system, conversation.turns));
    }

    #[test]
    fn messages_out_of_turn_are_refused() {
        let of = |roles: &[&str]| Conversation::of_messages(roles.iter().map(|role| Message::new(*role, "x")).collect());
        assert!(of(&[]).is_ok());
        assert!(of(&["system", "user", "assistant"]).is_ok());
        for bad in [&["user"][..], &["assistant"], &["user", "user"], &["user", "assistant", "system"], &["tool"]] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }
}
