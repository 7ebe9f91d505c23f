//! What is done with bytes that nobody vouches for, a function for each kind of input: they are opened and used as the program does it, and
//! a panic, a hang, memory beyond the input's size or an error of several lines fails. Random damage, the stored corpus and the
//! fuzz targets of `fuzz/` all come through here.

use crate::allocator::{peak_of, time_of};
use crate::support::{Scratch, open};
use kinglet::error::TextError;
use kinglet::error::generate::GenerateError;
use kinglet::file::ModelFile;
use kinglet::generate::{Sampler, SamplerKind, SamplerOptions, StopStrings};
use kinglet::kv::{CacheFormat, CacheType, Policy};
use kinglet::parallel::CpuMask;
use kinglet::position::Scheme;
use kinglet::text::{ChatTemplate, RenderOptions, Special, Tokenizer};
use kinglet::{Budget, EmbedOptions, Error, Message, Model, ModelOptions, Session, SessionOptions, TokenId};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

#[path = "../../src/cli/bench/ranges.rs"]
mod ranges;

/// Uses the bytes of an input, and fails where they do harm.
pub type Check = fn(&[u8]);

/// Every kind of input, by the name of its fuzz target and of its folder in `corpus/`.
pub const KINDS: [(&str, Check); 8] = [
    ("gguf", gguf),
    ("safetensors", safetensors),
    ("vocabulary", vocabulary),
    ("tokenizer_json", tokenizer_json),
    ("template", template),
    ("session", session),
    ("sampler", sampler),
    ("typed", typed),
];

/// Longer than this for some KB is a hang; an emulator, or a small board, takes longer for everything.
const HANG: Duration = Duration::from_secs(if cfg!(target_arch = "x86_64") { 1 } else { 60 });

/// What a small model or a session may take beside twice its file: buffers of a pass, tables, messages, a page for each layer.
const MODEL: usize = 4 << 20;

/// What a small tokenizer may take beside twice its file: compiled expressions, most of all.
const TOKENIZER: usize = 24 << 20;

/// What a template may take: the fuel and the output that `kinglet::text` grants.
const TEMPLATE: usize = 64 << 20;

/// Weights for files that are given without theirs: small numbers in every float format.
const WEIGHTS: [u8; 2] = [0x00, 0x3c];

/// More than the weights of any small model.
const MOST_WEIGHTS: usize = 64 << 10;

/// Texts that take tokenizers apart: scripts, joiners, spaces, long runs, control tokens spelled out.
const TEXTS: [&str; 4] =
    ["Hello,  world!\n\t<|im_end|> </s> [CLS]", "naïve 日本語 한국어 👩‍👩‍👧 e\u{301}\u{0}", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0123456789", ""];

thread_local! {
    static GGUF: Scratch = Scratch::new();
    static FOLDER: Scratch = Scratch::new();
    static VOCABULARY: Scratch = Scratch::new();
    static BERT: Scratch = bert();
    static SAVED: Saved = Saved::new();
    static LLAMA: Scratch = llama();
}

/// Bytes as a GGUF file: opened, and used as a model, with weights behind them if it has none.
pub fn gguf(bytes: &[u8]) {
    GGUF.with(|scratch| {
        drop(scratch.open("model.gguf", bytes));
        let bytes = [bytes, &weights(MOST_WEIGHTS / 2)].concat();
        model(&scratch.write("model.gguf", &bytes), bytes.len());
    });
}

/// A `config.json`, a zero, and a safetensors file or only the JSON of its head: opened, and used as a model.
pub fn safetensors(bytes: &[u8]) {
    let (config, file) = bytes.split_at(bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()));
    let file = file.strip_prefix(b"\0").unwrap_or(file);
    let file = if file.starts_with(b"{") { with_weights(file) } else { file.to_vec() };
    FOLDER.with(|scratch| {
        scratch.write("config.json", config);
        scratch.write("model.safetensors", &file);
        drop(open(&scratch.path(""), parsed(config) + file.len()));
        model(&scratch.path(""), config.len() + file.len());
    });
}

/// Bytes as a GGUF file with a vocabulary.
pub fn vocabulary(bytes: &[u8]) {
    VOCABULARY.with(|scratch| tokenizer(&scratch.write("model.gguf", bytes), bytes.len()));
}

