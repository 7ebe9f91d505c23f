//! The attention step of one layer: keys are normed, rotated and stored, then each worker takes some of the (sequence, key/value head)
//! pairs, packs their queries (normed, rotated, scaled) and goes over the pages. Long prompts are cut by query rows; a few rows
//! over a long cache are cut by pages, whose partial softmaxes are merged in order. Either way gives the same bits.
//!
//! Cross-attention is the same step over the keys and values of another text, which are there already and which every query sees.
//!
//! Where a stream has outgrown its cache, a query is packed once more for each anchor that was left behind, as it stands to it; where
//! distant tokens stand closer together ([`kinglet_models::Grouping`]), once more for those, whose keys lie beside the plain ones.

mod heads;

pub use heads::fetch_places;

use super::batch::{Rows, Span, Standing};
use super::layer::QkNormWeights;
use super::linear::Arithmetic;
use super::positions::LayerPositions;
use super::profile::Amount;
use crate::attention::{Attend, Content, Merge, PAGE, Part, Partial, Slots, View, partial_in, partial_len, rows_together};
use crate::kv::{CacheFormat, LayerCache, LayerShape, Sight};
use crate::math::hadamard;
use crate::parallel::{Crew, Pieces, cut_by_cost, taper};
use kinglet_models::{Attention, Mask};
use std::ops::Range;

/// A sequence with at most this many new rows has its pages shared out, where it has several; with more, its rows.
pub(super) const SPLIT_ROWS: usize = 4;

/// Numbers that the leader merges faster than the team, for which it would have to cross once more.
const FEW_PARTIALS: usize = 8 << 10;

/// What others than the leader are late by, in quarters of a row and a page: of three such items the leader takes two.
const LATE: u64 = 1;

/// Pages that a worker takes at once, at least.
const FEW_PAGES: usize = 2;

/// Positions whose queries one prefill item packs.
const ITEM_ROWS: usize = 16;

/// One layer's attention over a batch.
pub struct AttentionStep<'a> {
    /// The recipe: heads, window, scale.
    pub attention: &'a Attention,
    /// Norms on queries and keys.
    pub qk_norm: Option<&'a QkNormWeights>,
    /// The queries see all of another text and nothing of their own.
    pub across: bool,
    /// How norms are computed.
    pub arithmetic: Arithmetic,
    /// The batch.
    pub rows: &'a Rows,
    /// What positions do to the layer's queries, keys and scores.
    pub positions: &'a LayerPositions<'a>,
    /// What the layer's caches store for a token.
    pub shape: LayerShape,
    /// How they do.
    pub format: CacheFormat,
    /// `[rows, (n_heads + 2 n_kv_heads) · d_head]`: queries, keys, values side by side. Across texts they come apart: of the text that
    /// reads there are queries only, of the one that is read keys and values only.
    pub qkv: &'a [f32],
}

/// Scratch of one worker.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    q: Vec<f32>,
    views: Vec<View>,
    max: Vec<f32>,
    sum: Vec<f32>,
    out: Vec<f32>,
    /// Whose queries are in `q`, of all key/value heads.
    packed: Option<(usize, Standing)>,
    /// What all workers leave of pages that are taken one by one.
    partials: Vec<f32>,
}

/// Work of one worker: some query rows of one sequence and head over some pages.
#[derive(Debug, Clone)]
struct Item {
    span: usize,
    kv_head: usize,
    /// Rows of the batch.
    rows: Range<usize>,
    standing: Standing,
    pages: Range<usize>,
}

/// A query row whose pages are merged, and its output's place; for the others see [`Merge`].
struct Whole<'a> {
    partials: &'a [f32],
    head: (usize, usize),
    row: (usize, usize),
    to: &'a mut [f32],
}

