//! Safetensors files, their index, and `config.json`, each with something wrong.

use crate::assert_refused;
use crate::inputs::parsed;
use crate::support::{Scratch, fixture_bytes, open};
use kinglet::error::FileError;
use kinglet::file::ModelFile;

const CONFIG: &[u8] = b"{\"model_type\": \"llama\"}";

/// A safetensors file with that header and so many bytes of tensors.
fn file(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

/// A folder with a `config.json` and these bytes as its `model.safetensors`.
fn open_single(bytes: &[u8]) -> Result<ModelFile, FileError> {
    let scratch = Scratch::new();
    scratch.write("config.json", CONFIG);
    scratch.open("model.safetensors", bytes)
}

fn open_header(header: &str, data: usize) -> Result<ModelFile, FileError> {
    open_single(&file(header, data))
}

#[test]
fn the_file_that_all_these_start_from_is_whole() {
    let opened = open_header(
        r#"{"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[],"data_offsets":[8,10]}}   "#,
        10,
    );
    let opened = opened.expect("a whole file");
    assert_eq!(opened.tensor("b").unwrap().shape, [1]);
    assert_eq!(open_header("{}", 0).expect("a file of no tensors").tensors().count(), 0);
}

#[test]
fn a_header_length_that_lies_is_refused() {
    let mut bytes = file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8);
    for (length, field) in
        [(1u64 << 60, "at most 100000000 bytes"), (99_000_000, "99000000 bytes, found"), (u64::MAX, "at most"), (71, "found 62")]
    {
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        assert_refused!(open_single(&bytes), FileError::Field { .. } | FileError::Truncated { .. }, "model.safetensors", "header", field);
    }
    for length in [0u64, 1, 20, 53] {
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        assert_refused!(open_single(&bytes), FileError::Json { .. }, "model.safetensors", "header: expected JSON");
    }
}

#[test]
fn a_safetensors_file_cut_at_any_byte_is_refused() {
    let bytes = fixture_bytes("folder/model-00001-of-00002.safetensors");
    for len in 0..bytes.len() {
        assert!(open_single(&bytes[..len]).is_err(), "{len} of {} bytes were accepted", bytes.len());
    }
    open_single(&bytes).expect("a whole file");
    assert_refused!(open_single(&[&bytes[..], &[0]].concat()), FileError::Field { .. }, "size of the file", "230 bytes", "found 231");
}

