//! Bytes as a GGUF file: metadata and tensors are walked through, then the file is used as a model, with weights behind it where it has
//! none of its own. Readers, families' recipes and kernels meet numbers that no converter writes.
#![no_main]

use kinglet_fuzz::inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::gguf(bytes));
