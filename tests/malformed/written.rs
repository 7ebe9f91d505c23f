//! Files that kinglet writes itself: what goes in comes out, and a file is there whole or not at all.

use crate::assert_refused;
use crate::support::{Scratch, fixture, fixture_bytes, open};
use kinglet::error::FileError;
use kinglet::file::{GgufPlan, Kind, ModelFile, NewValue};
use kinglet_models::Metadata;
use kinglet_quant::Type;
use std::path::Path;

fn everything_in(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("an entry").file_name());
    files.map(|name| name.to_string_lossy().into_owned()).collect()
}

#[test]
fn a_copy_of_a_file_keeps_all_metadata_and_tensors() {
    let scratch = Scratch::new();
    let source = ModelFile::open(&fixture("small.gguf")).expect("a whole file");
    let mut plan = GgufPlan::like(source.gguf().expect("a GGUF file"));
    plan.set("kind.u32", &NewValue::U32(1));
    plan.set("added", &NewValue::Array(Kind::Text, vec![NewValue::Text("ä".into()), NewValue::Text(String::new())]));
    plan.remove("kind.bool");
    source.tensors().for_each(|tensor| plan.tensor(tensor.name, tensor.ty, tensor.shape));
    let path = scratch.path("copy.gguf");
    let mut writer = plan.create(&path).expect("a plan that can be written");
    for tensor in source.tensors() {
        // In two parts: a large tensor need not be in memory.
        let (first, rest) = tensor.bytes.split_at(tensor.bytes.len() / 3);
        writer.write(tensor.name, first).expect("its turn");
        writer.write(tensor.name, rest).expect("its turn");
    }
    writer.finish().expect("everything is written");
    assert_eq!(everything_in(&scratch.path("")), ["copy.gguf"], "nothing else is left");

    let copy = open(&path, fixture_bytes("small.gguf").len()).expect("a whole file");
    let mut expected: Vec<_> = source.metadata().filter(|entry| entry.key != "kind.bool").collect();
    expected.iter_mut().filter(|entry| entry.key == "kind.u32").for_each(|entry| entry.value = "1".into());
    let found: Vec<_> = copy.metadata().collect();
    assert_eq!(found[..found.len() - 1], expected);
    assert_eq!(found[found.len() - 1].value, "[\"ä\", \"\"]");
    assert_eq!(copy.get("kind.nested"), source.get("kind.nested"));
    for (a, b) in copy.tensors().zip(source.tensors()) {
        assert_eq!((a.name, a.ty, a.shape, a.bytes), (b.name, b.ty, b.shape, b.bytes));
    }
}

#[test]
fn a_file_of_our_own_with_every_kind_of_value() {
    let scratch = Scratch::new();
    let mut plan = GgufPlan::new();
    let nested = NewValue::Array(Kind::Array, vec![NewValue::Array(Kind::U8, vec![NewValue::U8(1)]), NewValue::Array(Kind::F64, vec![])]);
    let values = [
        ("u8", NewValue::U8(1), "1"),
        ("i8", NewValue::I8(-1), "-1"),
        ("u16", NewValue::U16(2), "2"),
        ("i16", NewValue::I16(-2), "-2"),
        ("u32", NewValue::U32(3), "3"),
        ("i32", NewValue::I32(-3), "-3"),
        ("u64", NewValue::U64(u64::MAX), "18446744073709551615"),
        ("i64", NewValue::I64(i64::MIN), "-9223372036854775808"),
        ("f32", NewValue::F32(1e-6), "1e-6"),
        ("f64", NewValue::F64(0.25), "0.25"),
        ("bool", NewValue::Bool(true), "true"),
        ("text", NewValue::Text("wren".into()), "wren"),
        ("array", nested, "[[1], []]"),
    ];
    values.iter().for_each(|(key, value, _)| plan.set(key, value));
    plan.create(&scratch.path("all.gguf")).and_then(|writer| writer.finish()).expect("a file without tensors");
    let file = open(&scratch.path("all.gguf"), 1000).expect("a whole file");
    let found: Vec<_> = file.metadata().map(|entry| (entry.key, entry.value)).collect();
    let expected: Vec<_> = values.iter().map(|(key, _, shown)| ((*key).to_owned(), (*shown).to_owned())).collect();
    assert_eq!(found, expected);
}

#[test]
fn what_is_not_finished_leaves_the_old_file_and_nothing_else() {
    let scratch = Scratch::new();
    let path = scratch.write("model.gguf", b"old");
    let mut plan = GgufPlan::new();
    plan.tensor("one", Type::F32, &[2, 4]);
    plan.tensor("two", Type::F32, &[8]);
    let mut writer = plan.clone().create(&path).expect("a plan that can be written");
    assert_refused!(writer.write("two", &[0; 32]), FileError::Plan { .. }, "model.gguf", "`two`", "`one` first");
    assert_refused!(writer.write("one", &[0; 33]), FileError::Plan { .. }, "`one`", "32 more bytes of 32", "found 33");
    writer.write("one", &[0; 32]).expect("its turn");
    assert_refused!(writer.finish(), FileError::Plan { .. }, "tensors written whole: expected 2, found 1", "`two` is next");
    drop(plan.create(&path).expect("a plan that can be written"));
    assert_eq!(std::fs::read(&path).expect("the old file"), b"old");
    assert_eq!(everything_in(&scratch.path("")), ["model.gguf"]);
}

#[test]
fn plans_that_no_reader_would_accept_are_refused() {
    let scratch = Scratch::new();
    let plan = |ty, shape: &[usize]| {
        let mut plan = GgufPlan::new();
        plan.tensor("w", ty, shape);
        plan.create(&scratch.path("w.gguf"))
    };
    for (ty, shape) in [(Type::Q4_K, &[4, 100][..]), (Type::F32, &[]), (Type::F32, &[0]), (Type::F32, &[1; 5]), (Type::F32, &[1 << 62, 4])]
    {
        assert_refused!(plan(ty, shape), FileError::Plan { .. }, "w.gguf", "tensor `w`", ty.name());
    }
    let mut twice = GgufPlan::new();
    twice.tensor("w", Type::F32, &[1]);
    twice.tensor("w", Type::F32, &[1]);
    assert_refused!(twice.create(&scratch.path("w.gguf")), FileError::Duplicate { .. }, "`w`");
    let nowhere = GgufPlan::new().create(&scratch.path("none/w.gguf"));
    assert_refused!(nowhere, FileError::Io { .. }, "none/w.gguf", "can't write it");
    assert!(everything_in(&scratch.path("")).is_empty());
}
