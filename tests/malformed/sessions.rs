//! Damaged sessions: files of `Session::save`, with a checksum that fits the damage, so that what lies behind it is met. Each is an error
//! of one line or a session that goes on.

use crate::inputs::{restored, session, whole_sessions};
use crate::mutations::{cases, damaged_bytes};
use proptest::prelude::*;

/// The description's JSON is where damage matters; the numbers behind it are any numbers.
fn damaged(which: usize) -> impl Strategy<Value = Vec<u8>> {
    let whole = whole_sessions()[which].clone();
    (damaged_bytes(whole[1..].to_vec()), prop::bool::ANY)
        .prop_map(move |(start, fits)| [&[which as u8 | if fits { 2 } else { 0 }][..], &start].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300), failure_persistence: None, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_session_is_an_error_or_goes_on(bytes in damaged(0)) {
        session(&bytes);
    }

    #[test]
    fn a_damaged_stream_is_an_error_or_goes_on(bytes in damaged(1)) {
        session(&bytes);
    }
}

#[test]
fn whole_sessions_go_on() {
    whole_sessions().iter().for_each(|whole| assert!(restored(whole) > Some(0)));
}
