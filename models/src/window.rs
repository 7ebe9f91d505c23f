//! Sliding windows: how long, and in which layers. One place for `layer_types`, Gemma's pattern and GGUF's.

use crate::error::ModelError;
use crate::metadata::Value;
use crate::names;
use crate::reader::{Reader, limits, shown, wrong};

/// How a family uses a sliding window.
pub(crate) struct Windows<'a> {
    /// The window's length where the file does not state one; `None` is no window.
    pub default: Option<usize>,
    /// There is a window only where `use_sliding_window` says so (Qwen, SmolLM 3).
    pub switched: bool,
    /// Which layers have it.
    pub layers: Sliding<'a>,
}

/// Which layers slide.
pub(crate) enum Sliding<'a> {
    /// All; the family knows no layer types.
    Every,
    /// Those that the file lists, or else these.
    Listed(&'a dyn Fn(usize) -> bool),
    /// Those that the file lists, or else all but the first and every n-th after it; where a file states an n, it counts so too
    /// (ModernBERT).
    ButFirstOfEvery(usize),
}

impl Windows<'_> {
    /// The window of each layer; `None` sees all.
    pub fn read(&self, file: &Reader, n_layers: usize) -> Result<Vec<Option<usize>>, ModelError> {
        let none = vec![None; n_layers];
        if self.switched && !file.flag(names::WINDOW_SWITCH)?.unwrap_or(false) {
            return Ok(none);
        }
        let stated = file.spell(names::WINDOW).is_some_and(|key| file.value(&key).is_some()) || file.is_null(names::WINDOW);
        let window = if stated { file.length(names::WINDOW)? } else { self.default };
        // A number: every n-th layer sees all, 1 is every layer and 0 is none.
        let slides: Vec<bool> = match self.layers {
            Sliding::Every => vec![true; n_layers],
            Sliding::Listed(default) => match (listed(file, n_layers)?, every(file)) {
                (Some(listed), _) => listed,
                (None, n) => n?.map_or_else(
                    || (0..n_layers).map(default).collect(),
                    |n| (1..=n_layers).map(|layer| n == 0 || layer % n != 0).collect(),
                ),
            },
            Sliding::ButFirstOfEvery(default) => match (listed(file, n_layers)?, every(file)) {
                (Some(listed), _) => listed,
                (None, n) => {
                    let n = n?.unwrap_or(default);
                    (0..n_layers).map(|layer| n == 0 || layer % n != 0).collect()
                }
            },
        };
        Ok(slides.into_iter().map(|slides| window.filter(|_| slides)).collect())
    }
}

/// What the file itself says of each of its layers.
fn listed(file: &Reader, n_layers: usize) -> Result<Option<Vec<bool>>, ModelError> {
    let of_each_layer = |key: &str, slides: Vec<bool>| match slides.len() == n_layers {
        true => Ok(Some(slides)),
        false => Err(wrong(key, format!("{n_layers} items, one for each layer"), format!("{} items", slides.len()))),
    };
    if let Some((key, types)) = file.list(names::LAYER_TYPES) {
        let slides = |item: &Value| match item {
            Value::Text(kind) if kind == "sliding_attention" => Ok(true),
            Value::Text(kind) if kind == "full_attention" => Ok(false),
            other => Err(wrong(&key, "`full_attention` or `sliding_attention`".into(), shown(other))),
        };
        return of_each_layer(&key, types.iter().map(slides).collect::<Result<_, _>>()?);
    }
    if let Some((key, slides)) = file.flags(names::WINDOW_PATTERN)? {
        return of_each_layer(&key, slides);
    }
    Ok(None)
}

/// The file's pattern where it is a number.
fn every(file: &Reader) -> Result<Option<usize>, ModelError> {
    file.spell(names::WINDOW_PATTERN).map_or(Ok(None), |key| file.whole_at(&key, 0..=limits::LAYERS))
}
