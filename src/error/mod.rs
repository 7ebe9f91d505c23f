//! What can go wrong, floor by floor. Each variant says what was being done to what, what was expected and what was found, in one line
//! for a person.

pub mod file;
pub mod generate;
mod parallel;
mod position;
mod session;
mod snapshot;
mod text;

pub use file::{FileError, Optional};
pub use generate::GenerateError;
pub use parallel::CpuMaskError;
pub use position::PositionError;
pub use session::SessionError;
pub use snapshot::SnapshotError;
pub use text::TextError;
pub(crate) use text::one_line;

/// Any error of the library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A model's files.
    #[error(transparent)]
    File(#[from] FileError),
    /// The model's family or its hyper-parameters.
    #[error(transparent)]
    Model(#[from] kinglet_models::ModelError),
    /// Tokenizers and chat templates.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The options of generation, and logits that leave nothing to choose.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// A session's limits and its input.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Sessions on disk.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Position schemes put in the place of a model's own.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// The instruction-set level asked for.
    #[error(transparent)]
    Level(#[from] kinglet_quant::isa::LevelError),
    /// Threads could not be started.
    #[error("can't start {threads} worker threads: {source}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What the system said.
        source: std::io::Error,
    },
}
