//! Sampling parameters and logits of any numbers: an error, or a token that is in the vocabulary.
#![no_main]

use kinglet_fuzz::inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::sampler(bytes));
