//! Which model, and how it is opened.

use super::MaskFlags;
use crate::cli::store::{self, catalogue};
use crate::cli::{Failure, terminal};
use crate::file::{LoadMode, ModelFile};
use crate::kv::{CacheFormat, CacheType, DEFAULT_SINKS, Policy};
use crate::position::Scheme;
use crate::session::Budget;
use crate::text::Tokenizer;
use crate::types::TokenId;
use crate::{Error, Model, ModelOptions, PromptCache, Session, SessionOptions};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Which model, how it is opened, and with how many threads.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelFlags {
    /// A GGUF file, a Hugging Face folder, a short name (see `kinglet list`) or hf:OWNER/REPO/FILE.gguf
    #[arg(short, long, value_name = "MODEL")]
    model: Option<String>,

    /// Threads [default: the cores that this process may use]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    #[command(flatten)]
    mask: MaskFlags,

    #[command(flatten)]
    open: OpenFlags,
}

/// Which model's tokenizer; nothing else of the model has to be there.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub struct TokenizerFlags {
    /// A GGUF file (with a vocabulary alone will do), a folder, a short name or hf:OWNER/REPO/FILE.gguf
    #[arg(short, long, value_name = "MODEL")]
    model: Option<String>,
}

impl TokenizerFlags {
    /// The tokenizer of the model.
    pub fn tokenizer(&self) -> Result<Tokenizer, Failure> {
        let file = ModelFile::open(&store::resolve(self.model.as_deref())?).map_err(Error::from)?;
        Ok(Tokenizer::from_model(&file).map_err(Error::from)?)
    }
}

/// How a model is opened.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub struct OpenFlags {
    /// How the file is brought into memory
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Load::Mmap)]
    load: Load,

    /// How keys are stored in the cache
    #[arg(long, value_name = "TYPE", value_enum)]
    cache_k: Option<Cached>,

    /// How values are stored in the cache
    #[arg(long, value_name = "TYPE", value_enum)]
    cache_v: Option<Cached>,

    /// Round heads for a quantised cache as they are, without mixing their dimensions first
    #[arg(long)]
    no_cache_hadamard: bool,

    /// A position scheme in the place of the file's: none, rope:yarn=4, rope:base=500000, alibi, rope+alibi … (see docs/positions.md)
    #[arg(long, value_name = "SCHEME")]
    position: Option<Scheme>,

    /// Memory to take at most beside the mapped weights, as in 1500M or 2G: bounds context, cache and passes, or says why it can't
    #[arg(long, value_name = "SIZE")]
    memory: Option<Budget>,

    /// Plain f32 arithmetic: slow, scalar, what the fast path is compared with
    #[arg(long)]
    reference: bool,
}

/// How the cache stores numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cached {
    /// 16 bits [default]
    F16,
    /// 32 bits
    F32,
    /// 8 bits and a scale for each 32 numbers
    #[value(name = "q8_0")]
    Q8,
    /// 4 bits and a scale for each 32 numbers
    #[value(name = "q4_0")]
    Q4,
}

impl From<Cached> for CacheType {
    fn from(cached: Cached) -> CacheType {
        match cached {
            Cached::F16 => CacheType::F16,
            Cached::F32 => CacheType::F32,
            Cached::Q8 => CacheType::Q8_0,
            Cached::Q4 => CacheType::Q4_0,
        }
    }
}

/// How a model's file is brought into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Load {
    /// Mapped; pages come when they are touched
    Mmap,
    /// Mapped, and all pages are fetched at once
    Populate,
    /// Mapped, fetched, and kept from being swapped out
    Lock,
    /// Read into memory of our own
    Read,
}

impl From<Load> for LoadMode {
    fn from(load: Load) -> LoadMode {
        match load {
            Load::Mmap => LoadMode::Mmap,
            Load::Populate => LoadMode::Populate,
            Load::Lock => LoadMode::Lock,
            Load::Read => LoadMode::Read,
        }
    }
}

impl ModelFlags {
    /// The model's path, fetched first where it has to be.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        store::resolve(self.model.as_deref())
    }

    /// Opens the model.
    pub fn open(&self) -> Result<Model, Failure> {
        self.open_path(&self.path()?)
    }

    /// Opens the model, whose path is known already.
    pub fn open_path(&self, path: &Path) -> Result<Model, Failure> {
        self.mask.confine()?;
        self.open.open(path, self.threads.map(usize::from))
    }

    /// Opens the model at `path` with a position scheme in the place of the one that the flags name.
    pub fn open_as(&self, path: &Path, scheme: &Scheme) -> Result<Model, Failure> {
        self.open.open_as(path, self.threads.map(usize::from), Some(scheme.clone()))
    }

    /// The position scheme that the flags name.
    pub fn position(&self) -> Option<&Scheme> {
        self.open.position.as_ref()
    }

    /// The temperature that the makers of the model advise, where it is one of the catalogue's.
    pub fn advised_temp(&self, path: &Path) -> Option<f32> {
        catalogue::CATALOGUE.iter().find(|entry| path.file_name().is_some_and(|name| name == entry.file))?.temp
    }
}

