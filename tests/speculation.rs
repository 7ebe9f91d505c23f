//! Guessing ahead changes how soon an answer comes, never what it says.

use kinglet::{Event, GenerateOptions, Model, SamplerOptions, Session, SessionOptions, TokenId};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/models/tiny.gguf");

fn session(model: &Model, context: usize) -> Session {
    let mut session = model.session(SessionOptions { context: Some(context), ..SessionOptions::default() }).unwrap();
    session.feed_text("One two three. One two three. One two three. One").unwrap();
    session
}

fn options(temp: f32, speculate: Option<usize>) -> GenerateOptions {
    let sampler = SamplerOptions { temp, seed: Some(7), logprobs: Some(2), ..SamplerOptions::default() };
    GenerateOptions { sampler, max_tokens: Some(120), ignore_eos: true, speculate, ..GenerateOptions::default() }
}

/// The events but for the counters.
fn answer(session: &mut Session, options: GenerateOptions) -> Vec<String> {
    let mut events = Vec::new();
    for event in session.generate(options).unwrap() {
        events.push(match event.unwrap() {
            Event::Token { id, text, logprob, top } => format!("{id} {text:?} {logprob:?} {top:?}"),
            Event::Finished { reason, text, .. } => format!("{reason:?} {text:?}"),
        });
    }
    events
}

#[test]
fn an_answer_is_the_same_with_guesses_and_without() {
    let model = Model::open(MODEL).unwrap();
    for temp in [0.0, 0.3, 1.5] {
        let (mut plain, expected) = (session(&model, 400), options(temp, None));
        let expected = answer(&mut plain, expected);
        for draft in [1, 3, 8, 16] {
            let mut guessing = session(&model, 400);
            assert_eq!(answer(&mut guessing, options(temp, Some(draft))), expected, "temperature {temp}, {draft} tokens ahead");
            assert_eq!(guessing.tokens(), plain.tokens());
            assert_eq!(guessing.logits().unwrap(), plain.logits().unwrap());
        }
    }
}

#[test]
fn guesses_are_right_often_where_the_text_repeats_itself() {
    let model = Model::open(MODEL).unwrap();
    let passes = |speculate| {
        let mut session = session(&model, 400);
        answer(&mut session, options(0.0, speculate));
        session.stats().decoded_tokens
    };
    assert!(passes(Some(8)) < passes(None), "no token was computed ahead");
}

#[test]
fn an_answer_that_is_dropped_leaves_what_was_handed_out() {
    let model = Model::open(MODEL).unwrap();
    for taken in 1..20 {
        let (mut plain, mut guessing) = (session(&model, 400), session(&model, 400));
        plain.generate(options(0.0, None)).unwrap().take(taken).for_each(|event| drop(event.unwrap()));
        guessing.generate(options(0.0, Some(8))).unwrap().take(taken).for_each(|event| drop(event.unwrap()));
        let next: Vec<TokenId> = guessing.tokens()[..3].to_vec();
        [&mut plain, &mut guessing].into_iter().for_each(|session| session.feed(&next).unwrap());
        assert_eq!(plain.tokens(), guessing.tokens());
        assert_eq!(plain.logits().unwrap(), guessing.logits().unwrap(), "{taken} taken");
    }
}

#[test]
fn a_full_context_ends_an_answer_in_good_order() {
    let model = Model::open(MODEL).unwrap();
    for context in 40..60 {
        let (mut plain, mut guessing) = (session(&model, context), session(&model, context));
        let expected = answer(&mut plain, options(0.0, None));
        assert_eq!(answer(&mut guessing, options(0.0, Some(8))), expected);
        assert!(expected.last().unwrap().starts_with("Length"), "{expected:?}");
    }
}