/// Bytes as the `tokenizer.json` beside the other files of a model.
pub fn tokenizer_json(bytes: &[u8]) {
    BERT.with(|scratch| {
        scratch.write("tokenizer.json", bytes);
        tokenizer(&scratch.path(""), bytes.len());
    });
}

/// Bytes as a chat template.
pub fn template(bytes: &[u8]) {
    render(&String::from_utf8_lossy(bytes));
}

/// A byte that says which stored session it is about and whether the length is to fit, and the start of that session's file.
pub fn session(bytes: &[u8]) {
    restored(bytes);
}

/// The same, and how many logits there are when the session has gone on.
pub fn restored(bytes: &[u8]) -> Option<usize> {
    let (&how, start) = bytes.split_first()?;
    SAVED.with(|saved| saved.check(usize::from(how & 1), how & 2 != 0, start))
}

/// Bytes as the parameters of a sampler and the logits that it is given.
pub fn sampler(bytes: &[u8]) {
    let mut from = Numbers(bytes);
    let kinds = kinglet::generate::SAMPLERS;
    let samplers: Vec<&str> = (0..from.byte() % 9).map(|_| kinds[usize::from(from.byte()) % kinds.len()].name()).collect();
    let options = SamplerOptions {
        seed: Some(from.count() as u64),
        samplers: SamplerKind::parse_list(&samplers.join(";")).unwrap_or_default(),
        logprobs: Some(from.count()),
        min_keep: from.count(),
        logit_bias: (0..from.byte() % 4).map(|_| (TokenId(u32::from(from.byte())), from.number())).collect(),
        penalty_last_n: from.count(),
        penalty_repeat: from.number(),
        penalty_freq: from.number(),
        penalty_present: from.number(),
        dry_multiplier: from.number(),
        dry_base: from.number(),
        dry_allowed_length: from.count(),
        dry_penalty_last_n: from.count(),
        top_n_sigma: from.number(),
        top_k: from.count(),
        typ_p: from.number(),
        top_p: from.number(),
        min_p: from.number(),
        xtc_probability: from.number(),
        xtc_threshold: from.number(),
        temp: from.number(),
        dynatemp_range: from.number(),
        dynatemp_exponent: from.number(),
        mirostat_v2: from.byte() & 1 == 1,
        mirostat_tau: from.number(),
        mirostat_eta: from.number(),
        ..SamplerOptions::default()
    };
    let logits: Vec<f32> = (0..1 + from.0.len() / 4).map(|_| from.number()).collect();
    bounded(bytes.len(), MODEL, || sample(options, &logits));
}

/// Bytes as what stands behind a flag, in all the little languages that flags have.
pub fn typed(bytes: &[u8]) {
    let text = &*String::from_utf8_lossy(bytes);
    let (position, memory) = (read(text.parse::<Scheme>()), read(text.parse::<Budget>()));
    read(text.parse::<CpuMask>());
    read(SamplerKind::parse_list(text));
    read(StopStrings::new([text]).map(|mut stop| (stop.push(text), stop.finish())));
    read(ranges::numbers(text));
    read(ranges::pair(text));
    if position.is_some() || memory.is_some() {
        let options = ModelOptions { threads: Some(1), position, memory, ..ModelOptions::default() };
        LLAMA.with(|scratch| bounded(text.len(), MODEL, || answer(&scratch.path("llama.gguf"), &options)));
    }
}

/// What `parsed` has, or nothing where it is an error, which is one line.
fn read<T, E: ToString>(parsed: Result<T, E>) -> Option<T> {
    parsed.map_err(line).ok()
}

/// That an error is for a person to read.
pub fn line(error: impl ToString) {
    let line = error.to_string();
    assert!(!line.contains('\n') && line.len() < 2000, "no line for a person: {line:?}");
}

/// Runs `work` on an input of `size` bytes and looks at its time, its memory and the line of its error.
fn bounded<T, E: ToString + Debug>(size: usize, allowance: usize, work: impl FnOnce() -> Result<T, E>) -> Option<T> {
    let ((result, peak), took) = time_of(|| peak_of(work));
    let error = result.as_ref().err();
    assert!(took < HANG, "{took:?} for {size} bytes: {error:?}");
    assert!(peak <= 2 * size + allowance, "{peak} bytes of memory for {size}: {error:?}");
    read(result)
}

