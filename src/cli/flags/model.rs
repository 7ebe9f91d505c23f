//! Which model, and how it is opened.

use crate::cli::store::{self, catalogue};
use crate::cli::{Failure, terminal};
use crate::file::{LoadMode, ModelFile};
use crate::text::Tokenizer;
use crate::{Error, Model, ModelOptions, Session, SessionOptions};
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

    /// Plain f32 arithmetic: slow, scalar, what the fast path is compared with
    #[arg(long)]
    reference: bool,
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
        self.open.open(path, self.threads.map(usize::from))
    }

    /// The temperature that the makers of the model advise, where it is one of the catalogue's.
    pub fn advised_temp(&self, path: &Path) -> Option<f32> {
        catalogue::CATALOGUE.iter().find(|entry| path.file_name().is_some_and(|name| name == entry.file))?.temp
    }
}

impl OpenFlags {
    /// Opens the model at `path`.
    pub fn open(&self, path: &Path, threads: Option<usize>) -> Result<Model, Failure> {
        Ok(Model::open_with(path, &ModelOptions { load: self.load.into(), threads, reference: self.reference, cache: None })?)
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
    /// Tokens that the session may hold [default: the trained context, or what a quarter of the memory can hold]
    #[arg(short, long, value_name = "N", visible_alias = "ctx-size")]
    context: Option<usize>,
}

impl ContextFlags {
    /// A session of `model` with this bound.
    pub fn session(&self, model: &Model) -> Result<Session, Failure> {
        // 0 is llama.cpp's word for "as the model was trained".
        let trained = model.spec().trained_context;
        let context = self.context.map(|context| if context == 0 { trained } else { context });
        if let Some(context) = context.filter(|&context| context > trained) {
            terminal::warn(format!("a context of {context} tokens is beyond the {trained} that the model was trained on"));
        }
        Ok(model.session(SessionOptions { context, ..SessionOptions::default() })?)
    }
}
