//! Typed and checked values out of a [`Metadata`]: counts within bounds, finite numbers, tensors of the expected shape.
//! Everything a family learns of a file goes through here, so that each error names the key or tensor as the file spells it.

use std::ops::RangeInclusive;

use crate::error::ModelError;
use crate::metadata::{Layout, Metadata, Value};
use crate::names::{COMMON, Dialect, EMBEDDING, Key, Name};

/// Upper bounds of sizes that files may state, far beyond any published model: products of two of them fit in 64 bits.
pub mod limits {
    /// Layers of a decoder.
    pub const LAYERS: usize = 1 << 10;
    /// Query heads, and key/value heads.
    pub const HEADS: usize = 1 << 12;
    /// Width of a head.
    pub const D_HEAD: usize = 1 << 10;
    /// Width of the residual stream, of a feed-forward block.
    pub const WIDTH: usize = 1 << 22;
    /// Rows of the embedding.
    pub const VOCAB: usize = 1 << 24;
    /// Experts of a layer.
    pub const EXPERTS: usize = 1 << 12;
    /// Tokens of context, and of a window.
    pub const CONTEXT: usize = 1 << 30;
}

/// One file's metadata, read under one architecture's keys.
pub(crate) struct Reader<'a> {
    file: &'a dyn Metadata,
    pub layout: Layout,
    /// The architecture as the file names it.
    pub architecture: String,
    /// Before each hyper-parameter: `llama.`, nothing, or `text_config.`.
    prefix: String,
    dialect: &'static Dialect,
    root: (&'static str, &'static str),
}

impl<'a> Reader<'a> {
    /// Finds the architecture's name, and with it where the hyper-parameters lie.
    pub fn new(file: &'a dyn Metadata) -> Result<Self, ModelError> {
        let layout = file.layout();
        let (architecture, prefix) = (String::new(), String::new());
        let mut reader = Reader { file, layout, architecture, prefix, dialect: &COMMON, root: COMMON.roots[0] };
        match layout {
            Layout::Gguf => {
                reader.architecture = reader.required_text("general.architecture")?;
                reader.prefix = format!("{}.", reader.architecture);
            }
            Layout::HuggingFace => {
                if let Some(inner) = reader.text_at("text_config.model_type")? {
                    reader.architecture = inner;
                    reader.prefix = "text_config.".into();
                } else {
                    reader.architecture = reader.required_text("model_type")?;
                }
            }
        }
        Ok(reader.speaking(&COMMON))
    }

    /// The same file, read in a family's own spelling.
    pub fn speaking(&self, dialect: &'static Dialect) -> Self {
        let (architecture, prefix) = (self.architecture.clone(), self.prefix.clone());
        let mut reader = Reader { architecture, prefix, dialect, root: dialect.roots[0], ..*self };
        let embedding = reader.own(EMBEDDING.hugging_face).next().unwrap_or(EMBEDDING.hugging_face);
        let holds = |(body, _): &(&str, &str)| self.file.tensor_shape(&format!("{body}{embedding}.weight")).is_some();
        let first = dialect.roots[0];
        reader.root = dialect.roots.iter().copied().chain([("", first.1)]).find(holds).unwrap_or(first);
        reader
    }

    /// `value` where the defaults of Hugging Face's configuration classes hold; GGUF files state everything.
    pub fn in_config<T>(&self, value: T) -> Option<T> {
        (self.layout == Layout::HuggingFace).then_some(value)
    }

    /// The key as this file would spell it; `None` where its layout has no such key.
    pub fn spell(&self, key: Key) -> Option<String> {
        let name = match self.layout {
            Layout::Gguf => key.gguf,
            Layout::HuggingFace => key.hugging_face,
        };
        (!name.is_empty()).then(|| self.key(name))
    }

    /// What `key` says is not supported, because of `why`.
    pub fn unsupported(&self, key: Key, found: impl ToString, why: &'static str) -> ModelError {
        ModelError::Unsupported { key: self.spell(key).unwrap_or_default(), found: found.to_string(), why }
    }

    /// `key` is missing, and nothing stands for it.
    pub fn missing(&self, key: Key) -> ModelError {
        ModelError::MissingKey { key: self.spell(key).unwrap_or_default() }
    }

    /// The full key of a common spelling: the family's own that the file has, or the common one if it has that, or the family's first.
    pub fn key(&self, common: &'static str) -> String {
        let mut keys = self.own(common).chain([common]).map(|key| self.prefixed(key));
        let stated = keys.clone().find(|key| self.file.get(key).is_some());
        stated.or_else(|| keys.next()).unwrap_or_default()
    }

