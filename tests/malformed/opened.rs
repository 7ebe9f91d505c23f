//! Whole files, made by others' writers: every value and every weight comes out as it went in.

use crate::allocator::peak_of;
use crate::assert_refused;
use crate::support::{Raw, Scratch, array, fixture, fixture_bytes, open, text};
use kinglet::error::{FileError, Optional};
use kinglet::file::{LoadMode, ModelFile, Tensor};
use kinglet_models::{Layout, Metadata, Value};
use kinglet_quant::{Type, dequantize};

/// What `make_gguf.py` fills tensors with.
fn values(n: usize, start: usize) -> Vec<f32> {
    (start..start + n).map(|i| (i % 64) as f32 / 8.0).collect()
}

fn weights(tensor: &Tensor<'_>) -> Vec<f32> {
    let mut weights = vec![0.0; tensor.shape.iter().product()];
    dequantize(tensor.ty, tensor.bytes, &mut weights).expect("a tensor's bytes fit its type");
    weights
}

fn small() -> ModelFile {
    open(&fixture("small.gguf"), fixture_bytes("small.gguf").len()).expect("a whole file")
}

#[test]
fn every_kind_of_value_comes_out_as_it_went_in() {
    let file = small();
    let gguf = file.gguf().expect("a GGUF file");
    assert_eq!((gguf.version(), gguf.alignment()), (3, 32));
    assert_eq!(gguf.u32("kind.u8").unwrap(), 200);
    assert_eq!(file.get("kind.i8"), Some(Value::Int(-100)));
    assert_eq!(gguf.u32("kind.u16").unwrap(), 60000);
    assert_eq!(file.get("kind.i16"), Some(Value::Int(-30000)));
    assert_eq!(gguf.u32("kind.u32").unwrap(), 4_000_000_000);
    assert_eq!(file.get("kind.i32"), Some(Value::Int(-2_000_000_000)));
    assert_eq!(gguf.f32("kind.f32").unwrap(), 0.1);
    assert!(gguf.bool("kind.bool").unwrap());
    assert_eq!(gguf.text("kind.text").unwrap(), "Zaunkönig 🐦");
    assert_eq!(gguf.u64("kind.u64").unwrap(), (1 << 63) + 5);
    assert_eq!(file.get("kind.u64"), Some(Value::Float(9223372036854775813.0)));
    assert_eq!(file.get("kind.i64"), Some(Value::Int(-(1 << 62))));
    assert_eq!(file.get("kind.f64"), Some(Value::Float(0.1)));
    let words: Vec<&str> = gguf.strings("kind.words").unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(words, ["a", "", "naïve", "<|end|>"]);
    assert_eq!(gguf.f32s("kind.floats").unwrap().collect::<Vec<_>>(), [0.5, -1.25]);
    assert_eq!(gguf.i32s("kind.ints").unwrap().collect::<Vec<_>>(), [3, -1, 2]);
    assert_eq!(file.get("kind.longs"), Some(Value::List(vec![Value::Int(1 << 40), Value::Int(7)])));
    assert_eq!(gguf.bools("kind.bools").unwrap().collect::<Vec<_>>(), [true, false, true]);
    let list = |numbers: &[i64]| Value::List(numbers.iter().copied().map(Value::Int).collect());
    assert_eq!(file.get("kind.nested"), Some(Value::List(vec![list(&[1, 2]), list(&[3])])));
}

#[test]
fn a_wrong_type_is_named_with_what_is_there() {
    let file = small();
    let gguf = file.gguf().expect("a GGUF file");
    assert_refused!(gguf.u32("kind.text"), FileError::KeyType { .. }, "small.gguf", "`kind.text`", "an integer", "text: Zaunkönig");
    assert_refused!(gguf.u32("kind.i32"), FileError::KeyType { .. }, "from 0 to", "i32: -2000000000");
    assert_refused!(gguf.text("kind.f32"), FileError::KeyType { .. }, "expected text", "f32: 0.1");
    assert_refused!(gguf.strings("kind.ints"), FileError::KeyType { .. }, "array of text", "array of i32 [3]: [3, -1, 2]");
    assert_refused!(gguf.i32s("kind.longs"), FileError::KeyType { .. }, "-2^31", "array of u64 [2]: [1099511627776, 7]");
    assert_refused!(gguf.u32s("kind.ints"), FileError::KeyType { .. }, "from 0 to 2^32", "array of i32");
    assert_refused!(gguf.f32s("kind.words"), FileError::KeyType { .. }, "array of f32", "array of text [4]");
    assert_refused!(gguf.bool("kind.u8"), FileError::KeyType { .. }, "bool", "u8: 200");
}