/// What a `config.json` may take when it is parsed: twice its size, and 400 bytes for each comma and bracket, of which there may be 16384.
pub fn parsed(config: &[u8]) -> usize {
    2 * config.len() + 400 * config.iter().filter(|byte| b",[{".contains(byte)).count().min(1 << 14)
}

fn weights(size: usize) -> Vec<u8> {
    WEIGHTS.iter().copied().cycle().take(size).collect()
}

/// A safetensors file of this head: its length, and as many bytes of weights as it says.
fn with_weights(head: &[u8]) -> Vec<u8> {
    let tensors: Value = serde_json::from_slice(head).unwrap_or_default();
    let ends = tensors.as_object().into_iter().flatten().filter_map(|(_, tensor)| tensor["data_offsets"][1].as_u64());
    let size = ends.max().unwrap_or(0).min(MOST_WEIGHTS as u64);
    [&(head.len() as u64).to_le_bytes()[..], head, &weights(size as usize)].concat()
}

/// That the file is an error of one line or a model, in bounded memory and time.
pub fn model(path: &Path, size: usize) {
    bounded(size, MODEL, || answer(path, &ModelOptions { threads: Some(1), ..ModelOptions::default() }));
}

/// Opens the model and goes on as far as it can.
fn answer(path: &Path, options: &ModelOptions) -> Result<usize, Error> {
    let model = Model::open_with(path, options)?;
    // That one of these is damaged is no reason not to try the others.
    if let Ok(tokenizer) = model.tokenizer()
        && let Ok(tokens) = tokenizer.encode("Hello, world", Special::Plain)
    {
        let _ = tokenizer.decode(&tokens);
    }
    if let Ok(template) = model.chat_template() {
        let _ = template.render(&[Message::new("user", "Hello")], &RenderOptions::default());
    }
    if model.spec().is_encoder() {
        return Ok(model.embed(&[vec![TokenId(0), TokenId(1)]], &EmbedOptions::default())?.len());
    }
    let mut session = model.session(SessionOptions { context: Some(16), ..SessionOptions::default() })?;
    session.feed(&[TokenId(0), TokenId(1), TokenId(2)])?;
    Ok(session.logits()?.len())
}

/// Reads a model's vocabulary and uses it; ids that it does not have among those that are decoded.
fn tokenizer(path: &Path, size: usize) {
    let Ok(file) = ModelFile::open(path) else { return };
    bounded(size, TOKENIZER, || -> Result<(), TextError> {
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

/// Fills a template in, if it is one.
pub fn render(source: &str) -> Option<String> {
    bounded(source.len(), TEMPLATE, || {
        let template = ChatTemplate::new(source, Some("<s>"), Some("</s>"))?;
        let messages = ["system", "user", "assistant", "user"].map(|role| Message::new(role, "Hello, {{ world }} {% x %}"));
        template.render(&messages, &RenderOptions { add_generation_prompt: true, ..RenderOptions::default() })
    })
}

/// Samples a few tokens, each of which the next ones are penalised for.
pub fn sample(options: SamplerOptions, logits: &[f32]) -> Result<(), GenerateError> {
    let mut sampler = Sampler::new(options, logits.len())?;
    for _ in 0..4 {
        let token = sampler.sample(logits)?.token;
        assert!(token.index() < logits.len());
        sampler.accept(token);
    }
    sampler.distribution(logits).map(|_| ())
}

/// Numbers out of bytes; zeros where these have ended.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let n = N.min(self.0.len());
        bytes[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        bytes
    }

    fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    fn count(&mut self) -> usize {
        // Of the sign: a small number can become the largest ones.
        i32::from_le_bytes(self.take()) as usize
    }

    fn number(&mut self) -> f32 {
        f32::from_le_bytes(self.take())
    }
}

fn bert() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("config.json", include_bytes!("../fixtures/models/bert/config.json"));
    scratch.write("model.safetensors", include_bytes!("../fixtures/models/bert/model.safetensors"));
    scratch
}

fn llama() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("llama.gguf", include_bytes!("../fixtures/models/llama.gguf"));
    scratch
}

/// Bytes of the checksum at the end of a session's file, and of what stands before its description.
const CHECKSUM: usize = 32;
const BEFORE: usize = 26;

/// What stands in an input for the fingerprints of the model and of its positions, so that it outlives changes of what these are made of.
const STAND_INS: [&str; 2] = ["@model", "@positions"];