    /// The family's own spellings of `common`.
    fn own(&self, common: &'static str) -> impl Iterator<Item = &'static str> + Clone {
        self.dialect.spellings.iter().filter(move |(known, _)| *known == common).map(|(_, own)| *own)
    }

    /// A key of this file's own layout, with the prefix of its hyper-parameters.
    pub fn prefixed(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Whether the file says `null`, which switches a default off.
    pub fn is_null(&self, key: Key) -> bool {
        self.spell(key).is_some_and(|key| self.file.get(&key) == Some(Value::Null))
    }

    /// A whole number from 1 to `most`; `None` where it is missing or null.
    pub fn count(&self, key: Key, most: usize) -> Result<Option<usize>, ModelError> {
        self.spell(key).map_or(Ok(None), |key| self.whole_at(&key, 1..=most))
    }

    /// A window's length; `None` where it is missing, null, or 0, which GGUF writes for "no window".
    pub fn length(&self, key: Key) -> Result<Option<usize>, ModelError> {
        let length = self.spell(key).map_or(Ok(None), |key| self.whole_at(&key, 0..=limits::CONTEXT))?;
        Ok(length.filter(|&length| length > 0))
    }

    /// A whole number above zero; `None` where it is missing, null, 0 or less, which some families write for "none".
    pub fn count_or_off(&self, key: Key) -> Result<Option<usize>, ModelError> {
        match self.spell(key).and_then(|key| self.value(&key)) {
            Some(Value::Int(..=0)) => Ok(None),
            _ => self.count(key, limits::WIDTH),
        }
    }

    /// A finite number.
    pub fn number(&self, key: Key) -> Result<Option<f64>, ModelError> {
        self.spell(key).map_or(Ok(None), |key| self.number_at(&key))
    }

    /// A finite number above zero.
    pub fn positive(&self, key: Key) -> Result<Option<f64>, ModelError> {
        self.spell(key).map_or(Ok(None), |key| self.positive_at(&key))
    }

    /// A finite number above zero; `None` where it is missing, or 0, which GGUF writes for "none".
    pub fn positive_or_off(&self, key: Key) -> Result<Option<f64>, ModelError> {
        self.spell(key).map_or(Ok(None), |key| self.positive_or_off_at(&key))
    }

    /// True or false; 0 and 1 count.
    pub fn flag(&self, key: Key) -> Result<Option<bool>, ModelError> {
        let Some(key) = self.spell(key) else { return Ok(None) };
        self.value(&key).map(|value| truth(&key, &value)).transpose()
    }

    /// A text.
    pub fn text(&self, key: Key) -> Result<Option<String>, ModelError> {
        self.spell(key).map_or(Ok(None), |key| self.text_at(&key))
    }

    /// A list of any scalars with its key's spelling; `None` where it is missing or no list.
    pub fn list(&self, key: Key) -> Option<(String, Vec<Value>)> {
        let key = self.spell(key)?;
        match self.value(&key)? {
            Value::List(items) => Some((key, items)),
            _ => None,
        }
    }

    /// A list of flags with its key's spelling.
    pub fn flags(&self, key: Key) -> Result<Option<(String, Vec<bool>)>, ModelError> {
        let Some((key, items)) = self.list(key) else { return Ok(None) };
        let flags = items.iter().map(|item| truth(&key, item)).collect::<Result<_, _>>()?;
        Ok(Some((key, flags)))
    }

    /// As [`Reader::count`], by the full key, within `range`.
    pub fn whole_at(&self, key: &str, range: RangeInclusive<usize>) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let found = match &value {
            Value::Int(number) => usize::try_from(*number).ok(),
            Value::Float(number) if number.fract() == 0.0 && (0.0..=limits::CONTEXT as f64).contains(number) => Some(*number as usize),
            _ => None,
        };
        match found {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(wrong(key, format!("a whole number from {} to {}", range.start(), range.end()), shown(&value))),
        }
    }

    /// As [`Reader::number`], by the full key.
    pub fn number_at(&self, key: &str) -> Result<Option<f64>, ModelError> {
        self.value(key).map(|value| finite(key, &value)).transpose()
    }

    /// As [`Reader::positive`], by the full key. What single precision cannot hold, or not invert, counts as infinite or zero.
    pub fn positive_at(&self, key: &str) -> Result<Option<f64>, ModelError> {
        match self.number_at(key)? {
            Some(number) if (number as f32) < f32::MIN_POSITIVE => Err(wrong(key, "a number above zero".into(), format!("{number:?}"))),
            number => Ok(number),
        }
    }

    /// As [`Reader::positive_or_off`], by the full key.
    pub fn positive_or_off_at(&self, key: &str) -> Result<Option<f64>, ModelError> {
        match self.number_at(key)? {
            Some(0.0) if self.layout == Layout::Gguf => Ok(None),
            _ => self.positive_at(key),
        }
    }

    /// A list of `length` numbers above zero, by the full key.
    pub fn positives_at(&self, key: &str, length: usize) -> Result<Option<Vec<f64>>, ModelError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let expected = || format!("a list of {length} numbers above zero");
        let Value::List(items) = &value else { return Err(wrong(key, expected(), shown(&value))) };
        if items.len() != length {
            return Err(wrong(key, expected(), format!("{} items", items.len())));
        }
        let numbers: Vec<f64> = items.iter().map(|item| finite(key, item)).collect::<Result<_, _>>()?;
        match numbers.iter().find(|&&number| (number as f32) < f32::MIN_POSITIVE) {
            Some(number) => Err(wrong(key, expected(), format!("{number:?}"))),
            None => Ok(Some(numbers)),
        }
    }

