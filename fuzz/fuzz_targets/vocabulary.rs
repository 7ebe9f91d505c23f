//! A vocabulary in GGUF metadata: read, then given texts that take tokenizers apart and ids that it does not have.
#![no_main]

use kinglet_fuzz::inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::vocabulary(bytes));
