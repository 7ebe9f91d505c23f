//! One layer's pages. Inside a page each head has its keys in tiles of 16 tokens, dimension by dimension (so that 16 keys are one
//! vector, without a transposition), and its values token by token.
//!
//! ```text
//! page: [kv head][ keys: [tile][d_head][16] | values: [128][d_head] ]
//! ```

use super::LayerShape;
use crate::attention::{Element, PAGE, TILE};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// The keys and values of one layer.
#[derive(Debug, Clone)]
pub struct LayerCache<E> {
    shape: LayerShape,
    /// Pages `first ..`, of which all but the newest are full. Shared with forks until written.
    pages: VecDeque<Arc<[E]>>,
    /// Index of the first page that is still held.
    first: usize,
}

/// One head's part of one page, to be written.
#[derive(Debug)]
pub struct PageSlot<'a, E> {
    /// The head.
    pub kv_head: usize,
    /// Position of the page's first token.
    pub start: usize,
    part: &'a mut [E],
}

impl<E: Element> PageSlot<'_, E> {
    /// Stores the key and the value, `[d_head]` each, of the token at `position`.
    pub fn write(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let d_head = key.len();
        let token = position - self.start;
        let (keys, values) = self.part.split_at_mut(PAGE * d_head);
        let tile = &mut keys[token / TILE * d_head * TILE..][..d_head * TILE];
        for (slot, &x) in tile[token % TILE..].iter_mut().step_by(TILE).zip(key) {
            *slot = E::from_f32(x);
        }
        for (slot, &x) in values[token * d_head..][..d_head].iter_mut().zip(value) {
            *slot = E::from_f32(x);
        }
    }
}

impl<E: Element> LayerCache<E> {
    /// Holds nothing yet.
    pub fn new(shape: LayerShape) -> Self {
        LayerCache { shape, pages: VecDeque::new(), first: 0 }
    }

    /// What it stores for a token.
    pub fn shape(&self) -> LayerShape {
        self.shape
    }

    /// Bytes held now.
    pub fn bytes(&self) -> usize {
        self.pages.len() * self.shape.page_len() * size_of::<E>()
    }

    /// Pages for the tokens before `end`, of which those from `start` on are still to come. A page that the window of token `start`
    /// no longer touches is used again for new tokens.
    pub fn reserve(&mut self, start: usize, end: usize) {
        let oldest = self.shape.window.map_or(0, |window| (start + 1).saturating_sub(window)) / PAGE;
        let mut free = Vec::new();
        while self.first < oldest && !self.pages.is_empty() {
            free.extend(self.pages.pop_front());
            self.first += 1;
        }
        let n = self.shape.page_len();
        while (self.first + self.pages.len()) * PAGE < end {
            let used = free.pop().filter(|page| Arc::strong_count(page) == 1);
            self.pages.push_back(used.unwrap_or_else(|| std::iter::repeat_n(E::from_f32(0.0), n).collect()));
        }
    }

    /// Forgets the tokens from `len` on; false where the window of token `len` reaches keys that are gone.
    pub fn truncate(&mut self, len: usize) -> bool {
        let oldest = self.shape.window.map_or(0, |window| (len + 1).saturating_sub(window)) / PAGE;
        self.pages.truncate(len.div_ceil(PAGE).saturating_sub(self.first));
        self.first <= oldest
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.pages.clear();
        self.first = 0;
    }

    /// Keys `[tile][d_head][16]` and values `[128][d_head]` of `kv_head` in page `page`.
    ///
    /// # Panics
    /// Where the page is not held.
    pub fn page(&self, page: usize, kv_head: usize) -> (&[E], &[E]) {
        let half = self.shape.d_head * PAGE;
        self.pages[page - self.first][2 * half * kv_head..2 * half * (kv_head + 1)].split_at(half)
    }

    /// The parts of all pages that hold tokens of `positions`, page by page and head by head, to be written. Pages that a fork shares are
    /// copied first.
    pub fn slots_mut(&mut self, positions: Range<usize>) -> Vec<PageSlot<'_, E>> {
        let part = 2 * self.shape.d_head * PAGE;
        let pages = positions.start / PAGE..positions.end.div_ceil(PAGE);
        let first = self.first;
        let touched = self.pages.iter_mut().enumerate().map(|(i, page)| (i + first, page)).filter(|(i, _)| pages.contains(i));
        touched
            .flat_map(|(index, page)| {
                let heads = Arc::make_mut(page).chunks_exact_mut(part).enumerate();
                heads.map(move |(kv_head, part)| PageSlot { kv_head, start: index * PAGE, part })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    fn cache(window: Option<usize>) -> LayerCache<f16> {
        LayerCache::new(LayerShape { n_kv_heads: 2, d_head: 4, window })
    }

    fn write(cache: &mut LayerCache<f16>, position: usize, x: f32) {
        cache.reserve(position, position + 1);
        for mut slot in cache.slots_mut(position..position + 1) {
            let head = slot.kv_head as f32;
            slot.write(position, &[x, head, 2.0, 3.0], &[-x, head, 4.0, 5.0]);
        }
    }

    #[test]
    fn keys_lie_dimension_by_dimension_and_values_token_by_token() {
        let mut cache = cache(None);
        (0..20).for_each(|position| write(&mut cache, position, position as f32));
        let (keys, values) = cache.page(0, 1);
        assert_eq!(keys[4 * TILE + 3].to_f32(), 19.0);
        assert_eq!(keys[4 * TILE + TILE + 3].to_f32(), 1.0);
        assert_eq!(values[19 * 4].to_f32(), -19.0);
    }

    #[test]
    fn a_window_keeps_its_pages_and_uses_them_again() {
        let mut cache = cache(Some(100));
        (0..2000).for_each(|position| write(&mut cache, position, position as f32));
        assert_eq!(cache.pages.len(), 2);
        assert_eq!(cache.page(15, 0).1[4 * 79].to_f32(), -1999.0);
        assert!(!cache.truncate(1000));
    }

    #[test]
    fn a_fork_writes_its_own_pages() {
        let mut one = cache(None);
        (0..200).for_each(|position| write(&mut one, position, 1.0));
        let mut two = one.clone();
        write(&mut two, 200, 9.0);
        write(&mut one, 200, 7.0);
        assert!(Arc::ptr_eq(&one.pages[0], &two.pages[0]));
        assert_eq!(one.page(1, 0).1[4 * 72].to_f32(), -7.0);
        assert_eq!(two.page(1, 0).1[4 * 72].to_f32(), -9.0);
    }
}
