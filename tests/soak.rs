//! Eight sessions over one model at the same time, forked, cancelled and begun anew at random: their answers are those of a lone session,
//! and memory stays where it was. A few seconds of it here; `KINGLET_SOAK=600 cargo test --release --test soak` goes on for ten minutes.

#[path = "support/texts.rs"]
mod texts;

use kinglet::parallel::machine::private_memory;
use kinglet::{Model, ModelOptions, Session, SessionOptions};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use texts::{bits, tokens};

const SESSIONS: usize = 8;

/// Prompts that the sessions choose from.
const TEXTS: usize = 12;

/// What memory may grow by once every session has been there: the allocator's slack.
const SLACK: u64 = 8 << 20;

fn session(model: &Model) -> Session {
    model.session(SessionOptions { context: Some(512), ..SessionOptions::default() }).unwrap()
}

/// One round of a session: a beginning, a fork that goes elsewhere, perhaps a pass that is cancelled, and the end, which is compared.
fn round(model: &Model, expected: &[Vec<u32>], random: &mut impl FnMut() -> usize) {
    let (text, other) = (random() % TEXTS, random() % TEXTS);
    let prompt = tokens(model, 200, text);
    let cut = 1 + random() % 190;
    let mut mine = session(model);
    mine.feed(&prompt[..cut]).unwrap();
    let mut fork = mine.fork();
    fork.feed(&tokens(model, 1 + random() % 40, other)).unwrap();
    if random().is_multiple_of(3) {
        let cancel = AtomicBool::new(true);
        assert!(!mine.feed_until(&tokens(model, 50, other), Some(&cancel), |_| ()).unwrap(), "a raised flag cancels");
    }
    if random().is_multiple_of(2) {
        drop(fork);
    }
    mine.feed(&prompt[cut..]).unwrap();
    assert_eq!(bits(&mut mine), expected[text], "text {text}, cut at {cut}");
}

#[test]
fn eight_sessions_at_once_answer_as_one_does_and_memory_stays() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/models/tiny.gguf");
    let model = Model::open_with(path, &ModelOptions { threads: Some(2), ..ModelOptions::default() }).unwrap();
    let alone = |text| {
        let mut session = session(&model);
        session.feed(&tokens(&model, 200, text)).unwrap();
        bits(&mut session)
    };
    let expected: Vec<Vec<u32>> = (0..TEXTS).map(alone).collect();
    let seconds = std::env::var("KINGLET_SOAK").map_or(3, |seconds| seconds.parse().expect("KINGLET_SOAK: seconds"));
    let (begin, rounds) = (Instant::now(), AtomicUsize::new(0));
    let run_until = |end: Duration| {
        std::thread::scope(|scope| {
            for seed in 0..SESSIONS {
                let (model, expected, rounds) = (&model, &expected, &rounds);
                scope.spawn(move || {
                    let mut state = seed as u64 + end.as_millis() as u64;
                    let mut random = || {
                        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                        (state >> 33) as usize
                    };
                    while begin.elapsed() < end {
                        round(model, expected, &mut random);
                        rounds.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        private_memory()
    };
    let total = Duration::from_secs(seconds);
    let (early, late) = (run_until(total / 3), run_until(total));
    println!("{} rounds; {early:?} bytes after a third of the time, {late:?} at the end", rounds.load(Ordering::Relaxed));
    assert!(rounds.into_inner() >= SESSIONS);
    if let (Some(early), Some(late)) = (early, late) {
        assert!(late <= early + SLACK, "{early} bytes grew to {late}");
    }
}
