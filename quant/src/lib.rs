//! Block-quantised weight formats of GGUF and the SIMD kernels that multiply with them.
//!
//! A *format* (`format/`) is a block layout with its plain `dequantize`; an *ISA level* (`isa/`) is one file of primitives; the
//! kernels (`kernel/`) are written once over both.

pub mod columns;
pub mod format;
pub mod isa;
pub mod matrix;

pub use columns::ColumnsMut;
pub use format::{FormatError, Type, Unpacked32, dequantize};
pub use isa::Level;
pub use matrix::Matrix;
