//! What fuzz targets do with their bytes is what the tests of `tests/malformed/` do: these are the same files. A panic that
//! becomes an error in kinglet is none to libFuzzer either, as `allocator` keeps it from libFuzzer's hook.

#[path = "../../tests/malformed/allocator.rs"]
pub mod allocator;
#[path = "../../tests/malformed/inputs.rs"]
pub mod inputs;
#[path = "../../tests/malformed/support.rs"]
// What is public here is so for the targets, and needs no more than they do.
#[allow(clippy::new_without_default)]
pub mod support;