impl OpenFlags {
    /// Opens the model at `path`.
    pub fn open(&self, path: &Path, threads: Option<usize>) -> Result<Model, Failure> {
        self.open_as(path, threads, self.position.clone())
    }

    /// Opens the model at `path` with this position scheme.
    fn open_as(&self, path: &Path, threads: Option<usize>, position: Option<Scheme>) -> Result<Model, Failure> {
        let (load, cache) = (self.load.into(), self.cache());
        let (reference, memory) = (self.reference, self.memory);
        Ok(Model::open_with(path, &ModelOptions { load, threads, reference, level: None, cache, memory, position })?)
    }

    /// The cache's types, where any was chosen.
    fn cache(&self) -> Option<CacheFormat> {
        let exact = if self.reference { CacheType::F32 } else { CacheType::F16 };
        let kind = |chosen: Option<Cached>| chosen.map_or(exact, CacheType::from);
        let chosen = self.cache_k.is_some() || self.cache_v.is_some();
        chosen.then(|| CacheFormat { keys: kind(self.cache_k), values: kind(self.cache_v), hadamard: !self.no_cache_hadamard })
    }

    /// How its file is brought into memory, as it was written on the command line.
    pub fn load_name(&self) -> String {
        self.load.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
    }
}

/// How long a text the model may hold.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub struct ContextFlags {
    /// Tokens that attention sees at most [default: the trained context, or what a quarter of the memory can hold]
    #[arg(short, long, value_name = "N", visible_alias = "ctx-size")]
    context: Option<usize>,

    /// What happens when the context is full
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Full::Ring)]
    policy: Full,

    /// Keep computed prompts in this folder, and read those that begin as this one does
    #[arg(long, value_name = "DIR")]
    prompt_cache: Option<PathBuf>,

    /// What that folder may hold, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, requires = "prompt_cache")]
    prompt_cache_size: u64,

    /// First tokens that never leave a ring [default: 4]
    #[arg(long, value_name = "N")]
    sinks: Option<usize>,
}

/// What happens when the context is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Full {
    /// The oldest tokens leave, but for the sinks; a stream never ends
    Ring,
    /// The oldest tokens leave, whatever they are (for comparison: most models fall apart)
    Window,
    /// An error
    Stop,
}

impl Full {
    /// As the library takes it; a ring of `sinks`, or as many as are usual.
    pub fn policy(self, sinks: Option<usize>) -> Policy {
        match self {
            Full::Ring => Policy::Ring { sinks: sinks.unwrap_or(DEFAULT_SINKS) },
            Full::Window => Policy::Window,
            Full::Stop => Policy::Stop,
        }
    }

    /// What is said where sinks are asked for and no ring is.
    pub fn has_no_sinks() -> Failure {
        Failure::usage("--sinks is of --policy ring: window and stop keep no tokens apart")
    }
}

impl ContextFlags {
    /// A session of `model` with this bound.
    pub fn session(&self, model: &Model) -> Result<Session, Failure> {
        let session = model.session(self.options(model)?)?;
        if let Some(budget) = model.memory() {
            terminal::note(format!("memory: {budget} at most; {}", session.room()));
        }
        Ok(session)
    }

    /// Takes up the stored prompt that shares most with `tokens`, where `session` is still empty and prompts are kept.
    pub fn warm(&self, model: &Model, session: &mut Session, tokens: &[TokenId]) -> Result<(), Failure> {
        let Some(prompts) = self.prompts().filter(|_| session.is_empty()) else { return Ok(()) };
        if let Some(stored) = prompts.restore(model, &self.options_quietly(model)?, tokens)? {
            *session = stored;
        }
        Ok(())
    }

    /// Stores what has been computed, where prompts are kept. That it can't be is said, and no reason to fail.
    pub fn keep(&self, model: &Model, session: &mut Session) {
        if let Some(Err(error)) = self.prompts().map(|prompts| prompts.store(model, session)) {
            terminal::warn(error.to_string());
        }
    }

    fn prompts(&self) -> Option<PromptCache> {
        self.prompt_cache.as_ref().map(|folder| PromptCache::new(folder, self.prompt_cache_size << 20))
    }

    /// The options of a session of `model`.
    pub fn options(&self, model: &Model) -> Result<SessionOptions, Failure> {
        let (options, trained) = (self.options_quietly(model)?, model.spec().trained_context);
        if let Some(context) = options.context.filter(|&context| context > trained) {
            terminal::warn(format!("a context of {context} tokens is beyond the {trained} that the model was trained on"));
        }
        Ok(options)
    }

    fn options_quietly(&self, model: &Model) -> Result<SessionOptions, Failure> {
        // 0 is llama.cpp's word for "as the model was trained".
        let context = self.context.map(|context| if context == 0 { model.spec().trained_context } else { context });
        let policy = match (self.policy, self.sinks) {
            (Full::Window | Full::Stop, Some(_)) => return Err(Full::has_no_sinks()),
            (Full::Ring, None) => None,
            (full, sinks) => Some(full.policy(sinks)),
        };
        Ok(SessionOptions { context, policy })
    }
}
