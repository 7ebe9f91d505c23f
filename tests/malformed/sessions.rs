//! Damaged sessions: files of `Session::save`, with a checksum that fits the damage, so that what lies behind it is met. Each is an error
//! of one line or a session that goes on.

use crate::allocator::{peak_of, time_of};
use crate::mutations::{cases, damaged_bytes};
use crate::support::Scratch;
use kinglet::kv::{CacheFormat, CacheType, Policy};
use kinglet::{Error, Model, ModelOptions, SessionOptions, TokenId};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::Duration;

/// Longer than this for some KB is a hang; an emulator, or a small board, takes longer for everything.
const HANG: Duration = Duration::from_secs(if cfg!(target_arch = "x86_64") { 1 } else { 60 });

/// What may be taken beside twice the file: the pass that goes on, and a page for each layer.
const ALLOWANCE: usize = 4 << 20;

/// Bytes of the checksum at the end.
const CHECKSUM: usize = 32;

struct Saved {
    model: Model,
    /// A short session, and one that has let go of tokens and has pins.
    files: [Vec<u8>; 2],
    scratch: Scratch,
}

impl Saved {
    fn new() -> Saved {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/tiny.gguf");
        let cache = Some(CacheFormat::of(CacheType::Q8_0));
        let model = Model::open_with(path, &ModelOptions { threads: Some(1), cache, ..ModelOptions::default() }).unwrap();
        let scratch = Scratch::new();
        let files = [(64, 20), (40, 300)].map(|(context, n)| {
            let options = SessionOptions { context: Some(context), policy: Some(Policy::Ring { sinks: 4 }) };
            let mut session = model.session(options).unwrap();
            session.feed(&[TokenId(1); 20]).unwrap();
            session.pin(6..9).unwrap();
            session.feed(&vec![TokenId(2); n]).unwrap();
            session.save(scratch.path("whole.session")).unwrap();
            std::fs::read(scratch.path("whole.session")).unwrap()
        });
        Saved { model, files, scratch }
    }

    /// Takes up what `bytes` hold, and goes on.
    fn go_on(&self, bytes: &[u8]) -> Result<usize, Error> {
        let path = self.scratch.write("damaged.session", bytes);
        self.model.restore_as(&path, SessionOptions { context: Some(500), policy: None })?;
        let mut session = self.model.restore(&path)?;
        session.feed(&[TokenId(3)])?;
        session.truncate(session.len() / 2).or_else(|_| session.feed(&[TokenId(4)]))?;
        session.feed(&[TokenId(5), TokenId(6)])?;
        Ok(session.logits()?.len())
    }
}

thread_local! {
    static SAVED: Saved = Saved::new();
}

/// The description's JSON is where damage matters; the numbers behind it are any numbers.
fn damaged(which: usize) -> impl Strategy<Value = Vec<u8>> {
    let whole = SAVED.with(|saved| saved.files[which].clone());
    let header = 18 + 8 + usize::from(u16::from_le_bytes([whole[18], whole[19]]));
    let (description, pages) = (whole[..header].to_vec(), whole[header..whole.len() - CHECKSUM].to_vec());
    (damaged_bytes(description), prop::bool::ANY).prop_map(move |(mut bytes, fits)| {
        if fits && bytes.len() >= 26 {
            // A length that fits what the damage has left: the description is parsed then.
            let length = bytes.len() as u64 - 26;
            bytes[18..26].copy_from_slice(&length.to_le_bytes());
        }
        bytes.extend(&pages);
        let checksum = Sha256::digest(&bytes);
        bytes.extend(checksum);
        bytes
    })
}

fn check(bytes: &[u8]) {
    SAVED.with(|saved| {
        let ((result, peak), took) = time_of(|| peak_of(|| saved.go_on(bytes)));
        assert!(took < HANG, "{took:?}: {result:?}");
        assert!(peak <= 2 * bytes.len() + ALLOWANCE, "{peak} bytes of memory for {}: {result:?}", bytes.len());
        if let Err(error) = result {
            assert!(!error.to_string().contains('\n'), "no line for a person: {error}");
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300), failure_persistence: None, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_session_is_an_error_or_goes_on(bytes in damaged(0)) {
        check(&bytes);
    }

    #[test]
    fn a_damaged_stream_is_an_error_or_goes_on(bytes in damaged(1)) {
        check(&bytes);
    }
}

#[test]
fn whole_sessions_go_on() {
    SAVED.with(|saved| saved.files.iter().for_each(|file| assert!(saved.go_on(file).unwrap() > 0)));
}