impl AttentionStep<'_> {
    fn d_head(&self) -> usize {
        self.attention.d_head
    }

    /// Numbers that the cache stores for a head.
    fn stored(&self) -> usize {
        self.format.width(self.shape.d_head)
    }

    /// Query heads that share a key/value head.
    fn group(&self) -> usize {
        self.attention.n_heads / self.attention.n_kv_heads
    }

    /// Numbers of a row in `qkv`.
    fn width(&self) -> usize {
        self.qkv.len() / self.rows.len()
    }

    /// What the step takes; keys of sinks and pins are not counted.
    pub fn amount(&self) -> Amount {
        let (attention, mut amount) = (self.attention, Amount::default());
        for span in self.rows.spans() {
            let rows = span.first_row..span.first_row + span.len;
            let keys: usize = rows.clone().map(|row| self.sees(span, row).len()).sum();
            let held = self.sees(span, rows.end - 1).end - self.sees(span, rows.start).start;
            amount.float += (2 * keys * attention.n_heads * self.stored()) as u64;
            amount.bytes += (self.shape.bytes(PAGE, self.format) * held / PAGE) as u64;
        }
        amount
    }

    /// Attention's output for all rows: `out: [kv head][rows][group · d_head]`.
    pub fn run(&self, crew: &mut Crew<'_>, caches: &[&LayerCache], scratch: &mut [AttentionScratch], out: &mut [f32]) {
        let whole = self.items(|span| !self.is_split(span));
        self.run_whole(crew, caches, scratch, &whole, out);
        let split = self.items_by_page(|span| self.is_split(span));
        self.run_split(crew, caches, scratch, &split, out);
    }

    /// Whether the pages that a span sees are shared out.
    fn is_split(&self, span: &Span) -> bool {
        let held = if self.across { span.across } else { span.start + span.len };
        span.len <= SPLIT_ROWS && held > PAGE
    }

    /// Items of a few rows each, of the spans that `which` picks, head by head and in the order of rows. They stand to the window; their
    /// pages are an estimate of what they cost.
    fn items(&self, which: impl Fn(&Span) -> bool) -> Vec<Item> {
        let mut items = Vec::new();
        for kv_head in 0..self.attention.n_kv_heads {
            for (index, span) in self.rows.spans().iter().enumerate().filter(|(_, span)| which(span)) {
                for first in (0..span.len).step_by(ITEM_ROWS) {
                    let rows = span.first_row + first..span.first_row + (first + ITEM_ROWS).min(span.len);
                    let pages = pages_of(rows.clone().map(|row| self.sees(span, row)));
                    items.push(Item { span: index, kv_head, rows, standing: Standing::WINDOW, pages });
                }
            }
        }
        items
    }

    /// An item for each page and head that the rows of a span see, of the spans that `which` picks, in the order in which they lie in
    /// memory: a page's heads side by side.
    fn items_by_page(&self, which: impl Fn(&Span) -> bool) -> Vec<Item> {
        let mut items = Vec::new();
        for (span, of) in self.rows.spans().iter().enumerate().filter(|(_, span)| which(span)) {
            let rows = of.first_row..of.first_row + of.len;
            for standing in self.standings() {
                for page in self.pages(of, &rows, standing) {
                    let item = |kv_head| Item { span, kv_head, rows: rows.clone(), standing, pages: page..page + 1 };
                    items.extend((0..self.attention.n_kv_heads).map(item));
                }
            }
        }
        items
    }

    /// What a query may stand to, in the order in which it is met.
    fn standings(&self) -> impl Iterator<Item = Standing> {
        let grouped = self.positions.grouping().is_some();
        let of =
            move |anchor| [true, false].map(|far| Standing { anchor, far }).into_iter().filter(move |standing| grouped || !standing.far);
        self.rows.anchors_and_window().flat_map(of)
    }

    /// What the query of row `row` of the batch sees of what it stands to.
    fn sight(&self, span: &Span, row: usize, standing: Standing) -> Sight {
        let Sight { keys, at } = self.sight_near_and_far(span, row, standing.anchor);
        let Some(grouping) = self.positions.grouping() else { return Sight { keys, at } };
        let nearest = (at + 1).saturating_sub(grouping.neighbours).clamp(keys.start, keys.end);
        Sight { keys: if standing.far { keys.start..nearest } else { nearest..keys.end }, at }
    }

    /// All of the window that it sees.
    fn sees(&self, span: &Span, row: usize) -> Range<usize> {
        self.sight_near_and_far(span, row, None).keys
    }

    fn sight_near_and_far(&self, span: &Span, row: usize, anchor: Option<usize>) -> Sight {
        let position = span.start + (row - span.first_row);
        if self.across {
            // Once, however many anchors the reader's own text has left behind.
            return Sight { keys: 0..if anchor.is_none() { span.across } else { 0 }, at: position };
        }
        match self.attention.mask {
            Mask::Bidirectional => Sight { keys: self.shape.sight_both_ways(position, span.start + span.len), at: position },
            Mask::Causal | Mask::Chunked(_) | Mask::Prefix(_) => self.shape.sight(&span.ring, position, anchor),
        }
    }

    /// Pages that the queries of `rows` see.
    fn pages(&self, span: &Span, rows: &Range<usize>, standing: Standing) -> Range<usize> {
        if standing.anchor.is_some_and(|anchor| anchor >= span.ring.anchors().len()) {
            return 0..0;
        }
        pages_of(rows.clone().map(|row| self.sight(span, row, standing).keys))
    }

    /// Where an item's rows lie in the output, `[kv head][rows][group · d_head]`.
    fn place(&self, item: &Item) -> Range<usize> {
        let (first, width) = (item.kv_head * self.rows.len(), self.group() * self.d_head());
        (first + item.rows.start) * width..(first + item.rows.end) * width
    }

    /// Items that go over all their pages: each writes its rows of the output itself.
    fn run_whole(&self, crew: &mut Crew<'_>, caches: &[&LayerCache], scratch: &mut [AttentionScratch], items: &[Item], out: &mut [f32]) {
        if items.is_empty() {
            return;
        }
        let costs = items.iter().map(|item| 4 * (item.rows.len() * item.pages.len()) as u64);
        // In decode an item takes a microsecond or two.
        let least = ITEM_ROWS / items[0].rows.len();
        let mut pieces = Pieces::for_workers(crew.threads());
        let (mut rest, mut done) = (out, 0);
        for cut in cut_by_cost(costs, LATE, crew.threads()) {
            pieces.next_worker();
            for cut in taper(cut, 1, least, usize::MAX) {
                // Items are in the order of the output, so a piece's rows are one slice of it (with other spans' rows in between).
                let (from, to) = (self.place(&items[cut.start]).start, self.place(&items[cut.end - 1]).end);
                let (mine, others) = std::mem::take(&mut rest)[from - done..].split_at_mut(to - from);
                (rest, done) = (others, to);
                pieces.push((cut, from, mine));
            }
        }
        crew.each(scratch, pieces, |scratch, (cut, from, out)| {
            for index in cut {
                let item = &items[index];
                let next = items.get(index + 1).map(|next| self.beginning(caches, next)).unwrap_or_default();
                self.attend_all(caches[item.span], item, next, scratch);
                let at = self.place(item);
                self.finish(&scratch.out, &scratch.sum, &mut out[at.start - from..at.end - from]);
            }
        });
    }

    /// Goes over all that the item's queries stand to, and leaves their softmax in `scratch`.
    fn attend_all(&self, cache: &LayerCache, item: &Item, next: (&[u8], &[u8]), scratch: &mut AttentionScratch) {
        scratch.partial(item.rows.len() * self.group(), self.stored()).clear();
        for standing in self.standings() {
            let pages = self.pages(&self.rows.spans()[item.span], &item.rows, standing);
            if !pages.is_empty() {
                let item = Item { standing, pages, ..item.clone() };
                self.pack(&item, item.kv_head..item.kv_head + 1, scratch);
                let AttentionScratch { q, views, max, sum, out, .. } = &mut *scratch;
                self.attend(cache, &item, (q, views), next, Partial { max, sum, out });
            }
        }
    }

    /// Items of one page and head each: every worker leaves their partial softmaxes, the leader merges them page after page.
    fn run_split(&self, crew: &mut Crew<'_>, caches: &[&LayerCache], scratch: &mut [AttentionScratch], items: &[Item], out: &mut [f32]) {
        if items.is_empty() {
            return;
        }
        let sizes: Vec<usize> = items.iter().map(|item| partial_len(item.rows.len() * self.group(), self.stored())).collect();
        let mut partials = std::mem::take(&mut scratch[0].partials);
        partials.resize(sizes.iter().sum(), 0.0);
        scratch.iter_mut().for_each(|scratch| scratch.packed = None);
        let mut pieces = Pieces::for_workers(crew.threads());
        let mut rest = &mut partials[..];
        for cut in cut_by_cost(sizes.iter().map(|&size| size as u64), 0, crew.threads()) {
            pieces.next_worker();
            for cut in taper(cut, self.attention.n_kv_heads, FEW_PAGES * self.attention.n_kv_heads, usize::MAX) {
                let (mine, others) = rest.split_at_mut(sizes[cut.clone()].iter().sum());
                rest = others;
                pieces.push((cut, mine));
            }
        }
        crew.each(scratch, pieces, |scratch, (cut, mut partials)| {
            for index in cut {
                let item = &items[index];
                // The pages of one sequence lie side by side: its queries are packed once.
                let these = Some((item.span, item.standing));
                if scratch.packed != these {
                    self.pack(item, 0..self.attention.n_kv_heads, scratch);
                    scratch.packed = these;
                }
                let n = item.rows.len() * self.group();
                let (mine, others) = partials.split_at_mut(partial_len(n, self.stored()));
                partials = others;
                let mut partial = partial_in(mine, n);
                partial.clear();
                let (q, views) = (&scratch.q[item.kv_head * n * self.stored()..], &scratch.views[item.kv_head * n..][..n]);
                let next = items.get(index + 1).map(|next| self.beginning(caches, next)).unwrap_or_default();
                self.attend(caches[item.span], item, (q, views), next, partial);
            }
        });
        self.merge(crew, items, &partials, scratch, out);
        scratch[0].partials = partials;
    }

    /// The keys and values that an item reads first; none where it has no page.
    fn beginning<'c>(&self, caches: &[&'c LayerCache], item: &Item) -> (&'c [u8], &'c [u8]) {
        if item.pages.is_empty() { Default::default() } else { caches[item.span].page(item.pages.start).bytes_of(item.kv_head) }
    }

    /// Merges the partial softmaxes of each query row's pages, in the order of pages, and divides by the sums.
    fn merge(&self, crew: &mut Crew<'_>, items: &[Item], partials: &[f32], scratch: &mut [AttentionScratch], out: &mut [f32]) {
        let (d, width, heads) = (self.d_head(), self.stored(), self.attention.n_kv_heads);
        let mut places: Vec<Option<&mut [f32]>> = out.chunks_exact_mut(d).map(Some).collect();
        let (mut merges, mut rest) = (Vec::new(), partials);
        for of_span in items.chunk_by(|a, b| a.span == b.span) {
            let rows = of_span[0].rows.len() * self.group();
            let (mine, others) = rest.split_at(of_span.len() * partial_len(rows, width));
            rest = others;
            for (head, item) in of_span.iter().take(heads).enumerate() {
                let place = self.place(item).start / d;
                merges.extend((0..rows).filter_map(|row| {
                    let to = places[place + row].take()?;
                    Some(Whole { partials: mine, head: (head, heads), row: (row, rows), to })
                }));
            }
        }
        let workers = if partials.len() < FEW_PARTIALS { 1 } else { crew.threads() };
        let each = merges.len().div_ceil(workers).max(1);
        let pieces = Pieces::one_each(merges.chunks_mut(each));
        crew.each(scratch, pieces, |AttentionScratch { out, .. }, merges| {
            out.resize(width, 0.0);
            for &mut Whole { partials, head, row, ref mut to } in merges {
                let sum = self.arithmetic.level().run_vectors(Merge { partials, head, row, out });
                self.finish(out, &[sum], to);
            }
        });
    }

    /// Goes over the item's pages with its queries and what they see; `next` is the keys and values that are read after them.
    fn attend(&self, cache: &LayerCache, item: &Item, (q, views): (&[f32], &[View]), next: (&[u8], &[u8]), partial: Partial<'_>) {
        let content =
            self.positions.content.map(|tables| Content { q, by_query: tables.by_query.as_ref(), by_key: tables.by_key.as_ref() });
        self.arithmetic.level().run_vectors(Attend {
            q,
            width: self.stored(),
            views,
            together: rows_together(),
            softcap: self.attention.softcap,
            slots: Slots { bias: self.positions.bias, content },
            pages: item.pages.clone(),
            page: |page| {
                let (keys, values) = cache.page(page).parts(item.kv_head);
                let after = if page + 1 < item.pages.end { cache.page(page + 1).bytes_of(item.kv_head) } else { next };
                (Part { then: after.0, ..keys }, Part { then: after.1, ..values })
            },
            partial,
        });
    }

    /// `to = out / sum`, unmixed, for each row.
    fn finish(&self, out: &[f32], sum: &[f32], to: &mut [f32]) {
        let (d, stored) = (self.d_head(), self.stored());
        let mut mixed = vec![0.0; if self.format.mixes_values() { stored } else { 0 }];
        for ((to, out), sum) in to.chunks_exact_mut(d).zip(out.chunks_exact(stored)).zip(sum) {
            if mixed.is_empty() {
                to.iter_mut().zip(out).for_each(|(to, out)| *to = out / sum);
            } else {
                mixed.iter_mut().zip(out).for_each(|(mixed, out)| *mixed = out / sum);
                hadamard(&mut mixed);
                to.copy_from_slice(&mixed[..d]);
            }
        }
    }
}

/// The pages from the first to the last of these keys.
fn pages_of(seen: impl Iterator<Item = Range<usize>>) -> Range<usize> {
    let seen = seen.filter(|keys| !keys.is_empty());
    let all = seen.reduce(|all, keys| all.start.min(keys.start)..all.end.max(keys.end)).unwrap_or_default();
    all.start / PAGE..all.end.div_ceil(PAGE)
}

impl AttentionScratch {
    /// The softmax of `rows` rows, whatever is in it.
    fn partial(&mut self, rows: usize, width: usize) -> Partial<'_> {
        self.max.resize(rows, 0.0);
        self.sum.resize(rows, 0.0);
        self.out.resize(rows * width, 0.0);
        Partial { max: &mut self.max, sum: &mut self.sum, out: &mut self.out }
    }
}
