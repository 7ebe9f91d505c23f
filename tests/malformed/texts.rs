//! Damaged tokenizers and chat templates: vocabularies in GGUF metadata and in `tokenizer.json`, and the Jinja programs that come with a
//! model. Each is an error of one line or works, in bounded time and memory, whatever it was turned into.

use crate::allocator::{peak_of, time_of};
use crate::mutations::{cases, damaged_bytes};
use crate::support::Scratch;
use kinglet::error::TextError;
use kinglet::file::ModelFile;
use kinglet::text::{ChatTemplate, RenderOptions, Special, Tokenizer};
use kinglet::{Message, TokenId};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longer than this for some KB is a hang; an emulator, or a small board, takes longer for everything.
const HANG: Duration = Duration::from_secs(if cfg!(target_arch = "x86_64") { 1 } else { 60 });

/// What a small tokenizer may take beside twice its file: compiled expressions, most of all.
const TOKENIZER: usize = 24 << 20;

/// What a template may take: the fuel and the output that `kinglet::text` grants.
const TEMPLATE: usize = 64 << 20;

/// Texts that take tokenizers apart: scripts, joiners, spaces, long runs, control tokens spelled out.
const TEXTS: [&str; 4] =
    ["Hello,  world!\n\t<|im_end|> </s> [CLS]", "naïve 日本語 한국어 👩‍👩‍👧 e\u{301}\u{0}", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0123456789", ""];

fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder)
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(fixtures(path)).expect("the fixture is committed")
}

/// One of several files, with a few changes.
fn damaged(files: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(files).prop_flat_map(|file| damaged_bytes(read(file)))
}

/// Runs `work` and looks at its time, its memory and the line of its error.
fn bounded<T>(size: usize, allowance: usize, work: impl FnOnce() -> Result<T, TextError>) -> Option<T> {
    let ((result, peak), took) = time_of(|| peak_of(work));
    assert!(took < HANG, "{took:?} for {size} bytes");
    assert!(peak <= 2 * size + allowance, "{peak} bytes of memory for {size}");
    result.inspect_err(|error| assert!(!error.to_string().contains('\n'), "no line for a person: {error}")).ok()
}

/// Reads the vocabulary and uses it; ids that it does not have among those that are decoded.
fn use_tokenizer(path: &Path, size: usize) {
    let Ok(file) = ModelFile::open(path) else { return };
    bounded(size, TOKENIZER, || {
        let tokenizer = Tokenizer::from_model(&file)?;
        for text in TEXTS {
            for special in [Special::Plain, Special::Match] {
                let tokens = tokenizer.encode(text, special)?;
                tokenizer.decode(&tokens);
            }
        }
        let n = tokenizer.n_vocab() as u32;
        for id in [0, 1, n / 2, n.wrapping_sub(1), n, u32::MAX].map(TokenId) {
            let _ = (tokenizer.decode(&[id]), tokenizer.piece(id), tokenizer.bytes_of(id).is_ok(), tokenizer.is_eog(id));
        }
        tokenizer.frame().map(|_| ())
    });
}

/// The same with a `tokenizer.json` beside the other files of a model.
fn use_tokenizer_json(bytes: &[u8]) {
    SCRATCH.with(|scratch| {
        for part in ["config.json", "model.safetensors"] {
            if !scratch.path(part).exists() {
                scratch.write(part, &read(&format!("models/bert/{part}")));
            }
        }
        scratch.write("tokenizer.json", bytes);
        use_tokenizer(&scratch.path(""), bytes.len());
    });
}

fn render(source: &str) -> Option<String> {
    bounded(source.len(), TEMPLATE, || {
        let template = ChatTemplate::new(source, Some("<s>"), Some("</s>"))?;
        let messages = ["system", "user", "assistant", "user"].map(|role| Message::new(role, "Hello, {{ world }} {% x %}"));
        template.render(&messages, &RenderOptions { add_generation_prompt: true, ..RenderOptions::default() })
    })
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

thread_local! {
    static SCRATCH: Scratch = Scratch::new();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300), failure_persistence: None, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_vocabulary_is_an_error_or_tells_tokens(bytes in damaged(VOCABULARIES)) {
        SCRATCH.with(|scratch| use_tokenizer(&scratch.write("model.gguf", &bytes), bytes.len()));
    }

    #[test]
    fn a_damaged_tokenizer_json_is_an_error_or_tells_tokens(bytes in damaged(&["models/bert/tokenizer.json"])) {
        use_tokenizer_json(&bytes);
    }

    #[test]
    fn a_damaged_template_is_an_error_or_a_prompt(bytes in damaged(TEMPLATES)) {
        render(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_template_of_any_pieces_ends_soon(pieces in prop::collection::vec(prop::sample::select(PIECES), 1..8)) {
        render(&pieces.concat());
    }
}

/// Half of a surrogate pair, where `tokenizers` panics instead of returning its error.
#[test]
fn a_tokenizer_json_on_which_the_library_panics_is_an_error() {
    let whole = String::from_utf8(read("models/bert/tokenizer.json")).expect("JSON is UTF-8");
    let damaged = whole.replace(r#""type": "WordPiece""#, r#""type": "\ud800""#);
    assert_ne!(damaged, whole);
    use_tokenizer_json(damaged.as_bytes());
}

#[test]
fn a_template_reads_no_files() {
    for source in ["{% include '/etc/passwd' %}", "{% import '/etc/passwd' as p %}", "{% extends '../config.json' %}"] {
        assert_eq!(render(source), None, "{source}");
    }
}
