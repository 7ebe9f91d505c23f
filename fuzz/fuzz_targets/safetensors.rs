//! A Hugging Face folder: a `config.json`, a zero, and a safetensors file. Where only the JSON of that file's head stands, its length and
//! its weights are put around it, so that a change of one is not refused for the length alone.
#![no_main]

use kinglet_fuzz::inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::safetensors(bytes));
