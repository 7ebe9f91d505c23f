//! The keys and values of one sequence: for each layer a row of pages, of which only those are kept that a query may still see.
//! Pages lie at fixed positions (page `i` holds tokens `128 i …`), so that a key's place never changes, attention's partial sums are
//! the same for ever, and eviction moves nothing.
#![deny(unsafe_code)]

mod layer;
mod page;
mod ring;
#[allow(unsafe_code)]
mod slab;
mod snapshot;

pub use crate::attention::CacheType;
pub use layer::LayerCache;
pub use page::{Page, PageSlot};
pub use ring::{DEFAULT_SINKS, Policy, Ring, Sight};
pub use snapshot::{CacheHeader, Shapes};

use crate::attention::PAGE;
use crate::error::SessionError;
use kinglet_models::{Attention, Mask};
use std::ops::Range;
use std::sync::Arc;

/// How a cache stores keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct CacheFormat {
    /// Of keys.
    pub keys: CacheType,
    /// Of values.
    pub values: CacheType,
    /// Whether heads are mixed by a Hadamard matrix before they are rounded to few levels (see [`crate::math::hadamard`]). Types that
    /// are not quantised are never mixed.
    pub hadamard: bool,
}

impl CacheFormat {
    /// Both of type `kind`, mixed where that helps.
    pub fn of(kind: CacheType) -> Self {
        CacheFormat { keys: kind, values: kind, hadamard: true }
    }

    /// Whether keys (and so queries) are mixed.
    pub fn mixes_keys(self) -> bool {
        self.hadamard && self.keys.is_quantised()
    }

    /// Whether values (and so outputs) are mixed.
    pub fn mixes_values(self) -> bool {
        self.hadamard && self.values.is_quantised()
    }

    /// Numbers that attention works with for a head: as many as the wider of the two sides stores.
    pub fn width(self, d_head: usize) -> usize {
        self.keys.width(d_head).max(self.values.width(d_head))
    }
}

impl Default for CacheFormat {
    fn default() -> Self {
        CacheFormat::of(CacheType::default())
    }
}

/// What one layer stores for a token, and which tokens its queries see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerShape {
    /// Key/value heads.
    pub n_kv_heads: usize,
    /// Numbers of a head: its width, or twice as many where a key is kept in two ways (see [`kinglet_models::Grouping`]).
    pub d_head: usize,
    /// A query sees this many keys, itself included; `None` sees all.
    pub window: Option<usize>,
    /// What a query sees before any window.
    pub mask: Mask,
}

impl LayerShape {
    /// What a layer of this recipe stores.
    pub fn of(attention: &Attention) -> LayerShape {
        let &Attention { n_kv_heads, d_head, window, mask, ref rope, .. } = attention;
        let copies = if rope.as_ref().is_some_and(|rope| rope.grouping.is_some()) { 2 } else { 1 };
        LayerShape { n_kv_heads, d_head: copies * d_head, window, mask }
    }

    /// Bytes that a layer of this shape holds for a sequence of `tokens`, which are at most what its ring keeps.
    pub fn bytes(&self, tokens: usize, format: CacheFormat) -> usize {
        let kept = self.window.map_or(tokens, |window| tokens.min(window.saturating_add(PAGE)));
        kept.div_ceil(PAGE).saturating_mul(self.page_bytes(format))
    }

    fn page_bytes(&self, format: CacheFormat) -> usize {
        let n = self.n_kv_heads * format.width(self.d_head) * PAGE;
        format.keys.bytes(n) + format.values.bytes(n)
    }

    fn page(&self, format: CacheFormat) -> Page {
        Page::new((format.keys, format.values), self.n_kv_heads, format.width(self.d_head))
    }

    /// What the causal query at `position` sees in this layer of the ring's window or of one of its anchors.
    pub fn sight(&self, ring: &Ring, position: usize, anchor: Option<usize>) -> Sight {
        let Sight { keys, at } = ring.sight(position, anchor);
        let nearest = match (self.mask, self.window) {
            (Mask::Chunked(chunk), _) => at / chunk * chunk,
            (_, Some(window)) => (at + 1).saturating_sub(window),
            (_, None) => 0,
        };
        let end = match self.mask {
            // Nothing has left yet: a context is longer than a prefix.
            Mask::Prefix(tokens) if at < tokens => tokens,
            _ => keys.end,
        };
        let start = keys.start.max(nearest);
        Sight { keys: start..end.max(start), at }
    }

    /// What the query at `position` sees of a sequence of `len` tokens in an encoder.
    pub fn sight_both_ways(&self, position: usize, len: usize) -> Range<usize> {
        self.window.map_or(0..len, |window| position.saturating_sub(window / 2)..(position + window / 2 + 1).min(len))
    }
}

