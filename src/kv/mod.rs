//! The keys and values of one sequence: for each layer a row of pages, of which a sliding-window layer keeps only those that its
//! window still touches. Pages lie at fixed positions (page `i` holds tokens `128 i …`), so that a key's place never changes, attention's
//! partial sums are the same for ever, and eviction moves nothing.
#![forbid(unsafe_code)]

mod layer;

pub use layer::{LayerCache, PageSlot};

use crate::attention::PAGE;
use crate::error::SessionError;
use half::f16;

/// How the cache stores a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheType {
    /// IEEE half precision: 2 bytes.
    #[default]
    F16,
    /// Single precision: 4 bytes; for the reference path.
    F32,
}

impl CacheType {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            CacheType::F16 => size_of::<f16>(),
            CacheType::F32 => size_of::<f32>(),
        }
    }
}

/// What one layer stores for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerShape {
    /// Key/value heads.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// A query sees this many keys, itself included; `None` sees all.
    pub window: Option<usize>,
}

impl LayerShape {
    /// Bytes that a layer of this shape holds for a sequence of `tokens`.
    pub fn bytes(&self, tokens: usize, kind: CacheType) -> usize {
        let kept = self.window.map_or(tokens, |window| tokens.min(window + PAGE));
        kept.div_ceil(PAGE) * self.page_len() * kind.bytes()
    }

    /// Numbers in one page: keys and values of all heads.
    pub fn page_len(&self) -> usize {
        2 * self.n_kv_heads * self.d_head * PAGE
    }
}

/// The layers of a cache, in its element type.
#[derive(Debug, Clone)]
pub enum Layers {
    /// Half precision.
    F16(Vec<LayerCache<f16>>),
    /// Single precision.
    F32(Vec<LayerCache<f32>>),
}

/// The cache of one sequence. A clone shares all full pages.
#[derive(Debug, Clone)]
pub struct Cache {
    layers: Layers,
    len: usize,
    bound: usize,
}

impl Cache {
    /// An empty cache that may grow to `bound` tokens. Memory is taken page by page, as tokens come.
    pub fn new(shapes: impl Iterator<Item = LayerShape>, kind: CacheType, bound: usize) -> Cache {
        let layers = match kind {
            CacheType::F16 => Layers::F16(shapes.map(LayerCache::new).collect()),
            CacheType::F32 => Layers::F32(shapes.map(LayerCache::new).collect()),
        };
        Cache { layers, len: 0, bound }
    }

    /// Tokens stored.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Tokens it may hold.
    pub fn bound(&self) -> usize {
        self.bound
    }

    /// The layers, in their element type.
    pub fn layers_mut(&mut self) -> &mut Layers {
        &mut self.layers
    }

    /// The layers, in their element type.
    pub fn layers(&self) -> &Layers {
        &self.layers
    }

    /// Bytes held now.
    pub fn bytes(&self) -> usize {
        match &self.layers {
            Layers::F16(layers) => layers.iter().map(LayerCache::bytes).sum(),
            Layers::F32(layers) => layers.iter().map(LayerCache::bytes).sum(),
        }
    }

    /// Makes room for `tokens` more, and lets go of pages that no window reaches any more.
    ///
    /// # Errors
    /// Where the bound would be passed; nothing has changed then.
    pub fn reserve(&mut self, tokens: usize) -> Result<(), SessionError> {
        let len = self.len.checked_add(tokens).filter(|&len| len <= self.bound);
        let len = len.ok_or(SessionError::ContextFull { bound: self.bound, held: self.len, asked: tokens })?;
        match &mut self.layers {
            Layers::F16(layers) => layers.iter_mut().for_each(|layer| layer.reserve(self.len, len)),
            Layers::F32(layers) => layers.iter_mut().for_each(|layer| layer.reserve(self.len, len)),
        }
        Ok(())
    }

    /// Counts `tokens` more as stored, once their keys and values are written.
    pub fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }

    /// Forgets all tokens from position `len` on. Returns what is left: `len`, or 0 where a window's earlier keys are gone already.
    pub fn truncate(&mut self, len: usize) -> usize {
        if len < self.len {
            let whole = match &mut self.layers {
                Layers::F16(layers) => layers.iter_mut().all(|layer| layer.truncate(len)),
                Layers::F32(layers) => layers.iter_mut().all(|layer| layer.truncate(len)),
            };
            self.len = if whole { len } else { 0 };
            if !whole {
                match &mut self.layers {
                    Layers::F16(layers) => layers.iter_mut().for_each(LayerCache::clear),
                    Layers::F32(layers) => layers.iter_mut().for_each(LayerCache::clear),
                }
            }
        }
        self.len
    }
}
