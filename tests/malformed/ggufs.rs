//! GGUF files with something wrong in one place each.

use crate::assert_refused;
use crate::support::{Raw, Scratch, array, fixture_bytes, open, text};
use kinglet::error::FileError;
use kinglet::file::ModelFile;

const F32: u32 = 0;
const Q4_K: u32 = 12;

/// A whole file: a key, and two tensors of 32 bytes.
fn whole() -> Raw {
    Raw::new().key("a.key", 4, &7u32.to_le_bytes()).tensor("one", &[8], F32, 0).tensor("two", &[4, 2], F32, 32)
}

fn opened(bytes: &[u8]) -> Result<ModelFile, FileError> {
    Scratch::new().open("model.gguf", bytes)
}

#[test]
fn the_file_that_all_these_start_from_is_whole() {
    Scratch::new().open("model.gguf", &whole().build(64)).expect("a whole file");
    Scratch::new().open("model.gguf", &Raw::new().build(0)).expect("a file of nothing but metadata, or not even that, is a file");
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let scratch = Scratch::new();
    let bytes = fixture_bytes("small.gguf");
    let needed = bytes.len() - 28; // The last tensor's padding may be missing.
    for len in 0..needed {
        let error = scratch.open("cut.gguf", &bytes[..len]).err().unwrap_or_else(|| panic!("{len} of {needed} bytes were accepted"));
        let named = matches!(
            error,
            FileError::Empty { .. } | FileError::Truncated { .. } | FileError::OutsideFile { .. } | FileError::Field { .. }
        );
        assert!(named, "{len} bytes: {error:?}");
    }
    scratch.open("cut.gguf", &bytes[..needed]).expect("only padding is missing");
}

#[test]
fn any_field_may_have_any_extreme_value() {
    let scratch = Scratch::new();
    let bytes = fixture_bytes("small.gguf");
    let size = bytes.len() as u64;
    let extremes = [0, 1, 2, size - 1, size, size + 1, 1 << 30, 1 << 31, u64::from(u32::MAX), 1 << 60, 1 << 63, u64::MAX - 31, u64::MAX];
    let head = bytes.len() - 384;
    let mut refused = 0;
    for at in 4..head {
        for (i, extreme) in extremes.iter().enumerate() {
            // 8 bytes wide, or 4 where the value has a meaning there; at every offset, so that every field is hit.
            let width = if i % 2 == 0 { 8 } else { 4 };
            let mut bytes = bytes.clone();
            bytes[at..at + width].copy_from_slice(&extreme.to_le_bytes()[..width]);
            refused += usize::from(scratch.open("extreme.gguf", &bytes).is_err());
        }
    }
    assert!(refused > 4000, "most of these are damage: {refused}");
}

#[test]
fn versions_and_byte_orders_are_named() {
    let with_version = |version: [u8; 4]| {
        let mut bytes = whole().build(64);
        bytes[4..8].copy_from_slice(&version);
        bytes
    };
    Scratch::new().open("two.gguf", &with_version([2, 0, 0, 0])).expect("version 2 has the same layout");
    assert_refused!(opened(&with_version([1, 0, 0, 0])), FileError::Version { found: 1, .. }, "expected GGUF 2 or 3", "convert");
    assert_refused!(opened(&with_version([4, 0, 0, 0])), FileError::Version { found: 4, .. }, "found 4");
    assert_refused!(opened(&with_version([0, 0, 0, 0])), FileError::Version { found: 0, .. }, "found 0");
    assert_refused!(opened(&with_version([0, 0, 0, 3])), FileError::BigEndian { .. }, "big-endian", "--bigendian");
}

#[test]
fn counts_that_lie_take_no_memory() {
    for count in [3, 1 << 20, 1 << 31, 1 << 40, 1 << 60, (1 << 61) + 2, u64::MAX] {
        assert_refused!(opened(&whole().stating(count, 1, 64)), FileError::Field { .. } | FileError::Truncated { .. }, "model.gguf");
        assert_refused!(opened(&whole().stating(2, count, 64)), FileError::Field { .. } | FileError::Truncated { .. }, "model.gguf");
    }
    assert_refused!(opened(&whole().stating(1 << 60, 1, 64)), FileError::Field { .. }, "tensor count", "at most", "1152921504606846976");
    // As many as could just be there, in a file with room for them and nothing in it.
    let large = whole().stating(20_000, 1, 1 << 20);
    assert!(opened(&large).is_err());
    assert!(opened(&whole().stating(2, 70_000, 1 << 20)).is_err());
}

