//! Damaged tokenizers and chat templates: vocabularies in GGUF metadata and in `tokenizer.json`, and the Jinja programs that come with a
//! model. Each is an error of one line or works, in bounded time and memory, whatever it was turned into.

use crate::inputs::{render, template, tokenizer_json, vocabulary};
use crate::mutations::{cases, damaged_bytes};
use crate::support::Scratch;
use kinglet::file::ModelFile;
use kinglet::text::{ChatTemplate, Tokenizer};
use proptest::prelude::*;
use std::path::Path;

fn read(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)).expect("the fixture is committed")
}

/// One of several files, with a few changes.
fn damaged(files: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(files).prop_flat_map(|file| damaged_bytes(read(file)))
}

const VOCABULARIES: &[&str] = &[
    "text/bpe-llama-bpe.gguf",
    "text/bpe-gpt-4o.gguf",
    "text/spm.gguf",
    "text/unigram.gguf",
    "text/wordpiece.gguf",
    "text/bpe-tekken.gguf",
];

const TEMPLATES: &[&str] = &[
    "text/chat/gemma3.jinja",
    "text/chat/granite3.3.jinja",
    "text/chat/llama3.2.jinja",
    "text/chat/mistral-nemo.jinja",
    "text/chat/qwen3.jinja",
    "text/chat/smollm2.jinja",
    "text/chat/smollm3.jinja",
];

/// Pieces of Jinja that can go wrong, to be put together at random.
const PIECES: &[&str] = &[
    "{% for a in range(1000000000) %}",
    "{% for m in messages %}",
    "{% for i in range(1000) %}",
    "{% endfor %}",
    "{% set x = x ~ x ~ 'aaaaaaaaaaaaaaaa' %}",
    "{% set ns = namespace(s='ab') %}",
    "{% set ns.s = ns.s ~ ns.s %}",
    "{{ 'a' * 1000000000 }}",
    "{{ [0] * 1000000000 }}",
    "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}",
    "{{ f(1) }}",
    "{% if messages %}",
    "{% endif %}",
    "{% include 'file' %}",
    "{% import '/etc/passwd' as p %}",
    "{{ '%99999999s' | format('a') }}",
    "{{ '{:>99999999}'.format('a') }}",
    "{{ messages | tojson(indent=100000000) }}",
    "{{ 'x' | indent(1000000000) }}",
    "{{ 'a,b' | replace('', 'bbbbbbbbbbbbbbbb') }}",
    "{{ messages[0].content.split('')[99999999999999999999] }}",
    "{{ messages[-1:9:-1] }}",
    "{{ range(1, 9, 0) }}",
    "{{ (((((((((((((((((((1))))))))))))))))))) }}",
    "{{ 9223372036854775807 + 1 }}",
    "{{ 2 ** 1000000 }}",
    "{{ 1 // 0 }}",
    "{{ -9223372036854775807 - 1 // -1 }}",
    "{{ messages.__class__.__mro__ }}",
    "{{ strftime_now('%Q%9999999999d') }}",
    "{{ raise_exception('no\nline') }}",
    "{{ '' | center(1000000000) }}",
    "{{ 'ß'[1:].strip().title() }}",
    "{{ x",
    "%}",
    "{#",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300), failure_persistence: None, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_vocabulary_is_an_error_or_tells_tokens(bytes in damaged(VOCABULARIES)) {
        vocabulary(&bytes);
    }

    #[test]
    fn a_damaged_tokenizer_json_is_an_error_or_tells_tokens(bytes in damaged(&["models/bert/tokenizer.json"])) {
        tokenizer_json(&bytes);
    }

    #[test]
    fn a_damaged_template_is_an_error_or_a_prompt(bytes in damaged(TEMPLATES)) {
        template(&bytes);
    }

    #[test]
    fn a_template_of_any_pieces_ends_soon(pieces in prop::collection::vec(prop::sample::select(PIECES), 1..8)) {
        render(&pieces.concat());
    }
}

/// What lies beside the tokenizer is part of the model: a damaged file of it would change its tokens or lose its chat template.
#[test]
fn a_damaged_file_beside_the_tokenizer_is_named() {
    let scratch = Scratch::new();
    for part in ["config.json", "model.safetensors", "tokenizer.json"] {
        scratch.write(part, &read(&format!("models/bert/{part}")));
    }
    let refusal = |name: &str| {
        let file = ModelFile::open(&scratch.path("")).expect("a model");
        let template = Tokenizer::from_model(&file).and_then(|tokenizer| ChatTemplate::from_model(&file, &tokenizer));
        let error = template.map(drop).expect_err(name).to_string();
        assert!(error.contains(name) && error.lines().count() == 1 && error.len() < 500, "{error}");
        error
    };
    for (name, bytes, why) in [
        ("tokenizer_config.json", &b"{\"bos_token\": "[..], "EOF"),
        ("generation_config.json", b"\xff", "expected value"),
        ("chat_template.jinja", b"{{ '\xff' }}", "utf-8"),
    ] {
        let path = scratch.write(name, bytes);
        assert!(refusal(name).contains(why), "{}", refusal(name));
        let large = std::fs::File::create(&path).and_then(|file| file.set_len(1 << 40));
        large.expect("a file without content");
        assert!(refusal(name).contains("expected at most 16777216 bytes, found 1099511627776"), "{}", refusal(name));
        std::fs::remove_file(path).expect("the file");
    }
}

/// Half of a surrogate pair, where `tokenizers` panics instead of returning its error.
#[test]
fn a_tokenizer_json_on_which_the_library_panics_is_an_error() {
    let whole = String::from_utf8(read("models/bert/tokenizer.json")).expect("JSON is UTF-8");
    let damaged = whole.replace(r#""type": "WordPiece""#, r#""type": "\ud800""#);
    assert_ne!(damaged, whole);
    tokenizer_json(damaged.as_bytes());
}

/// Found by fuzzing: the library takes the memory that a table says it needs, gigabytes for a few letters.
#[test]
fn a_table_of_a_tokenizer_json_takes_no_memory_on_its_word() {
    let table = r#"{"type": "Precompiled", "precompiled_charsmap": "/////wAAAAA="}"#;
    for normalizer in [table.to_owned(), format!(r#"{{"type": "Sequence", "normalizers": [{{"type": "NFC"}}, {table}]}}"#)] {
        let json = format!(r#"{{"normalizer": {normalizer}, "model": {{"type": "WordLevel", "vocab": {{"a": 0}}, "unk_token": "a"}}}}"#);
        tokenizer_json(json.as_bytes());
    }
}

/// What is assigned to is no variable, which minijinja's parser lets through and its compiler panics on.
#[test]
fn a_template_on_which_the_library_panics_is_an_error() {
    for source in ["{% import 'file' as -p %}", "{% import 'file' as p | upper %}", "{% from 'file' import p as 'q' %}"] {
        assert_eq!(render(source), None, "{source}");
    }
}

#[test]
fn a_template_reads_no_files() {
    for source in ["{% include '/etc/passwd' %}", "{% import '/etc/passwd' as p %}", "{% extends '../config.json' %}"] {
        assert_eq!(render(source), None, "{source}");
    }
}
