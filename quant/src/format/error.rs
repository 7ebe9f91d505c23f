//! What can be wrong with a call into this floor: sizes that don't fit.

use super::Type;

/// Why weights could not be converted.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum FormatError {
    /// A block holds a fixed number of weights, and a row ends with a whole block.
    #[error("{weights} weights are no whole number of {} blocks, which hold {} each", ty.name(), ty.block_len())]
    PartBlock {
        /// The type.
        ty: Type,
        /// Weights given.
        weights: usize,
    },
    /// The bytes don't belong to that many weights.
    #[error("{weights} weights of type {} are {expected} bytes, found {found}", ty.name())]
    WrongSize {
        /// The type.
        ty: Type,
        /// Weights given.
        weights: usize,
        /// Bytes that they take.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
}
