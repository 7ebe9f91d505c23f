//! Damaged models, used: what opens in spite of its damage is given a text, computes it, and says what comes next. The families' recipes,
//! the tokenizer, the chat template and every kernel meet numbers that no converter writes.

use crate::allocator::{peak_of, time_of};
use crate::mutations::{cases, damaged_bytes};
use crate::support::Scratch;
use kinglet::text::{RenderOptions, Special};
use kinglet::{Error, Message, Model, ModelOptions, SessionOptions, TokenId};
use proptest::prelude::*;
use std::path::Path;
use std::time::Duration;

/// Longer than this for some KB is a hang; an emulator, or a small board, takes longer for everything.
const HANG: Duration = Duration::from_secs(if cfg!(target_arch = "x86_64") { 1 } else { 60 });

/// What a small model may take beside twice its file: buffers of a pass, tables, messages.
const ALLOWANCE: usize = 4 << 20;

/// Opens the model and goes on as far as it can.
fn answer(path: &Path) -> Result<usize, Error> {
    let model = Model::open_with(path, &ModelOptions { threads: Some(1), ..ModelOptions::default() })?;
    // That one of these is damaged is no reason not to try the others.
    if let Ok(tokenizer) = model.tokenizer()
        && let Ok(tokens) = tokenizer.encode("Hello, world", Special::Plain)
    {
        let _ = tokenizer.decode(&tokens);
    }
    if let Ok(template) = model.chat_template() {
        let _ = template.render(&[Message::new("user", "Hello")], &RenderOptions::default());
    }
    if model.spec().is_encoder() {
        return Ok(0);
    }
    let mut session = model.session(SessionOptions { context: Some(16), ..SessionOptions::default() })?;
    session.feed(&[TokenId(0), TokenId(1), TokenId(2)])?;
    Ok(session.logits()?.len())
}

/// That the file is an error of one line or a model, in bounded memory and time.
fn check(path: &Path, size: usize) {
    let ((result, peak), took) = time_of(|| peak_of(|| answer(path)));
    assert!(took < HANG, "{took:?} for {size} bytes: {result:?}");
    assert!(peak <= 2 * size + ALLOWANCE, "{peak} bytes of memory for a file of {size}: {result:?}");
    if let Err(error) = result {
        let line = error.to_string();
        assert!(!line.contains('\n') && line.len() < 2000, "no line for a person: {line:?}");
    }
}

fn damaged(model: &str) -> impl Strategy<Value = Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(model);
    damaged_bytes(std::fs::read(path).expect("the fixture is committed"))
}

thread_local! {
    static SCRATCH: Scratch = Scratch::new();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(400), failure_persistence: None, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_llama_is_an_error_or_answers(bytes in damaged("tiny.gguf")) {
        SCRATCH.with(|scratch| check(&scratch.write("model.gguf", &bytes), bytes.len()));
    }

    #[test]
    fn a_damaged_mixture_is_an_error_or_answers(bytes in damaged("mixtral.gguf")) {
        SCRATCH.with(|scratch| check(&scratch.write("model.gguf", &bytes), bytes.len()));
    }

    #[test]
    fn a_damaged_gemma_is_an_error_or_answers(bytes in damaged("gemma3.gguf")) {
        SCRATCH.with(|scratch| check(&scratch.write("model.gguf", &bytes), bytes.len()));
    }
}
