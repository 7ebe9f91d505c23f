//! A chat template, filled in with a short conversation. It may not take longer than a second or write more than 64 MB.
#![no_main]

use kinglet_fuzz::inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::template(bytes));
