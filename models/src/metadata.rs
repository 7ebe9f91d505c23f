//! What a family needs to know of a file: typed values by key, and which tensors there are.
//! The runtime's readers implement it for GGUF and for a Hugging Face folder, so that this crate opens no file.

/// The two kinds of file a family knows names for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// GGUF keys (`llama.block_count`) and tensor names (`blk.0.attn_q.weight`).
    Gguf,
    /// `config.json` keys (`num_hidden_layers`) and Hugging Face tensor names.
    HuggingFace,
}

/// A value of the metadata. Nested objects of `config.json` are reached by dotted keys: `rope_scaling.factor`.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// Any integer.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list of scalars.
    List(Vec<Value>),
    /// An explicit `null` of `config.json`: unlike a missing key it switches a family's default off (`"sliding_window": null`).
    Null,
}

/// Read access to a model file's metadata.
pub trait Metadata {
    /// Which names apply.
    fn layout(&self) -> Layout;
    /// The value at `key`; `None` where the key is missing or an object.
    fn get(&self, key: &str) -> Option<Value>;
    /// A tensor's shape, rows first (`[outputs, inputs]`), or `None` where the file has no such tensor.
    fn tensor_shape(&self, name: &str) -> Option<Vec<usize>>;
    /// The names of all tensors.
    fn tensor_names(&self) -> Box<dyn Iterator<Item = &str> + '_>;
}
