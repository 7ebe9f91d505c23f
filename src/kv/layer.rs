//! One layer of a cache: pages of 128 tokens at fixed positions. Those that no query will see again are used for new tokens.

use super::page::{Page, PageSlot};
use super::{CacheFormat, LayerShape, Ring, Sight};
use crate::attention::PAGE;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Pages of a layer that lie side by side in memory, where it has so many.
const SIDE_BY_SIDE: usize = 4;

/// The keys and values of one layer.
#[derive(Debug, Clone)]
pub struct LayerCache {
    shape: LayerShape,
    format: CacheFormat,
    /// Pages that the window has passed and anchors still need, by their index.
    kept: Vec<(usize, Arc<Page>)>,
    /// Pages `first ..`, of which all but the newest are full. Shared with forks until written.
    pages: VecDeque<Arc<Page>>,
    /// Index of the first page in `pages`.
    first: usize,
}

impl LayerCache {
    /// Holds nothing yet.
    pub fn new(shape: LayerShape, format: CacheFormat) -> Self {
        LayerCache { shape, format, kept: Vec::new(), pages: VecDeque::new(), first: 0 }
    }

    /// What it stores for a token.
    pub fn shape(&self) -> LayerShape {
        self.shape
    }

    /// In which types it does.
    pub fn format(&self) -> CacheFormat {
        self.format
    }

    /// Bytes held now.
    pub fn bytes(&self) -> usize {
        (self.kept.len() + self.pages.len()) * self.shape.page_bytes(self.format)
    }

    /// How many pages are to be made for the tokens before `end`, should none be used again, and the bytes of one.
    pub fn missing(&self, end: usize) -> (usize, usize) {
        (end.div_ceil(PAGE).saturating_sub(self.first + self.pages.len()), self.shape.page_bytes(self.format))
    }

    /// Pages for the tokens before `end`, of which those from `start` on are still to come. A page that token `start` and those after it do
    /// not see is used again for new tokens.
    pub fn reserve(&mut self, ring: &Ring, start: usize, end: usize) {
        let oldest = self.shape.sight(ring, start, None).keys.start / PAGE;
        let anchors: Vec<Sight> = (0..ring.anchors().len()).map(|anchor| self.shape.sight(ring, start, Some(anchor))).collect();
        let needed = |page: usize| anchors.iter().any(|Sight { keys, .. }| keys.start < (page + 1) * PAGE && keys.end > page * PAGE);
        let mut free: Vec<Arc<Page>> = self.kept.extract_if(.., |(index, _)| !needed(*index)).map(|(_, page)| page).collect();
        while self.first < oldest && !self.pages.is_empty() {
            let page = self.pages.pop_front().map(|page| (self.first, page));
            match page {
                Some(page) if needed(page.0) => self.kept.push(page),
                page => free.extend(page.map(|(_, page)| page)),
            }
            self.first += 1;
        }
        while (self.first + self.pages.len()) * PAGE < end {
            let used = free.pop().filter(|page| Arc::strong_count(page) == 1);
            // Room for as many again as there are, up to a few: a long cache's pages lie side by side, a short one leaves no gaps.
            let fresh = || match self.pages.back() {
                Some(page) => page.next(self.pages.len().min(SIDE_BY_SIDE)),
                None => self.shape.page(self.format),
            };
            let page = used.unwrap_or_else(|| Arc::new(fresh()));
            self.pages.push_back(page);
        }
    }

    /// Whether what token `len` would see is still held.
    pub fn can_truncate(&self, ring: &Ring, len: usize) -> bool {
        self.first <= self.shape.sight(ring, len, None).keys.start / PAGE
    }

    /// Forgets the tokens from `len` on.
    pub fn truncate(&mut self, len: usize) {
        let pages = len.div_ceil(PAGE);
        self.kept.retain(|(index, _)| *index < pages);
        self.pages.truncate(pages.saturating_sub(self.first));
        if pages < self.first {
            self.first = pages;
        }
    }

    /// The pages that are held before page `newest`: those of anchors, the first of the window, and how many there are from it on.
    pub fn held(&self, newest: usize) -> (Vec<usize>, usize, usize) {
        let n = self.pages.len().min(newest.saturating_sub(self.first));
        (self.kept.iter().map(|(index, _)| *index).collect(), self.first, n)
    }

    /// Those pages, in that order.
    pub fn pages_before(&self, newest: usize) -> impl Iterator<Item = &Page> {
        self.kept.iter().map(|(_, page)| &**page).chain(self.pages.iter().take(newest.saturating_sub(self.first)).map(|page| &**page))
    }

    /// A layer that holds these pages.
    pub fn of_pages(
        shape: LayerShape,
        format: CacheFormat,
        kept: Vec<(usize, Arc<Page>)>,
        first: usize,
        pages: VecDeque<Arc<Page>>,
    ) -> Self {
        LayerCache { shape, format, kept, pages, first }
    }

