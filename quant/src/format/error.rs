//! What can be wrong with a call into this floor: sizes that don't fit, a type that can't be written, weights
//! that are no numbers.

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
    /// The type can be read only.
    #[error("{} can be read but not written; choose one of {}", ty.name(), writable())]
    ReadOnly {
        /// The type.
        ty: Type,
    },
    /// A weight that has no place in the type.
    #[error("weight {index} is {value}; {} holds finite numbers up to {largest:e}", ty.name())]
    OutOfRange {
        /// The type.
        ty: Type,
        /// Which weight.
        index: usize,
        /// Its value.
        value: f32,
        /// The largest magnitude allowed.
        largest: f32,
    },
}

fn writable() -> String {
    let names: Vec<_> = Type::ALL.iter().filter(|ty| ty.can_quantize()).map(|ty| ty.name()).collect();
    names.join(", ")
}