#[test]
fn a_missing_key_is_an_error_or_none_as_the_caller_likes() {
    let file = small();
    let gguf = file.gguf().expect("a GGUF file");
    assert_refused!(gguf.u32("kind.none"), FileError::MissingKey { .. }, "small.gguf", "`kind.none`");
    assert_eq!(gguf.u32("kind.none").optional().unwrap(), None);
    assert_eq!(gguf.u32("kind.u8").optional().unwrap(), Some(200));
    assert!(gguf.u32("kind.text").optional().is_err(), "a wrong type stays an error");
}

#[test]
fn tensors_are_the_mapped_bytes_with_their_rows_first() {
    let file = small();
    let shapes: Vec<_> = file.tensors().map(|tensor| (tensor.name, tensor.ty, tensor.shape)).collect();
    let expected: [(&str, Type, &[usize]); 5] = [
        ("vector", Type::F32, &[5]),
        ("half", Type::F16, &[3, 4]),
        ("cube", Type::F32, &[2, 3, 4]),
        ("q8", Type::Q8_0, &[2, 64]),
        ("q4", Type::Q4_0, &[1, 64]),
    ];
    assert_eq!(shapes, expected);
    assert_eq!(weights(&file.tensor("vector").unwrap()), values(5, 0));
    assert_eq!(weights(&file.tensor("half").unwrap()), values(12, 3));
    assert_eq!(weights(&file.tensor("cube").unwrap()), values(24, 0));
    let furthest = weights(&file.tensor("q8").unwrap()).iter().zip(values(128, 0)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(furthest < 8.0 / 127.0, "8-bit blocks are as near as their step: {furthest}");
    assert_eq!(file.tensor_shape("cube"), Some(vec![2, 3, 4]));
    assert_refused!(file.tensor("cubes"), FileError::MissingTensor { .. }, "small.gguf", "`cubes`");
    let (span, tensor) = file.find("q4").unwrap();
    assert_eq!(file.bytes_at(&span).as_ptr_range(), tensor.bytes.as_ptr_range());
    assert_eq!(file.bytes_at(&span.slice(3..7)), &tensor.bytes[3..7]);
}

#[test]
fn every_way_to_load_gives_the_same_bytes() {
    let expected: Vec<_> = fixture_bytes("small.gguf");
    for how in [LoadMode::Mmap, LoadMode::Populate, LoadMode::Lock, LoadMode::Read] {
        let file = match ModelFile::open_with(&fixture("small.gguf"), how) {
            // Some containers allow no locked memory at all.
            Err(FileError::Io { action, .. }) if how == LoadMode::Lock && action.contains("lock") => continue,
            opened => opened.expect("a whole file"),
        };
        assert_eq!(file.bytes(), expected.len() as u64);
        let tensor = file.tensor("vector").unwrap();
        assert_eq!(tensor.bytes, &expected[expected.len() - 384..][..20], "{how:?}");
    }
}

#[test]
fn metadata_is_shown_to_people_in_the_files_order_and_on_one_line() {
    let scratch = Scratch::new();
    let control = text("two\nlines\u{7}\u{202e}");
    let nasty = Raw::new().key("a\u{1b}[31m", 8, &control).key("long", 8, &text(&"ä".repeat(1000)));
    let file = scratch.open("nasty.gguf", &nasty.build(0)).expect("nothing is wrong with strange text");
    let entries: Vec<_> = file.metadata().collect();
    assert_eq!(entries[0].value, "two\\nlines\\u{7}\\u{202e}");
    assert_eq!(entries[1].value, format!("{}…", "ä".repeat(80)));
    let shown: Vec<String> = small().metadata().map(|entry| format!("{} ({}) = {}", entry.key, entry.kind, entry.value)).collect();
    assert_eq!(shown[0], "general.architecture (text) = llama");
    assert!(shown.contains(&"kind.nested (array of array [2]) = [[1, 2], [3]]".to_owned()), "{shown:?}");
    assert!(shown.contains(&"kind.words (array of text [4]) = [\"a\", \"\", \"naïve\", \"<|end|>\"]".to_owned()), "{shown:?}");
}

#[test]
fn any_part_of_a_split_model_opens_all_of_it() {
    for part in 1..=3 {
        let file = open(&fixture(&format!("split-0000{part}-of-00003.gguf")), 800).expect("all parts are there");
        let names: Vec<_> = file.tensors().map(|tensor| tensor.name).collect();
        assert_eq!(names, ["tensor.0", "tensor.1", "tensor.2", "tensor.3", "tensor.4"]);
        assert_eq!(weights(&file.tensor("tensor.3").unwrap()), values(4, 3));
        assert_eq!(file.gguf().unwrap().text("general.architecture").unwrap(), "llama", "the first part's metadata");
        assert_eq!(file.bytes(), 320 + 288 + 192);
    }
}

#[test]
fn a_hugging_face_folder_opens_by_itself_or_by_any_of_its_files() {
    for path in ["folder", "folder/model-00001-of-00002.safetensors", "folder/model-00002-of-00002.safetensors"] {
        let file = open(&fixture(path), 1000).expect("a whole folder");
        assert_eq!(file.layout(), Layout::HuggingFace);
        assert!(file.gguf().is_none());
        assert_eq!(file.folder(), Some(&*fixture("folder")));
        assert_eq!(file.tensors().count(), 3, "integer buffers are left out");
        assert_eq!(file.tensor_shape("head.weight"), Some(vec![4, 3]));
        assert_eq!(weights(&file.tensor("head.weight").unwrap()), values(12, 5));
        assert_eq!(weights(&file.tensor("norm.weight").unwrap()), values(3, 9));
        assert_refused!(file.tensor("position_ids"), FileError::TensorType { .. }, "00002.safetensors", "`position_ids`", "I64");
    }
}

#[test]
fn configuration_is_reached_by_dotted_keys() {
    let file = open(&fixture("folder"), 1000).expect("a whole folder");
    assert_eq!(file.get("hidden_size"), Some(Value::Int(3)));
    assert_eq!(file.get("rms_norm_eps"), Some(Value::Float(1e-6)));
    assert_eq!(file.get("tie_word_embeddings"), Some(Value::Bool(false)));
    assert_eq!(file.get("rope_scaling.factor"), Some(Value::Float(8.0)));
    assert_eq!(file.get("rope_scaling.rope_type"), Some(Value::Text("llama3".into())));
    let types = ["sliding_attention", "full_attention"].map(|ty| Value::Text(ty.into()));
    assert_eq!(file.get("layer_types"), Some(Value::List(types.into())));
    assert_eq!(file.get("sliding_window"), Some(Value::Null));
    for none in ["rope_scaling", "rope_scaling.none", "none", "", ".", "hidden_size.x"] {
        assert_eq!(file.get(none), None, "{none:?}");
    }
    let shown: Vec<String> = file.metadata().map(|entry| entry.key).collect();
    assert!(shown.contains(&"rope_scaling.factor".to_owned()), "{shown:?}");
}

/// What the issue asks for: a large vocabulary costs nothing at opening.
#[test]
fn a_vocabulary_of_262144_tokens_takes_no_memory_at_opening() {
    let mut tokens = array(8, 262_144);
    (0..262_144).for_each(|i| tokens.extend(text(&format!("token{i}"))));
    let scratch = Scratch::new();
    let path = scratch.write("large.gguf", &Raw::new().key("tokens", 9, &tokens).build(0));
    let (file, peak) = peak_of(|| ModelFile::open(&path).expect("a whole file"));
    assert!(peak < 4096, "opening took {peak} bytes");
    let gguf = file.gguf().expect("a GGUF file");
    let (last, peak) = peak_of(|| gguf.strings("tokens").unwrap().last());
    assert_eq!(last.unwrap().unwrap(), "token262143");
    assert!(peak < 4096, "walking took {peak} bytes");
    assert_eq!(file.get("tokens"), None, "too long for a hyper-parameter");
}
