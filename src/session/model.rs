//! An opened model: its mapped weights, the recipe, the team of workers, and (made when first asked for) its tokenizer and chat template.

use super::{Budget, Session, SessionOptions};
use crate::error::{Error, SessionError};
use crate::file::{LoadMode, ModelFile};
use crate::forward::{Arithmetic, Decoder, Means, Output, Positions, Profile, Segment, Tap, Workspace};
use crate::kv::{Across, CacheFormat, CacheType};
use crate::parallel::{Team, machine};
use crate::position::Scheme;
use crate::text::{ChatTemplate, Tokenizer};
use crate::types::TokenId;
use kinglet_models::Spec;
use kinglet_quant::isa::{Level, LevelError};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// How a model is opened and computed.
#[derive(Debug, Clone, Default)]
pub struct ModelOptions {
    /// How its file is brought into memory.
    pub load: LoadMode,
    /// Threads; `None` is what the machine has for this process.
    pub threads: Option<usize>,
    /// Plain f32 arithmetic, scalar and slow: what the fast kernels are compared with.
    pub reference: bool,
    /// The instruction-set level; `None` is what `KINGLET_ISA` says, or the best that the machine has. All give the same bits.
    pub level: Option<Level>,
    /// How keys and values are stored; `None` is f16, and f32 with `reference` or for encoders, which keep them for one pass only.
    pub cache: Option<CacheFormat>,
    /// What sessions may take beside the mapped weights, each of them measured with all that the process holds when it is made.
    pub memory: Option<Budget>,
    /// A position scheme in the place of the file's.
    pub position: Option<Scheme>,
}

/// An opened model. Clones share everything; sessions of one model may run on different threads.
#[derive(Clone)]
pub struct Model {
    pub(super) shared: Arc<Shared>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model({}, {} layers)", self.spec().family, self.spec().layers.len())
    }
}

pub(crate) struct Shared {
    pub(crate) file: ModelFile,
    pub(crate) decoder: Decoder,
    pub(crate) cache_format: CacheFormat,
    pub(crate) memory: Option<Budget>,
    team: Team,
    work: Mutex<Workspace>,
    /// Counts passes while it is there.
    profile: Mutex<Option<Profile>>,
    /// The position schemes for whole texts of any length that the model has seen in training.
    pub(super) text_positions: OnceLock<Positions>,
    /// Looks at the heads of passes while it is there.
    tap: Mutex<Option<Tap>>,
    /// What tells its sessions on disk from those of others.
    pub(super) fingerprint: OnceLock<String>,
    tokenizer: OnceLock<Tokenizer>,
    template: OnceLock<ChatTemplate>,
}

impl Model {
    /// Opens a GGUF file (or the first of several), or a Hugging Face folder. The weights are mapped, not read: this takes milliseconds,
    /// and up to a second where they lie in small pages or not in memory (see [`ModelFile::settle`]).
    ///
    /// # Errors
    /// Where the file can't be read, is damaged, or holds a model of an unknown family.
    pub fn open(path: impl AsRef<Path>) -> Result<Model, Error> {
        Model::open_with(path, &ModelOptions::default())
    }

    /// As [`Model::open`], with options.
    ///
    /// # Errors
    /// As [`Model::open`]; where the options or `KINGLET_ISA` name a level that this machine lacks; where threads can't be started.
    pub fn open_with(path: impl AsRef<Path>, options: &ModelOptions) -> Result<Model, Error> {
        let file = ModelFile::open_with(path.as_ref(), options.load)?;
        let mut spec = kinglet_models::resolve(&file)?;
        if let Some(scheme) = &options.position {
            scheme.apply(&mut spec)?;
        }
        let arithmetic = match options.level {
            _ if options.reference => Arithmetic::Reference,
            None => Arithmetic::Fast(Level::detect()?),
            Some(level) if Level::available().contains(&level) => Arithmetic::Fast(level),
            Some(level) => return Err(LevelError::Missing { asked: level }.into()),
        };
        let decoder = Decoder::find(&file, spec, arithmetic)?;
        file.settle();
        let threads = options.threads.unwrap_or_else(machine::threads);
        let team = Team::new(threads).map_err(|source| Error::Threads { threads, source })?;
        let whole = options.reference || decoder.spec().is_encoder();
        let exact = || CacheFormat::of(if whole { CacheType::F32 } else { CacheType::F16 });
        let cache_format = options.cache.unwrap_or_else(exact);
        let meets = decoder.spec().layers.iter().any(|layer| layer.attention.content.is_some());
        if meets && (cache_format.keys.is_quantised() || cache_format.values.is_quantised()) {
            // Quantised heads are padded and mixed, and the vectors of distances are not.
            let (option, expected) =
                ("the cache's type (--cache-k, --cache-v)", "f16 or f32, as this model's keys meet vectors of distances");
            return Err(SessionError::Option { option, found: "a quantised one".into(), expected }.into());
        }
        let shared = Shared {
            file,
            decoder,
            cache_format,
            memory: options.memory,
            team,
            work: Mutex::default(),
            profile: Mutex::default(),
            tap: Mutex::default(),
            text_positions: OnceLock::new(),
            fingerprint: OnceLock::new(),
            tokenizer: OnceLock::new(),
            template: OnceLock::new(),
        };
        Ok(Model { shared: Arc::new(shared) })
    }

    /// A new, empty session.
    ///
    /// # Errors
    /// Where an option is out of its range, or the model is an encoder (see [`Model::embed`]).
    pub fn session(&self, options: SessionOptions) -> Result<Session, Error> {
        Session::new(Arc::clone(&self.shared), &options)
    }

