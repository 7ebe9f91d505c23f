//! A `tokenizer.json` beside the other files of a small BERT, used as the target `vocabulary` uses its own. Panics of the library
//! that reads it are errors in kinglet and no findings.
#![no_main]

use kinglet_fuzz::inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::tokenizer_json(bytes));