/// A model and two of its sessions: a short one, and one that has let go of tokens and has pins.
struct Saved {
    model: Model,
    files: [SavedFile; 2],
    scratch: Scratch,
}

/// A whole session: up to the end of its description, the pages behind that, and the fingerprints in it.
struct SavedFile {
    start: Vec<u8>,
    pages: Vec<u8>,
    fingerprints: [String; 2],
}

impl Saved {
    fn new() -> Saved {
        let scratch = Scratch::new();
        let path = scratch.write("tiny.gguf", include_bytes!("../fixtures/models/tiny.gguf"));
        let cache = Some(CacheFormat::of(CacheType::Q8_0));
        let model = Model::open_with(path, &ModelOptions { threads: Some(1), cache, ..ModelOptions::default() }).unwrap();
        let files = [(64, 20), (40, 300)].map(|(context, n)| {
            let options = SessionOptions { context: Some(context), policy: Some(Policy::Ring { sinks: 4 }) };
            let mut session = model.session(options).unwrap();
            session.feed(&[TokenId(1); 20]).unwrap();
            session.pin(6..9).unwrap();
            session.feed(&vec![TokenId(2); n]).unwrap();
            session.save(scratch.path("whole.session")).unwrap();
            SavedFile::new(std::fs::read(scratch.path("whole.session")).unwrap())
        });
        Saved { model, files, scratch }
    }

    /// A session of this start, the pages of a whole one, and a checksum that fits, so that what lies behind it is met.
    fn check(&self, which: usize, fits: bool, start: &[u8]) -> Option<usize> {
        let SavedFile { pages, fingerprints, .. } = &self.files[which];
        let mut bytes = STAND_INS.iter().zip(fingerprints).fold(start.to_vec(), |bytes, (name, print)| replaced(&bytes, name, print));
        if fits && bytes.len() >= BEFORE {
            // A length that fits what the damage has left: the description is parsed then.
            let length = bytes.len() - BEFORE;
            bytes[BEFORE - 8..BEFORE].copy_from_slice(&(length as u64).to_le_bytes());
        }
        bytes.extend(pages);
        let checksum = Sha256::digest(&bytes);
        bytes.extend(checksum);
        bounded(bytes.len(), MODEL, || self.go_on(&bytes))
    }

    /// Takes up what `bytes` hold, and goes on.
    fn go_on(&self, bytes: &[u8]) -> Result<usize, Error> {
        let path = self.scratch.write("damaged.session", bytes);
        self.model.restore_as(&path, SessionOptions { context: Some(500), policy: None })?;
        let mut session: Session = self.model.restore(&path)?;
        session.feed(&[TokenId(3)])?;
        session.truncate(session.len() / 2).or_else(|_| session.feed(&[TokenId(4)]))?;
        session.feed(&[TokenId(5), TokenId(6)])?;
        Ok(session.logits()?.len())
    }
}

impl SavedFile {
    fn new(file: Vec<u8>) -> SavedFile {
        let length: [u8; 8] = file[BEFORE - 8..BEFORE].try_into().unwrap();
        let (start, rest) = file.split_at(BEFORE + u64::from_le_bytes(length) as usize);
        let description: Value = serde_json::from_slice(&start[BEFORE..]).unwrap();
        let fingerprints = ["model", "positions"].map(|key| description[key].as_str().unwrap().to_owned());
        SavedFile { start: start.to_vec(), pages: rest[..rest.len() - CHECKSUM].to_vec(), fingerprints }
    }
}

/// `bytes` with `new` wherever `old` stands.
fn replaced(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while let Some(at) = rest.windows(old.len()).position(|piece| piece == old.as_bytes()) {
        out.extend([&rest[..at], new.as_bytes()].concat());
        rest = &rest[at + old.len()..];
    }
    out.extend(rest);
    out
}

/// The starts of the whole sessions, as [`session`] takes them: a first byte of 2 or 3, and stand-ins for fingerprints.
pub fn whole_sessions() -> [Vec<u8>; 2] {
    SAVED.with(|saved| {
        [0, 1].map(|which| {
            let SavedFile { start, fingerprints, .. } = &saved.files[which];
            let start = fingerprints.iter().zip(STAND_INS).fold(start.clone(), |bytes, (print, name)| replaced(&bytes, print, name));
            [&[which as u8 | 2][..], &start].concat()
        })
    })
}
