//! What a session refuses, and that a refusal leaves it as it was.

use kinglet::error::SessionError;
use kinglet::forward::Output;
use kinglet::kv::Policy;
use kinglet::{Error, Event, FinishReason, GenerateOptions, Message, Model, Session, SessionOptions, TokenId, feed_together};
use std::sync::atomic::{AtomicBool, Ordering};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/models/tiny.gguf");

fn session(context: usize) -> Session {
    session_with(context, Policy::Stop)
}

fn session_with(context: usize, policy: Policy) -> Session {
    Model::open(MODEL).unwrap().session(SessionOptions { context: Some(context), policy: Some(policy) }).unwrap()
}

fn tokens(n: u32) -> Vec<TokenId> {
    (10..10 + n).map(TokenId).collect()
}

#[test]
fn more_tokens_than_the_context_holds_are_refused_and_nothing_is_lost() {
    let mut session = session(20);
    session.feed(&tokens(15)).unwrap();
    let before = session.logits().unwrap().to_vec();
    let error = session.feed(&tokens(6)).unwrap_err();
    assert!(matches!(error, Error::Session(SessionError::ContextFull { bound: 20, held: 15, asked: 6 })), "{error}");
    assert_eq!(session.logits().unwrap(), before);
    session.feed(&tokens(5)).unwrap();
    assert_eq!(session.len(), 20);
}

#[test]
fn tokens_outside_the_vocabulary_are_refused_by_name() {
    let mut session = session(20);
    let error = session.feed(&[TokenId(1), TokenId(4_000_000_000)]).unwrap_err();
    assert!(error.to_string().contains("4000000000"), "{error}");
    assert!(session.outputs_of(&[TokenId(4_000_000_000)], None, Output::Logits).is_err());
    assert!(session.is_empty());
    session.feed(&tokens(9)).unwrap();
    assert!(session.replace(&[TokenId(10), TokenId(4_000_000_000)], None, |_| ()).is_err());
    assert_eq!(session.len(), 9, "nothing was forgotten for tokens that nobody knows");
}

#[test]
fn an_empty_session_has_nothing_to_go_on_from() {
    let mut session = session(20);
    assert!(matches!(session.logits().unwrap_err(), Error::Session(SessionError::Empty)));
    assert!(matches!(session.generate(GenerateOptions::greedy(1)).unwrap_err(), Error::Session(SessionError::Empty)));
    assert!(matches!(feed_together(&mut [(&mut session, &[])]).unwrap_err(), Error::Session(SessionError::Empty)));
    assert!(feed_together(&mut []).is_ok());
}

#[test]
fn sessions_of_two_models_do_not_share_a_batch() {
    let (mut one, mut other) = (session(20), session(20));
    assert!(feed_together(&mut [(&mut one, &tokens(2)), (&mut other, &tokens(2))]).is_err());
    assert!(one.is_empty() && other.is_empty());
}

#[test]
fn a_context_of_nothing_is_refused() {
    let error = Model::open(MODEL).unwrap().session(SessionOptions { context: Some(0), ..SessionOptions::default() }).unwrap_err();
    assert!(error.to_string().contains("context"), "{error}");
}

#[test]
fn memory_is_taken_as_tokens_come_up_to_the_bound_that_was_told() {
    let mut session = session(1000);
    let bound = session.cache_bound_bytes();
    session.feed(&tokens(3)).unwrap();
    assert!(session.cache_bytes() > 0 && session.cache_bytes() < bound / 4);
    (0..9).for_each(|_| session.feed(&tokens(100)).unwrap());
    assert_eq!(session.cache_bytes(), bound);
}

#[test]
fn the_next_turn_of_a_chat_computes_only_what_is_new() {
    let mut session = session(500);
    let mut messages = vec![Message::new("user", "Count to five.")];
    let answer: String = session
        .chat(&messages, GenerateOptions::greedy(20))
        .unwrap()
        .map(|event| match event.unwrap() {
            Event::Token { text, .. } | Event::Finished { text, .. } => text,
        })
        .collect();
    let computed = session.stats().prompt_tokens + session.stats().decoded_tokens;
    messages.extend([Message::new("assistant", answer), Message::new("user", "Again.")]);
    drop(session.chat(&messages, GenerateOptions::greedy(1)).unwrap());
    let new = session.stats().prompt_tokens + session.stats().decoded_tokens - computed;
    assert!(session.stats().reused_tokens > 10, "{:?}", session.stats());
    assert!(new < session.len() / 2, "{new} of {} tokens were computed", session.len());
}

#[test]
fn a_chat_that_is_cancelled_before_its_first_token_ends_in_order() {
    let mut session = session(2000);
    let cancel = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let options = GenerateOptions { cancel: Some(cancel), ..GenerateOptions::greedy(5) };
    // Longer than one batch, so that its prompt is not computed to the end.
    let messages = [Message::new("user", "Count to five. ".repeat(100))];
    let events: Vec<Event> = session.chat(&messages, options).unwrap().map(Result::unwrap).collect();
    assert!(matches!(&events[..], [Event::Finished { reason: FinishReason::Cancelled, .. }]), "{events:?}");
    assert!(session.is_empty());
}

#[test]
fn a_cancelled_feed_leaves_the_session_as_it_was() {
    let (mut session, mut undisturbed) = (session(2000), session(2000));
    for session in [&mut session, &mut undisturbed] {
        session.feed(&tokens(40)).unwrap();
    }
    let raised = AtomicBool::new(true);
    assert!(!session.feed_until(&tokens(100), Some(&raised), |_| panic!("no batch is done")).unwrap());
    assert_eq!(session.len(), 40);
    let cancel = AtomicBool::new(false);
    let long: Vec<TokenId> = tokens(100).repeat(15);
    assert!(
        !session.feed_until(&long, Some(&cancel), |_| cancel.store(true, Ordering::Relaxed)).unwrap(),
        "after the first of its batches"
    );
    assert_eq!(session.len(), 40);
    assert!(session.outputs_until(&tokens(3), None, Output::Logits, Some(&raised)).unwrap().is_none());
    assert_eq!(session.logits().unwrap(), undisturbed.logits().unwrap());
    for session in [&mut session, &mut undisturbed] {
        session.feed(&tokens(200)).unwrap();
    }
    assert_eq!(session.logits().unwrap(), undisturbed.logits().unwrap());
}