#[test]
fn as_many_keys_and_tensors_as_fit_take_no_more_memory_than_the_file() {
    let mut keys = Raw::new();
    for i in 0..20_000 {
        keys = keys.key(&format!("{i:x}"), 0, &[0]);
    }
    Scratch::new().open("keys.gguf", &keys.build(0)).expect("many keys are no crime");
    let mut tensors = Raw::new();
    for i in 0..10_000 {
        tensors = tensors.tensor(&format!("{i:x}"), &[1], F32, 32 * i);
    }
    Scratch::new().open("tensors.gguf", &tensors.build(320_000)).expect("many tensors are no crime");
}

#[test]
fn texts_and_arrays_longer_than_the_file_are_refused() {
    let endless = Raw::new().key("text", 8, &(1u64 << 60).to_le_bytes()).build(0);
    assert!(endless.len() < 160);
    assert_refused!(opened(&endless), FileError::Truncated { .. }, "value of `text`", "1152921504606846976 bytes");
    for (kind, count) in [(0, 1 << 60), (4, 1 << 62), (6, (1 << 62) + 1), (8, 1 << 61), (9, u64::MAX), (12, 1 << 61)] {
        let bytes = Raw::new().key("list", 9, &array(kind, count)).build(0);
        assert_refused!(opened(&bytes), FileError::Field { .. }, "length of the array `list`", "at most");
    }
    // A text within an array that swallows the rest.
    let bytes = Raw::new().key("list", 9, &[array(8, 2), text("a"), u64::MAX.to_le_bytes().to_vec()].concat()).build(0);
    assert_refused!(opened(&bytes), FileError::Truncated { .. }, "`list`");
}

#[test]
fn arrays_may_be_nested_but_not_a_thousand_deep() {
    let nested = |depth: usize| Raw::new().key("deep", 9, &[array(9, 1).repeat(depth - 1), array(0, 1), vec![5]].concat()).build(0);
    Scratch::new().open("deep.gguf", &nested(8)).expect("eight levels are allowed");
    for depth in [9, 1000, 100_000] {
        assert_refused!(opened(&nested(depth)), FileError::Field { .. }, "value of `deep`", "at most 8 deep");
    }
}

#[test]
fn keys_are_utf_8_of_sane_length_and_stand_once() {
    assert_refused!(opened(&Raw::new().key("", 4, &[0; 4]).build(0)), FileError::Field { .. }, "length of key number 0", "found 0");
    let long = "k".repeat(65536);
    assert_refused!(opened(&Raw::new().key(&long, 4, &[0; 4]).build(0)), FileError::Field { .. }, "65535", "found 65536");
    let twice = whole().key("a.key", 8, &text("again"));
    assert_refused!(opened(&twice.build(64)), FileError::Duplicate { what: "key", .. }, "`a.key`", "twice");
    let mut bytes = whole().build(64);
    bytes[32] = 0xff; // The first byte of the key.
    assert_refused!(opened(&bytes), FileError::Field { .. }, "key number 0", "UTF-8", "[ff");
}

#[test]
fn values_of_unknown_kind_or_impossible_value_are_refused() {
    assert_refused!(opened(&Raw::new().key("odd", 13, &[0; 8]).build(0)), FileError::Field { .. }, "kind of `odd`", "found 13");
    let bytes = Raw::new().key("list", 9, &array(99, 0)).build(0);
    assert_refused!(opened(&bytes), FileError::Field { .. }, "kind of `list`", "found 99");
    assert_refused!(opened(&Raw::new().key("truth", 7, &[2]).build(0)), FileError::Field { .. }, "`truth`", "0 (false) or 1");
    let bytes = Raw::new().key("name", 8, &[&3u64.to_le_bytes()[..], b"a\xff\xfe"].concat()).build(0);
    assert_refused!(opened(&bytes), FileError::Field { .. }, "value of `name`", "UTF-8", "[ff, fe]");
}

