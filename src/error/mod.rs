//! What can go wrong, floor by floor. Each variant says what was being done to what, what was expected and what was found, in one line
//! for a person.

pub mod generate;
mod session;

pub use generate::GenerateError;
pub use session::SessionError;

/// Any error of the library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The options of generation, and logits that leave nothing to choose.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// A session's limits and its input.
    #[error(transparent)]
    Session(#[from] SessionError),
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
