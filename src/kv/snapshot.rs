//! A cache on its way to a file and back: a description that can be checked against what the model needs, then the numbers of all pages,
//! little-endian, in a fixed order. What is read is checked before memory is taken for it.

use super::layer::LayerCache;
use super::page::Page;
use super::{Across, Cache, CacheFormat, LayerShape, Policy, Ring};
use crate::attention::PAGE;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// Everything about a cache but its numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CacheHeader {
    /// The types of keys and values.
    pub format: CacheFormat,
    /// What happens at the bound.
    pub policy: Policy,
    /// What is kept.
    pub ring: Ring,
    /// Tokens that have come.
    pub len: usize,
    /// For each layer the pages that anchors keep, the first page of the window, and how many there are from it on.
    layers: Vec<(Vec<usize>, usize, usize)>,
    /// Tokens of another text that the layers see, where one has been read.
    #[serde(default)]
    across: Option<usize>,
}

/// What a model's layers store of a token.
#[derive(Debug)]
pub struct Shapes {
    /// Of the sequence's own.
    pub own: Vec<LayerShape>,
    /// Of another text's; empty where there is no cross-attention.
    pub across: Vec<LayerShape>,
}

impl CacheHeader {
    /// Bytes that the pages take in the file; `None` where the header contradicts itself or the model's `shapes`.
    pub fn pages_bytes(&self, shapes: &Shapes) -> Option<u64> {
        let newest = self.len.div_ceil(PAGE);
        let Shapes { own: shapes, across } = shapes;
        let mut bytes = 0u64;
        if let Some(len) = self.across {
            if len == 0 || across.is_empty() {
                return None;
            }
            for shape in across {
                bytes = bytes.checked_add((len.div_ceil(PAGE) as u64).checked_mul(shape.page_bytes(self.format) as u64)?)?;
            }
        }
        if self.layers.len() != shapes.len() || !self.ring.is_consistent(self.len) {
            return None;
        }
        for ((kept, first, n), shape) in self.layers.iter().zip(shapes) {
            let in_order = kept.windows(2).all(|pair| pair[0] < pair[1]) && kept.last().is_none_or(|last| last < first);
            if !in_order || first.checked_add(*n)? != newest {
                return None;
            }
            let pages = (kept.len() as u64).checked_add(*n as u64)?;
            bytes = bytes.checked_add(pages.checked_mul(shape.page_bytes(self.format) as u64)?)?;
        }
        let needed = |((kept, first, _), shape): (&(Vec<usize>, usize, usize), &LayerShape)| {
            let held = |page: usize| page >= *first || kept.contains(&page);
            let sights = (0..self.ring.anchors().len()).map(Some).chain([None]);
            let mut pages = sights.flat_map(|anchor| {
                let keys = shape.sight(&self.ring, self.len, anchor).keys;
                keys.start / PAGE..keys.end.min(self.len).div_ceil(PAGE)
            });
            pages.all(held)
        };
        self.layers.iter().zip(shapes).all(needed).then_some(bytes)
    }
}

impl Cache {
    /// The description of what [`Cache::write_pages`] writes.
    pub fn header(&self) -> CacheHeader {
        let format = self.layers.first().map(LayerCache::format).unwrap_or_default();
        CacheHeader {
            format,
            policy: self.policy,
            ring: self.ring.clone(),
            len: self.len,
            layers: self.layers.iter().map(|layer| layer.held(self.len.div_ceil(PAGE))).collect(),
            across: self.across.as_ref().map(|across| across.len),
        }
    }

    /// Writes the numbers of all pages, those of another text last.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_pages(&self, out: &mut impl Write) -> io::Result<()> {
        let own = self.layers.iter().map(|layer| (layer, self.len));
        let across = self.across.iter().flat_map(|across| across.layers.iter().map(|layer| (layer, across.len)));
        own.chain(across).flat_map(|(layer, len)| layer.pages_before(len.div_ceil(PAGE))).try_for_each(|page| page.write_to(out))
    }

    /// Reads what [`Cache::write_pages`] wrote, whose `header` has been checked by [`CacheHeader::pages_bytes`].
    ///
    /// # Errors
    /// Those of `from`.
    pub fn read_pages(header: CacheHeader, shapes: &Shapes, from: &mut impl Read) -> io::Result<Cache> {
        let CacheHeader { format, policy, ring, len, layers, across } = header;
        let mut read = |shape: &LayerShape| -> io::Result<Arc<Page>> {
            let mut page = shape.page(format);
            page.read_from(from)?;
            Ok(Arc::new(page))
        };
        let mut layer = |((kept, first, n), shape): ((Vec<usize>, usize, usize), &LayerShape)| -> io::Result<LayerCache> {
            let kept = kept.into_iter().map(|index| Ok((index, read(shape)?))).collect::<io::Result<_>>()?;
            let pages = (0..n).map(|_| read(shape)).collect::<io::Result<_>>()?;
            Ok(LayerCache::of_pages(*shape, format, kept, first, pages))
        };
        let layers = layers.into_iter().zip(&shapes.own).map(&mut layer).collect::<io::Result<_>>()?;
        let across = across.map(|len| -> io::Result<_> {
            let pages = || (Vec::new(), 0, len.div_ceil(PAGE));
            let layers = shapes.across.iter().map(|shape| layer((pages(), shape))).collect::<io::Result<_>>()?;
            Ok(Arc::new(Across { layers, len }))
        });
        Ok(Cache { layers, ring, policy, len, across: across.transpose()? })
    }

    /// Takes another bound and policy, as long as no token has left. `None` where one has, or the new bound is passed already.
    pub fn with_bound(mut self, bound: usize, policy: Policy) -> Option<Cache> {
        let sinks = if let Policy::Ring { sinks } = policy { sinks } else { 0 };
        if self.ring.forgotten(self.len) > 0 || self.len > bound {
            return None;
        }
        self.ring = Ring::new(bound, sinks).ok()?;
        self.policy = policy;
        Some(self)
    }
}