    /// The model's recipe: its family, sizes and layers.
    pub fn spec(&self) -> &Spec {
        self.shared.decoder.spec()
    }

    /// The model's file.
    pub fn file(&self) -> &ModelFile {
        &self.shared.file
    }

    /// What its sessions may take beside the mapped weights.
    pub fn memory(&self) -> Option<Budget> {
        self.shared.memory
    }

    /// Threads that compute.
    pub fn threads(&self) -> usize {
        self.shared.team.threads()
    }

    /// How products are computed, and the instruction-set level.
    pub fn arithmetic(&self) -> Arithmetic {
        self.shared.decoder.arithmetic()
    }

    /// Measures the steps of all passes that begin from now on, of any session.
    pub fn start_profile(&self) {
        *self.shared.profile.lock().unwrap_or_else(PoisonError::into_inner) = Some(Profile::default());
    }

    /// What was measured since [`Model::start_profile`], and no more is; `None` where it was not called.
    pub fn take_profile(&self) -> Option<Profile> {
        self.shared.profile.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps the queries, keys and values of all passes that begin from now on, of any session.
    pub fn start_tap(&self) {
        *self.shared.tap.lock().unwrap_or_else(PoisonError::into_inner) = Some(Tap::default());
    }

    /// What was kept since [`Model::start_tap`], and no more is; `None` where it was not called.
    pub fn take_tap(&self) -> Option<Tap> {
        self.shared.tap.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Bytes of weights that a decoded token reads.
    pub fn bytes_per_token(&self) -> usize {
        self.shared.decoder.bytes_per_token()
    }

    /// How sessions store keys and values.
    pub fn cache_format(&self) -> CacheFormat {
        self.shared.cache_format
    }

    /// Bytes of cache that a session with `context` tokens holds.
    pub fn cache_bytes(&self, context: usize) -> usize {
        self.shared.cache_bytes(context)
    }

    /// Tokens that a session may hold where nothing else is asked for.
    pub fn default_context(&self) -> usize {
        self.shared.default_context()
    }

    /// The tokenizer, made from the file at the first call.
    ///
    /// # Errors
    /// Where the file has none, or one of an unknown kind.
    pub fn tokenizer(&self) -> Result<&Tokenizer, Error> {
        self.shared.tokenizer()
    }

    /// The chat template: the file's, or the family's where it has none.
    ///
    /// # Errors
    /// Where there is neither, or the template has a syntax error.
    pub fn chat_template(&self) -> Result<&ChatTemplate, Error> {
        self.shared.chat_template()
    }
}

impl Shared {
    pub(crate) fn tokenizer(&self) -> Result<&Tokenizer, Error> {
        if let Some(tokenizer) = self.tokenizer.get() {
            return Ok(tokenizer);
        }
        let tokenizer = Tokenizer::from_model(&self.file)?;
        Ok(self.tokenizer.get_or_init(|| tokenizer))
    }

    pub(crate) fn chat_template(&self) -> Result<&ChatTemplate, Error> {
        if let Some(template) = self.template.get() {
            return Ok(template);
        }
        let template = ChatTemplate::from_model(&self.file, self.tokenizer()?)?;
        Ok(self.template.get_or_init(|| template))
    }

    /// One pass of the team over `segments`, whose wanted rows become what `out` holds from `at` on. False where `cancel` was raised:
    /// nothing has changed then.
    pub(crate) fn forward(
        &self,
        positions: &Positions,
        segments: &mut [Segment<'_>],
        output: Output,
        cancel: Option<&AtomicBool>,
        (out, at): (&mut Vec<f32>, usize),
    ) -> Result<bool, Error> {
        // A file that was cut short since would end the process with a signal when its lost pages are read.
        self.file.check()?;
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let mut profile = self.profile.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tap = self.tap.lock().unwrap_or_else(PoisonError::into_inner);
        let (crew, profile, tap) = (&mut self.team.gather(), profile.as_mut(), tap.as_mut());
        let means = Means { crew, file: &self.file, positions, work: &mut work, profile, tap, cancel };
        self.decoder.forward(means, segments, output, (out, at))
    }

    /// One pass of the encoder over `tokens`. `None` where `cancel` was raised.
    pub(crate) fn encode(&self, positions: &Positions, tokens: &[TokenId], cancel: Option<&AtomicBool>) -> Result<Option<Across>, Error> {
        self.file.check()?;
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let mut profile = self.profile.lock().unwrap_or_else(PoisonError::into_inner);
        let (crew, profile) = (&mut self.team.gather(), profile.as_mut());
        let means = Means { crew, file: &self.file, positions, work: &mut work, profile, tap: None, cancel };
        self.decoder.encode(means, tokens, self.cache_format)
    }

    pub(crate) fn threads(&self) -> usize {
        self.team.threads()
    }

    /// Tokens that the model was trained on.
    pub(crate) fn trained_context(&self) -> usize {
        self.decoder.spec().trained_context.max(1)
    }

    pub(crate) fn cache_bytes(&self, context: usize) -> usize {
        self.decoder.cache_shapes().map(|shape| shape.bytes(context, self.cache_format)).fold(0, usize::saturating_add)
    }

    /// The trained context, or half of it, and so on, until the cache fits a quarter of the machine's memory.
    pub(crate) fn default_context(&self) -> usize {
        let trained = self.trained_context();
        let allowed = machine::memory().map_or(u64::MAX, |bytes| bytes / 4);
        let mut context = trained;
        while context > 512 && self.cache_bytes(context) as u64 > allowed {
            context /= 2;
        }
        context
    }
}