    /// As [`Reader::text`], by the full key.
    pub fn text_at(&self, key: &str) -> Result<Option<String>, ModelError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(value) => Err(wrong(key, "a text".into(), shown(&value))),
        }
    }

    /// The value by the full key, unless it is null.
    pub fn value(&self, key: &str) -> Option<Value> {
        self.file.get(key).filter(|value| *value != Value::Null)
    }

    fn required_text(&self, key: &str) -> Result<String, ModelError> {
        self.text_at(key)?.ok_or_else(|| ModelError::MissingKey { key: key.into() })
    }

    /// The tensor's name in this file, of layer `layer`, without `.weight` or `.bias`.
    pub fn tensor(&self, name: Name, layer: usize) -> String {
        let (common, root) = match self.layout {
            Layout::Gguf => (name.gguf, ""),
            Layout::HuggingFace => (name.hugging_face, self.root.0),
        };
        let full = |name: &str| format!("{root}{}", name.replace("{}", &layer.to_string()));
        let mut names = self.own(common).map(full);
        let there = names.clone().find(|name| self.shape(&format!("{name}.weight")).is_some());
        there.or_else(|| names.next()).unwrap_or_else(|| full(common))
    }

    /// The output matrix' name in this file, without `.weight`.
    pub fn output(&self) -> &'static str {
        match self.layout {
            Layout::Gguf => "output",
            Layout::HuggingFace => self.root.1,
        }
    }

    /// The shape of a tensor by its full name, rows first.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.file.tensor_shape(name)
    }

    /// Whether the file has `name`'s weight in layer `layer`.
    pub fn has_weight(&self, name: Name, layer: usize) -> bool {
        self.shape(&format!("{}.weight", self.tensor(name, layer))).is_some()
    }

    /// That the tensor is there and has this shape.
    pub fn expect(&self, name: &str, expected: &[usize]) -> Result<(), ModelError> {
        match self.shape(name) {
            None => Err(ModelError::MissingTensor { name: name.into() }),
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(ModelError::WrongShape { name: name.into(), expected: expected.into(), found }),
        }
    }
}

/// A [`ModelError::WrongValue`].
pub(crate) fn wrong(key: &str, expected: String, found: String) -> ModelError {
    ModelError::WrongValue { key: key.into(), expected, found }
}

/// A value as an error shows it: short, whatever the file holds.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        // Not `Display`, which writes out hundreds of zeros.
        Value::Float(value) => format!("{value:?}"),
        Value::Text(text) => format!("`{}`", excerpt(text)),
        Value::List(items) => format!("a list of {} items", items.len()),
        Value::Null => "null".into(),
    }
}

/// The beginning of a text, on one line.
pub(crate) fn excerpt(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("{}{more}", start.escape_debug())
}

fn finite(key: &str, value: &Value) -> Result<f64, ModelError> {
    let number = match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    };
    match number {
        Some(number) if (number as f32).is_finite() => Ok(number),
        _ => Err(wrong(key, "a finite number".into(), shown(value))),
    }
}

fn truth(key: &str, value: &Value) -> Result<bool, ModelError> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::Int(0) => Ok(false),
        Value::Int(1) => Ok(true),
        value => Err(wrong(key, "true or false".into(), shown(value))),
    }
}
