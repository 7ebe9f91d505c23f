//! Block-quantised weight formats of GGUF and the SIMD kernels that multiply with them.
//!
//! A *format* (`format/`) is a block layout with its plain `dequantize`; an *ISA level* (`isa/`) is one file of primitives; the
//! kernels (`kernel/`) are written once over both.

pub mod columns;
pub mod format;
pub mod isa;
pub mod kernel;
pub mod limits;
pub mod matrix;

pub use columns::ColumnsMut;
pub use format::{FormatError, Type, UnknownType, Unpacked32, dequantize, quantize, quantize_into};
pub use isa::Level;
pub use kernel::{Activations, Batch, Input, InputKind, Scratch, Write, multiply, multiply_reference, wants};
pub use matrix::Matrix;
