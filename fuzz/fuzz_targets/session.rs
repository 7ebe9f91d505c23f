//! A saved session with a damaged description, a length that fits it or does not, the pages of a whole session and a checksum that fits.
//! Whatever the description says, restoring is an error or a session that goes on.
#![no_main]

use kinglet_fuzz::inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::session(bytes));