    /// Page `page`.
    ///
    /// # Panics
    /// Where it is not held.
    pub fn page(&self, page: usize) -> &Page {
        match page.checked_sub(self.first) {
            Some(place) => &self.pages[place],
            None => &self.kept.iter().find(|(index, _)| *index == page).expect("a page that a query sees is held").1,
        }
    }

    /// The bytes that the token at `position`, whose page is held, is stored in, and others of their cache lines.
    pub fn places(&self, position: usize) -> impl Iterator<Item = &[u8]> {
        self.page(position / PAGE).places(position % PAGE)
    }

    /// The parts of all pages that hold tokens of `positions`, page by page and head by head, to be written. Pages that a fork shares are
    /// copied first.
    pub fn slots_mut(&mut self, positions: Range<usize>) -> Vec<PageSlot<'_>> {
        let pages = positions.start / PAGE..positions.end.div_ceil(PAGE);
        let first = self.first;
        let touched = self.pages.iter_mut().enumerate().map(|(i, page)| (i + first, page)).filter(|(i, _)| pages.contains(i));
        touched.flat_map(|(index, page)| Arc::make_mut(page).slots_mut(index * PAGE)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{CacheType, Numbers, Part, TILE};

    /// A ring that never turns.
    fn endless() -> Ring {
        Ring::new(usize::MAX / 2, 0).unwrap()
    }

    fn cache(window: Option<usize>) -> LayerCache {
        let shape = LayerShape { n_kv_heads: 2, d_head: 8, window, mask: Default::default() };
        LayerCache::new(shape, CacheFormat::of(CacheType::F16))
    }

    fn write(cache: &mut LayerCache, ring: &Ring, position: usize, x: f32) {
        cache.reserve(ring, position, position + 1);
        for mut slot in cache.slots_mut(position..position + 1) {
            let head = slot.kv_head as f32;
            slot.write(position, &[x, head, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0], &[-x, head, 4.0, 5.0, 0.0, 0.0, 0.0, 0.0]);
        }
    }

    fn number(part: Part<'_>, at: usize) -> f32 {
        match part.numbers {
            Numbers::F16(numbers) => numbers[at].to_f32(),
            other => panic!("{other:?} is not f16"),
        }
    }

    #[test]
    fn keys_lie_dimension_by_dimension_and_values_token_by_token() {
        let mut cache = cache(None);
        (0..20).for_each(|position| write(&mut cache, &endless(), position, position as f32));
        let (keys, values) = cache.page(0).parts(1);
        assert_eq!(number(keys, 8 * TILE + 3), 19.0);
        assert_eq!(number(keys, 8 * TILE + TILE + 3), 1.0);
        assert_eq!(number(values, 19 * 8), -19.0);
    }

    #[test]
    fn a_window_keeps_its_pages_and_uses_them_again() {
        let mut cache = cache(Some(100));
        (0..2000).for_each(|position| write(&mut cache, &endless(), position, position as f32));
        assert_eq!(cache.pages.len(), 2);
        assert_eq!(number(cache.page(15).parts(0).1, 8 * 79), -1999.0);
        assert!(!cache.can_truncate(&endless(), 1000) && cache.can_truncate(&endless(), 1999));
    }

    #[test]
    fn a_ring_keeps_the_pages_of_its_anchors_and_of_its_last_tokens() {
        let mut ring = Ring::new(300, 4).unwrap();
        let mut cache = cache(None);
        (0..1000).for_each(|position| write(&mut cache, &ring, position, position as f32));
        ring.pin(800..810, 1000).unwrap();
        (1000..5000).for_each(|position| write(&mut cache, &ring, position, position as f32));
        assert_eq!(cache.kept.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 6]);
        assert_eq!(number(cache.page(6).parts(0).1, 8 * (805 - 768)), -805.0);
        assert!(cache.pages.len() <= 300usize.div_ceil(PAGE) + 1);
        ring.unpin(&(800..810), 5000);
        write(&mut cache, &ring, 5000, 0.0);
        assert_eq!(cache.kept.len(), 1);
    }

    #[test]
    fn a_fork_writes_its_own_pages() {
        let mut one = cache(None);
        (0..200).for_each(|position| write(&mut one, &endless(), position, 1.0));
        let mut two = one.clone();
        write(&mut two, &endless(), 200, 9.0);
        write(&mut one, &endless(), 200, 7.0);
        assert!(Arc::ptr_eq(&one.pages[0], &two.pages[0]));
        assert_eq!(number(one.page(1).parts(0).1, 8 * 72), -7.0);
        assert_eq!(number(two.page(1).parts(0).1, 8 * 72), -9.0);
    }
}
