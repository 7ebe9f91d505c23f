//! Transformer model families as data: hyper-parameters, tensor names and layer recipes, without any arithmetic.
//! A family is one file in `family/` and one line in [`FAMILIES`]; [`resolve`] reads a file's metadata through its family and
//! gives a [`Spec`] whose every size, name and shape has been checked against the file.
//!
//! ```
//! use kinglet_models::{Layout, Metadata, ModelError, Value, resolve};
//!
//! struct Empty;
//! impl Metadata for Empty {
//!     fn layout(&self) -> Layout {
//!         Layout::HuggingFace
//!     }
//!     fn get(&self, key: &str) -> Option<Value> {
//!         (key == "model_type").then(|| Value::Text("lama".into()))
//!     }
//!     fn tensor_shape(&self, _: &str) -> Option<Vec<usize>> {
//!         None
//!     }
//!     fn tensor_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
//!         Box::new(std::iter::empty())
//!     }
//! }
//!
//! let error = resolve(&Empty).unwrap_err();
//! assert!(matches!(error, ModelError::UnknownArchitecture { nearest: Some("llama"), .. }));
//! ```

#![forbid(unsafe_code)]

mod decoder;
mod error;
mod family;
mod metadata;
mod names;
mod reader;
mod rope;
mod sizes;
mod spec;
mod window;

pub use error::ModelError;
pub use family::{FAMILIES, Family, resolve};
pub use metadata::{Layout, Metadata, Value};
pub use reader::limits;
pub use spec::*;
