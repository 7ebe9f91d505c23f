//! What stands behind a flag: position schemes, amounts of memory, CPU masks, lists of samplers, stop strings and ranges. A scheme or a
//! bound on memory that is understood is put to use with a small model.
#![no_main]

use kinglet_fuzz::inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::typed(bytes));
