//! The inputs that fuzzing (`fuzz/`) found to reach most of the code, and those that once went wrong, tried again: a folder of `corpus/`
//! for each kind.

use crate::inputs::KINDS;
use std::path::Path;

#[test]
fn what_fuzzing_found_is_an_error_or_works() {
    for (kind, check) in KINDS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/malformed/corpus").join(kind);
        let inputs: Vec<_> = std::fs::read_dir(&folder).expect("each kind has its folder").map(|entry| entry.unwrap().path()).collect();
        assert!(inputs.len() >= 20, "only {} inputs in {}", inputs.len(), folder.display());
        for input in inputs {
            // The name is what is looked for when a check fails.
            eprintln!("{}", input.display());
            check(&std::fs::read(&input).unwrap());
        }
    }
}