#[test]
fn tensors_fill_the_file_without_overlaps_or_holes() {
    let two = |a: &str, b: &str, data| {
        open_header(
            &format!(r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":{a}}},"b":{{"dtype":"F32","shape":[2],"data_offsets":{b}}}}}"#),
            data,
        )
    };
    two("[8,16]", "[0,8]", 16).expect("any order will do");
    assert_refused!(two("[0,8]", "[4,12]", 12), FileError::Overlap { .. }, "tensor `b`", "`a` ends");
    assert_refused!(two("[0,8]", "[12,20]", 20), FileError::Overlap { .. }, "tensor `b`", "to follow on");
    assert_refused!(two("[4,12]", "[12,20]", 20), FileError::Field { .. }, "data_offsets", "begins at 0", "first at 4");
    assert_refused!(two("[0,8]", "[8,16]", 24), FileError::Field { .. }, "size of the file");
    assert_refused!(two("[0,8]", "[8,16]", 12), FileError::Field { .. }, "data_offsets of tensor `b`", "up to 12", "[8, 16]");
    assert_refused!(two("[8,0]", "[8,16]", 16), FileError::Field { .. }, "data_offsets of tensor `a`", "rising", "[8, 0]");
    assert_refused!(two("[0,4]", "[4,12]", 12), FileError::Field { .. }, "`a`", "8 bytes (F32 of shape [2])", "4 bytes");
    assert_refused!(two("[18446744073709551615,18446744073709551615]", "[0,8]", 8), FileError::Field { .. }, "`a`");
    assert_refused!(two("[-1,8]", "[0,8]", 8), FileError::Json { .. }, "header");
    assert_refused!(two("[0,8,9]", "[0,8]", 8), FileError::Json { .. }, "header");
}

#[test]
fn shapes_and_names_are_checked() {
    let shaped = |shape: &str| open_header(&format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,8]}}}}"#), 8);
    assert_refused!(shaped("[2,0]"), FileError::Field { .. }, "shape of tensor `a`", "[2, 0]");
    assert_refused!(shaped("[4611686018427387906]"), FileError::Field { .. }, "`a`", "can be counted");
    assert_refused!(shaped("[4294967296,4294967296,2]"), FileError::Field { .. }, "`a`");
    assert_refused!(shaped("[1,1,1,1,1,1,1,1,2]"), FileError::Json { .. }, "at most 8 dimensions");
    assert_refused!(shaped(&format!("[{}1]", "1,".repeat(100_000))), FileError::Json { .. }, "at most 8 dimensions");
    assert_refused!(shaped("[2.5]"), FileError::Json { .. }, "header");
    let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    assert_refused!(open_header(twice, 8), FileError::Duplicate { what: "tensor", .. }, "`a`", "twice");
    assert_refused!(
        open_header(r#"{"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4),
        FileError::Field { .. },
        "name of a tensor"
    );
    assert_refused!(open_header(r#"{"a":{"dtype":"F32","shape":[1]}}"#, 4), FileError::Json { .. }, "data_offsets");
    assert_refused!(open_header("[1]", 0), FileError::NotAModel { .. } | FileError::Json { .. }, "model.safetensors");
    assert_refused!(open_header(&format!("{{\"a\":{}", "[".repeat(10_000)), 0), FileError::Json { .. }, "header");
}

#[test]
fn types_without_arithmetic_are_refused_by_name_and_integers_kept_aside() {
    for name in ["F64", "F8_E4M3", "F8_E5M2", "F4", "C64", "F128", "\u{1b}[0m"] {
        let header = serde_json::json!({"w": {"dtype": name, "shape": [8], "data_offsets": [0, 8]}}).to_string();
        let shown = name.escape_debug().to_string();
        assert_refused!(open_header(&header, 8), FileError::TensorType { .. }, "model.safetensors", "tensor `w`", &*shown, "BF16");
    }
    let header = r#"{"ids":{"dtype":"I32","shape":[0],"data_offsets":[0,0]},"mask":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}}"#;
    let opened = open_header(header, 3).expect("buffers are no weights, and may be empty");
    assert_eq!(opened.tensors().count(), 0);
    assert_refused!(opened.tensor("mask"), FileError::TensorType { .. }, "`mask`", "BOOL");
}

#[test]
fn as_many_tensors_as_fit_take_no_more_memory_than_the_file() {
    let entries: Vec<String> =
        (0..20_000).map(|i| format!(r#""{i:x}":{{"dtype":"F16","shape":[1],"data_offsets":[{},{}]}}"#, 2 * i, 2 * i + 2)).collect();
    open_header(&format!("{{{}}}", entries.join(",")), 40_000).expect("many tensors are no crime");
    // A header of nothing states nothing.
    assert_refused!(open_header(&" ".repeat(1 << 20), 0), FileError::NotAModel { .. } | FileError::Json { .. }, "model.safetensors");
}

/// A folder whose index is this text.
fn open_index(index: &str) -> Result<ModelFile, FileError> {
    let scratch = Scratch::new();
    scratch.write("config.json", CONFIG);
    scratch.write("there.safetensors", &file("{}", 0));
    scratch.write("model.safetensors.index.json", index.as_bytes());
    open(&scratch.path(""), index.len())
}

#[test]
fn an_index_names_files_of_its_own_folder_that_are_there() {
    open_index(r#"{"weight_map": {"a": "there.safetensors"}}"#).expect("the file is there");
    for name in [
        "../there.safetensors",
        "/etc/passwd",
        "a/there.safetensors",
        "..",
        ".safetensors",
        "a\\b.safetensors",
        "c:x.safetensors",
        "x.bin",
        "",
    ] {
        let index = serde_json::json!({"weight_map": {"a": name}}).to_string();
        assert_refused!(open_index(&index), FileError::Field { .. }, "index.json", "weight_map", "in the same folder");
    }
    assert_refused!(open_index(r#"{"weight_map": {"a": "gone.safetensors"}}"#), FileError::MissingPart { .. }, "gone.safetensors");
    assert_refused!(open_index(r#"{"weight_map": {}}"#), FileError::Field { .. }, "weight_map", "found 0");
    assert_refused!(open_index(r#"{"weight_map": ["a"]}"#), FileError::Json { .. }, "weight_map", "file");
    assert_refused!(open_index("{"), FileError::Json { .. }, "index.json");
}

#[test]
fn a_folder_needs_a_configuration_and_weights() {
    let scratch = Scratch::new();
    assert_refused!(open(&scratch.path(""), 0), FileError::NotAModelFolder { .. }, "config.json", "found none");
    assert_refused!(scratch.open("model.safetensors", &file("{}", 0)), FileError::NotAModelFolder { .. }, "config.json");
    let scratch = Scratch::new();
    scratch.write("config.json", CONFIG);
    scratch.write("pytorch_model.bin", b"PK");
    assert_refused!(open(&scratch.path(""), 0), FileError::NotAModelFolder { .. }, "model.safetensors", "pytorch_model.bin");
}

#[test]
fn a_configuration_is_a_json_object_of_sane_size_for_plain_weights() {
    let with_config = |config: &str| {
        let scratch = Scratch::new();
        scratch.write("config.json", config.as_bytes());
        scratch.write("model.safetensors", &file("{}", 0));
        open(&scratch.path(""), config.len())
    };
    assert_refused!(with_config("[]"), FileError::Field { .. }, "config.json", "a JSON object", "array [0]");
    assert_refused!(with_config(""), FileError::Json { .. }, "config.json", "EOF");
    assert_refused!(with_config("{\"a\": "), FileError::Json { .. }, "config.json", "EOF");
    assert_refused!(with_config(&"[".repeat(10_000)), FileError::Json { .. }, "config.json", "recursion");
    assert_refused!(with_config(&" ".repeat((1 << 20) + 1)), FileError::Field { .. }, "size", "at most 1048576 bytes");
    let quantised = r#"{"quantization_config": {"quant_method": "gptq", "bits": 4}}"#;
    assert_refused!(with_config(quantised), FileError::Field { .. }, "quant_method", "a GGUF file", "gptq");
}

/// The worst that is known: lists of one value, each with room for four, in a list that has just grown.
#[test]
fn a_parsed_configuration_takes_no_more_than_its_values_allow() {
    let scratch = Scratch::new();
    scratch.write("model.safetensors", &file("{}", 0));
    let nested = format!("{}0{}", "[".repeat(100), "]".repeat(100));
    for (value, enough, too_many) in [("0", 16380, 1 << 14), ("[0]", 8190, 8193), (&*nested, 160, 163)] {
        let config = |more: usize| format!("{{\"a\":[{value}{}]}}", format!(",{value}").repeat(more));
        scratch.write("config.json", config(enough).as_bytes());
        open(&scratch.path(""), parsed(config(enough).as_bytes())).expect("a long list is no crime");
        scratch.write("config.json", config(too_many).as_bytes());
        assert_refused!(open(&scratch.path(""), 0), FileError::Field { .. }, "config.json", "at most 16384 commas and brackets");
    }
}

/// A key is its object's key with a name behind it, so that a long one could be repeated thousands of times.
#[test]
fn keys_of_a_configuration_take_bounded_memory() {
    let scratch = Scratch::new();
    let members: Vec<String> = (0..16000).map(|n| format!("\"{n}\":0")).collect();
    for length in [250, 500_000] {
        let config = format!("{{\"{}\":{{{}}}}}", "k".repeat(length), members.join(","));
        scratch.write("config.json", config.as_bytes());
        scratch.write("model.safetensors", &file("{}", 0));
        open(&scratch.path(""), parsed(config.as_bytes())).expect("a long name is no crime");
    }
}