#[test]
fn the_alignment_is_a_sane_power_of_two_in_the_right_type() {
    let aligned = |kind, value: &[u8]| Raw::new().key("general.alignment", kind, value).tensor("one", &[8], F32, 0).build(4096);
    Scratch::new().open("a.gguf", &aligned(4, &64u32.to_le_bytes())).expect("64 is an alignment");
    for wrong in [0u32, 1, 3, 33, 1 << 22, 1 << 30, u32::MAX] {
        assert_refused!(opened(&aligned(4, &wrong.to_le_bytes())), FileError::Field { .. }, "general.alignment", "power of two");
    }
    assert_refused!(opened(&aligned(10, &32u64.to_le_bytes())), FileError::KeyType { .. }, "general.alignment", "u32", "u64: 32");
    assert_refused!(opened(&aligned(8, &text("32"))), FileError::KeyType { .. }, "text: 32");
    let offset = Raw::new().tensor("one", &[8], F32, 8).build(64);
    assert_refused!(opened(&offset), FileError::Field { .. }, "offset of tensor `one`", "alignment, 32", "found 8");
}

#[test]
fn dimensions_are_counted_before_they_are_multiplied() {
    let shaped = |dims: &[u64]| Raw::new().tensor("w", dims, F32, 0).build(64);
    assert_refused!(
        opened(&shaped(&[1, 1, 1, 1, 1])),
        FileError::Field { .. },
        "number of dimensions of tensor `w`",
        "at most 4",
        "found 5"
    );
    assert_refused!(opened(&shaped(&[0])), FileError::Field { .. }, "dimension 0 of tensor `w`", "found 0");
    assert_refused!(opened(&shaped(&[4, 0, 2])), FileError::Field { .. }, "dimension 1 of tensor `w`", "found 0");
    for wrapping in [&[1 << 62, 4][..], &[1 << 32, 1 << 32], &[u64::MAX], &[u64::MAX, u64::MAX, 2, 2], &[(1 << 62) + 4]] {
        assert_refused!(opened(&shaped(wrapping)), FileError::OutsideFile { .. }, "tensor `w`");
    }
    let scalar = Scratch::new().open("scalar.gguf", &Raw::new().tensor("s", &[], F32, 0).build(4)).expect("a scalar is a tensor");
    assert_eq!(scalar.tensor("s").unwrap().shape, [1]);
}

#[test]
fn a_row_is_a_whole_number_of_blocks() {
    let bytes = Raw::new().tensor("w", &[300, 2], Q4_K, 0).build(4096);
    assert_refused!(opened(&bytes), FileError::Field { .. }, "row length of tensor `w`", "multiple of 256", "Q4_K", "found 300");
}

#[test]
fn types_that_kinglet_does_not_read_are_named() {
    for (id, name) in [(16, "IQ2_XXS"), (31, "Q4_0_4_4"), (1000, "type 1000"), (u32::MAX, "type 4294967295")] {
        let bytes = Raw::new().tensor("w", &[256], id, 0).build(4096);
        assert_refused!(opened(&bytes), FileError::TensorType { .. }, "model.gguf", "tensor `w`", name);
    }
}

#[test]
fn tensors_lie_within_the_file_and_apart() {
    let far = Raw::new().tensor("w", &[8], F32, 1 << 40).build(64);
    assert_refused!(opened(&far), FileError::OutsideFile { .. }, "tensor `w`", "within the file's");
    let wrapping = Raw::new().tensor("w", &[8], F32, u64::MAX - 31).build(64);
    assert_refused!(opened(&wrapping), FileError::OutsideFile { .. }, "tensor `w`");
    assert_refused!(opened(&whole().build(63)), FileError::OutsideFile { .. }, "tensor `two`");
    let same = Raw::new().tensor("one", &[8], F32, 0).tensor("two", &[8], F32, 0).build(64);
    assert_refused!(opened(&same), FileError::Overlap { .. }, "`one`", "`two`");
    let inside = Raw::new().tensor("late", &[8], F32, 32).tensor("wide", &[16], F32, 0).build(64);
    assert_refused!(opened(&inside), FileError::Overlap { .. }, "tensor `late`", "`wide` ends");
    let twice = whole().tensor("one", &[8], F32, 64);
    assert_refused!(opened(&twice.build(96)), FileError::Duplicate { what: "tensor", .. }, "`one`", "twice");
    let nameless = Raw::new().tensor("", &[8], F32, 0).build(64);
    assert_refused!(opened(&nameless), FileError::Field { .. }, "name of tensor number 0", "found 0");
}