/// The cache of one sequence. A clone shares all full pages.
#[derive(Debug, Clone)]
pub struct Cache {
    layers: Vec<LayerCache>,
    ring: Ring,
    policy: Policy,
    len: usize,
    /// What the layers see of another text.
    across: Option<Arc<Across>>,
}

/// The keys and values that cross-attention sees: those of an encoder's text, computed once, read only and shared by forks.
#[derive(Debug)]
pub struct Across {
    /// One for each layer.
    pub layers: Vec<LayerCache>,
    /// Tokens of the text.
    pub len: usize,
}

impl Cache {
    /// An empty cache that keeps `bound` tokens and does as `policy` says when more come. Memory is taken page by page, as tokens come.
    ///
    /// # Errors
    /// Where the policy leaves no room for tokens.
    pub fn new(shapes: impl Iterator<Item = LayerShape>, format: CacheFormat, bound: usize, policy: Policy) -> Result<Cache, SessionError> {
        let sinks = if let Policy::Ring { sinks } = policy { sinks } else { 0 };
        let layers = shapes.map(|shape| LayerCache::new(shape, format)).collect();
        Ok(Cache { layers, ring: Ring::new(bound, sinks)?, policy, len: 0, across: None })
    }

    /// Tokens that have come, whether they are still held or not.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Tokens it keeps.
    pub fn bound(&self) -> usize {
        self.ring.bound()
    }

    /// What happens at the bound.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Which tokens are kept.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Which tokens are kept, to be pinned.
    pub fn ring_mut(&mut self) -> &mut Ring {
        &mut self.ring
    }

    /// The layers.
    pub fn layers(&self) -> &[LayerCache] {
        &self.layers
    }

    /// The layers.
    pub fn layers_mut(&mut self) -> &mut [LayerCache] {
        &mut self.layers
    }

    /// What the layers see of another text, where one has been encoded.
    pub fn across(&self) -> Option<&Arc<Across>> {
        self.across.as_ref()
    }

    /// Lets the layers see another text.
    pub fn set_across(&mut self, across: Across) {
        self.across = Some(Arc::new(across));
    }

    /// Bytes held now.
    pub fn bytes(&self) -> usize {
        self.layers.iter().chain(self.across.iter().flat_map(|across| &across.layers)).map(LayerCache::bytes).sum()
    }

    /// Makes room for `tokens` more, and lets go of pages that no query will see any more.
    ///
    /// # Errors
    /// Where the bound would be passed and the policy is to stop, or the system has not got the memory; nothing has changed then.
    pub fn reserve(&mut self, tokens: usize) -> Result<(), SessionError> {
        let full = SessionError::ContextFull { bound: self.bound(), held: self.len, asked: tokens };
        let len = self.len.checked_add(tokens).ok_or(full.clone())?;
        if self.policy == Policy::Stop && len > self.bound() {
            return Err(full);
        }
        // Nearly every token has none: then nothing is asked.
        let missing: Vec<(usize, usize)> = self.layers.iter().map(|layer| layer.missing(len)).filter(|(pages, _)| *pages > 0).collect();
        if !slab::can_take(&missing) {
            let bytes = missing.iter().map(|(pages, bytes)| pages.saturating_mul(*bytes)).fold(0, usize::saturating_add);
            return Err(SessionError::NoMemory { what: "keys and values of the tokens to come", bytes });
        }
        self.layers.iter_mut().for_each(|layer| layer.reserve(&self.ring, self.len, len));
        Ok(())
    }

    /// Counts `tokens` more as stored, once their keys and values are written.
    pub fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }

    /// Whether the tokens from position `len` on can be forgotten without losing those before.
    pub fn can_truncate(&self, len: usize) -> bool {
        // What is left of a prefix has seen the tokens that go.
        let whole = |layer: &LayerCache| !matches!(layer.shape().mask, Mask::Prefix(tokens) if len < tokens);
        self.layers.iter().all(|layer| whole(layer) && layer.can_truncate(&self.ring, len))
    }

    /// Forgets all tokens from position `len` on. Returns what is left: `len`, or 0 where earlier keys that would be seen again are gone.
    pub fn truncate(&mut self, len: usize) -> usize {
        if len < self.len {
            let whole = self.can_truncate(len);
            self.len = if whole { len } else { 0 };
            self.layers.iter_mut().for_each(|layer| layer.truncate(self.len));
            self.ring.truncate(self.len);
        }
        self.len
    }
}

/// Whether the system gives us `bytes` of memory: asked for in one piece and given back, before it is taken in many.
pub fn can_have(bytes: usize) -> bool {
    bytes == 0 || Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
}