#[test]
fn a_text_that_is_no_utf_8_within_an_array_is_found_when_it_is_read() {
    let words = [&array(8, 3)[..], &text("a"), &2u64.to_le_bytes(), b"\xc3\x28", &text("c")].concat();
    let file = Scratch::new().open("words.gguf", &Raw::new().key("words", 9, &words).build(0)).expect("nobody has read them yet");
    let words: Vec<_> = file.gguf().unwrap().strings("words").unwrap().collect();
    assert_eq!(words.len(), 2, "an error ends the list");
    assert_eq!(words[0].as_deref().ok(), Some("a"));
    assert_refused!(words.into_iter().nth(1).unwrap(), FileError::Field { .. }, "a text of `words`", "UTF-8", "[c3, 28]");
}

#[test]
fn names_in_messages_cannot_write_to_a_terminal() {
    let bytes = Raw::new().tensor("\u{1b}]0;owned\u{7}", &[0], F32, 0).build(64);
    assert_refused!(opened(&bytes), FileError::Field { .. }, "`\\u{1b}]0;owned\\u{7}`");
    let bytes = Raw::new().tensor(&"n".repeat(5000), &[0], F32, 0).build(64);
    assert_refused!(opened(&bytes), FileError::Field { .. }, "nnn…`");
}

/// Copies the parts of the split model, with `change` made to one of them.
fn split(part: usize, change: impl FnOnce(&mut Vec<u8>)) -> (Scratch, usize) {
    let scratch = Scratch::new();
    let mut change = Some(change);
    let mut size = 0;
    for no in 1..=3 {
        let name = format!("split-0000{no}-of-00003.gguf");
        let mut bytes = fixture_bytes(&name);
        if no == part {
            change.take().expect("once")(&mut bytes);
        }
        size += bytes.len();
        if !bytes.is_empty() {
            scratch.write(&name, &bytes);
        }
    }
    (scratch, size)
}

/// Replaces the bytes after a key's name and kind.
fn set(bytes: &mut [u8], key: &str, value: &[u8]) {
    let at = bytes.windows(key.len()).position(|window| window == key.as_bytes()).expect("the key is there") + key.len() + 4;
    bytes[at..at + value.len()].copy_from_slice(value);
}

#[test]
fn a_missing_part_is_named_whichever_is_opened() {
    let (scratch, size) = split(2, Vec::clear);
    for opened in [1, 3] {
        let result = open(&scratch.path(&format!("split-0000{opened}-of-00003.gguf")), size);
        assert_refused!(result, FileError::MissingPart { .. }, "split-00002-of-00003.gguf", "no such file");
    }
}

#[test]
fn parts_must_belong_together() {
    let first = "split-00001-of-00003.gguf";
    let (scratch, size) = split(2, |bytes| set(bytes, "split.count", &4u16.to_le_bytes()));
    assert_refused!(open(&scratch.path(first), size), FileError::Field { .. }, "split-00002", "split.count", "expected 3, found 4");
    let (scratch, size) = split(3, |bytes| set(bytes, "split.no", &1u16.to_le_bytes()));
    assert_refused!(open(&scratch.path(first), size), FileError::Field { .. }, "split-00003", "split.no", "expected 2, found 1");
    let (scratch, size) = split(1, |bytes| set(bytes, "split.tensors.count", &6i32.to_le_bytes()));
    assert_refused!(open(&scratch.path(first), size), FileError::Field { .. }, "split.tensors.count", "expected 5, found 6");
    let (scratch, size) = split(2, |bytes| {
        let at = bytes.windows(8).position(|window| window == b"tensor.2").expect("the tensor is there");
        bytes[at + 7] = b'0';
    });
    assert_refused!(open(&scratch.path(first), size), FileError::Duplicate { what: "tensor", .. }, "split-00002", "`tensor.0`");
}

#[test]
fn a_part_under_another_name_says_what_name_it_needs() {
    let result = Scratch::new().open("renamed.gguf", &fixture_bytes("split-00002-of-00003.gguf"));
    assert_refused!(result, FileError::Field { .. }, "NAME-00001-of-0000N.gguf", "renamed.gguf");
    let scratch = Scratch::new();
    scratch.write("a-00002-of-00002.gguf", &whole().build(64));
    let result = scratch.open("a-00001-of-00002.gguf", &whole().build(64));
    assert_refused!(result, FileError::MissingKey { .. }, "`split.count`");
}
