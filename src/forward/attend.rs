//! The attention step of one layer: keys are normed, rotated and stored, then each worker takes some of the (sequence, key/value head)
//! pairs, packs their queries (normed, rotated, scaled) and goes over the pages. Long prompts are cut by query rows; a few rows
//! over a long cache are cut by pages, whose partial softmaxes are merged in order. Either way gives the same bits.

use super::batch::{Rows, Span};
use super::decoder::LayerWeights;
use super::linear::Arithmetic;
use crate::attention::{Attend, Element, PAGE, Partial, Visible};
use crate::kv::{LayerCache, PageSlot};
use crate::parallel::{Crew, cut_by_cost};
use crate::position::TurnTable;
use kinglet_quant::isa::{Isa, Op};
use std::marker::PhantomData;
use std::ops::Range;

/// A sequence with at most this many new rows has its pages shared out; with more, its rows.
const SPLIT_ROWS: usize = 4;

/// Positions whose queries one prefill item packs.
const ITEM_ROWS: usize = 16;

/// One layer's attention over a batch.
pub struct AttentionStep<'a> {
    /// The layer.
    pub layer: &'a LayerWeights,
    /// How norms are computed.
    pub arithmetic: Arithmetic,
    /// The batch.
    pub rows: &'a Rows,
    /// Rotation of each row, where the layer rotates.
    pub turns: Option<&'a TurnTable>,
    /// `[rows, (n_heads + 2 n_kv_heads) · d_head]`: queries, keys, values side by side.
    pub qkv: &'a [f32],
}

/// Scratch of one worker.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    q: Vec<f32>,
    visible: Vec<Visible>,
    max: Vec<f32>,
    sum: Vec<f32>,
    out: Vec<f32>,
}

/// Work of one worker: some query rows of one sequence and head over some pages.
#[derive(Debug, Clone)]
struct Item {
    span: usize,
    kv_head: usize,
    /// Rows of the batch.
    rows: Range<usize>,
    pages: Range<usize>,
}

impl AttentionStep<'_> {
    fn d_head(&self) -> usize {
        self.layer.attention.d_head
    }

    /// Query heads that share a key/value head.
    fn group(&self) -> usize {
        self.layer.attention.n_heads / self.layer.attention.n_kv_heads
    }

    fn width(&self) -> usize {
        (self.layer.attention.n_heads + 2 * self.layer.attention.n_kv_heads) * self.d_head()
    }

    /// Stores the batch's keys and values in the caches of its sequences, one for each span.
    pub fn store<E: Element>(&self, crew: &mut Crew<'_>, caches: &mut [&mut LayerCache<E>]) {
        let mut slots: Vec<(usize, PageSlot<'_, E>)> = Vec::new();
        for (index, (span, cache)) in self.rows.spans().iter().zip(caches).enumerate() {
            slots.extend(cache.slots_mut(span.positions()).into_iter().map(|slot| (index, slot)));
        }
        if self.rows.len() < 8 {
            self.store_slots(&mut slots);
        } else {
            let mut parts = Vec::with_capacity(crew.threads());
            let each = slots.len().div_ceil(crew.threads());
            parts.extend(slots.chunks_mut(each.max(1)));
            crew.each(parts, |_, slots| self.store_slots(slots));
        }
    }

    fn store_slots<E: Element>(&self, slots: &mut [(usize, PageSlot<'_, E>)]) {
        let (d, attention) = (self.d_head(), &self.layer.attention);
        let mut key = vec![0.0; d];
        for (span, slot) in slots {
            let span = &self.rows.spans()[*span];
            let positions = span.positions();
            for position in positions.start.max(slot.start)..positions.end.min(slot.start + PAGE) {
                let row = span.first_row + (position - positions.start);
                let heads = &self.qkv[row * self.width()..(row + 1) * self.width()][attention.n_heads * d..];
                self.prepare(row, slot.kv_head, &heads[..attention.n_kv_heads * d], false, &mut key);
                slot.write(position, &key, &heads[(attention.n_kv_heads + slot.kv_head) * d..][..d]);
            }
        }
    }

    /// Norms (where each head has its own norm) and rotates head `head` of `heads: [n, d_head]` (the row's queries or its keys) into `out`.
    fn prepare(&self, row: usize, head: usize, heads: &[f32], query: bool, out: &mut [f32]) {
        let d = self.d_head();
        out.copy_from_slice(&heads[head * d..(head + 1) * d]);
        if let Some(norms) = self.layer.qk_norm.as_ref().filter(|norms| norms.per_head) {
            norms.of(query, head).apply(self.arithmetic.level(), &heads[head * d..(head + 1) * d], out);
        }
        if let Some(turns) = self.turns {
            turns.turn(row, out);
        }
    }

    /// Attention's output for all rows: `out: [kv head][rows][group · d_head]`.
    pub fn run<E: Element>(&self, crew: &mut Crew<'_>, caches: &[&LayerCache<E>], scratch: &mut [AttentionScratch], out: &mut [f32]) {
        let tiled = self.items(|span| span.len > SPLIT_ROWS, false);
        self.run_whole(crew, caches, scratch, &tiled, out);
        let split = self.items(|span| span.len <= SPLIT_ROWS, true);
        self.run_split(crew, caches, scratch, &split, out);
    }

    /// Items of the spans that `which` picks, head by head and in the order of rows; `by_page` makes an item of each page.
    fn items(&self, which: impl Fn(&Span) -> bool, by_page: bool) -> Vec<Item> {
        let mut items = Vec::new();
        for kv_head in 0..self.layer.attention.n_kv_heads {
            for (index, span) in self.rows.spans().iter().enumerate().filter(|(_, span)| which(span)) {
                let step = if by_page { span.len } else { ITEM_ROWS };
                for first in (0..span.len).step_by(step) {
                    let rows = span.first_row + first..span.first_row + (first + step).min(span.len);
                    let seen = self.visible(span, rows.start).start / PAGE..self.visible(span, rows.end - 1).end.div_ceil(PAGE);
                    let item = |pages: Range<usize>| Item { span: index, kv_head, rows: rows.clone(), pages };
                    if by_page {
                        items.extend(seen.map(|page| item(page..page + 1)));
                    } else {
                        items.push(item(seen));
                    }
                }
            }
        }
        items
    }

    /// Positions that row `row` of the batch sees.
    fn visible(&self, span: &Span, row: usize) -> Visible {
        let end = span.start + (row - span.first_row) + 1;
        self.layer.attention.window.map_or(0, |window| end.saturating_sub(window))..end
    }

    /// Where an item's rows lie in the output, `[kv head][rows][group · d_head]`.
    fn place(&self, item: &Item) -> Range<usize> {
        let (first, width) = (item.kv_head * self.rows.len(), self.group() * self.d_head());
        (first + item.rows.start) * width..(first + item.rows.end) * width
    }

    /// Items that go over all their pages: each writes its rows of the output itself.
    fn run_whole<E: Element>(
        &self,
        crew: &mut Crew<'_>,
        caches: &[&LayerCache<E>],
        scratch: &mut [AttentionScratch],
        items: &[Item],
        out: &mut [f32],
    ) {
        if items.is_empty() {
            return;
        }
        let costs: Vec<u64> = items.iter().map(|item| (item.rows.len() * item.pages.len()) as u64).collect();
        let mut jobs = Vec::with_capacity(crew.threads());
        let (mut rest, mut done) = (out, 0);
        for (cut, scratch) in cut_by_cost(&costs, crew.threads()).into_iter().zip(scratch) {
            let items = &items[cut];
            if let (Some(first), Some(last)) = (items.first(), items.last()) {
                // Items are in the order of the output, so a worker's rows are one slice of it (with other spans' rows in between).
                let (from, to) = (self.place(first).start, self.place(last).end);
                let (mine, others) = std::mem::take(&mut rest)[from - done..].split_at_mut(to - from);
                (rest, done) = (others, to);
                jobs.push((items, from, mine, scratch));
            }
        }
        crew.each(jobs, |_, (items, from, out, scratch)| {
            for item in items {
                self.attend(caches[item.span], item, scratch, true);
                let at = self.place(item);
                finish(&scratch.out, &scratch.sum, self.d_head(), &mut out[at.start - from..at.end - from]);
            }
        });
    }

    /// Items of one page each: every worker leaves its pages' partial softmaxes, the leader merges them page after page.
    fn run_split<E: Element>(
        &self,
        crew: &mut Crew<'_>,
        caches: &[&LayerCache<E>],
        scratch: &mut [AttentionScratch],
        items: &[Item],
        out: &mut [f32],
    ) {
        if items.is_empty() {
            return;
        }
        let (d, group) = (self.d_head(), self.group());
        // For each row of an item: the maximum, the sum, the output.
        let sizes: Vec<usize> = items.iter().map(|item| item.rows.len() * group * (d + 2)).collect();
        let mut partials = vec![0.0; sizes.iter().sum()];
        let costs: Vec<u64> = sizes.iter().map(|&size| size as u64).collect();
        let mut jobs = Vec::with_capacity(crew.threads());
        let mut rest = &mut partials[..];
        for (cut, scratch) in cut_by_cost(&costs, crew.threads()).into_iter().zip(&mut *scratch) {
            let (mine, others) = rest.split_at_mut(sizes[cut.clone()].iter().sum());
            rest = others;
            jobs.push((&items[cut], mine, scratch));
        }
        crew.each(jobs, |_, (items, mut partials, scratch)| {
            let mut packed: Option<(usize, usize)> = None;
            for item in items {
                // The pages of one head lie side by side: their queries are packed once.
                let pack = packed != Some((item.span, item.kv_head));
                packed = Some((item.span, item.kv_head));
                self.attend(caches[item.span], item, scratch, pack);
                let n = scratch.visible.len();
                let (mine, others) = partials.split_at_mut(n * (d + 2));
                partials = others;
                mine[..n].copy_from_slice(&scratch.max);
                mine[n..2 * n].copy_from_slice(&scratch.sum);
                mine[2 * n..].copy_from_slice(&scratch.out);
            }
        });
        self.merge(items, &partials, &mut scratch[0], out);
    }

    /// Merges the partial softmaxes of each head's pages, in the order of pages, and divides by the sums.
    fn merge(&self, items: &[Item], partials: &[f32], total: &mut AttentionScratch, out: &mut [f32]) {
        let d = self.d_head();
        let mut rest = partials;
        for (index, item) in items.iter().enumerate() {
            let n = item.rows.len() * self.group();
            let (mine, others) = rest.split_at(n * (d + 2));
            rest = others;
            if index == 0 || (items[index - 1].span, items[index - 1].kv_head) != (item.span, item.kv_head) {
                total.clear(n, d);
            }
            let partial = Partial { max: &mut total.max, sum: &mut total.sum, out: &mut total.out };
            self.arithmetic.level().run(Merge { partial, d_head: d, max: &mine[..n], sum: &mine[n..2 * n], out: &mine[2 * n..] });
            if items.get(index + 1).is_none_or(|next| (next.span, next.kv_head) != (item.span, item.kv_head)) {
                finish(&total.out, &total.sum, d, &mut out[self.place(item)]);
            }
        }
    }

    /// Packs the item's queries, where `pack`, and goes over its pages.
    fn attend<E: Element>(&self, cache: &LayerCache<E>, item: &Item, scratch: &mut AttentionScratch, pack: bool) {
        let (d, group) = (self.d_head(), self.group());
        let n = item.rows.len() * group;
        if pack {
            self.pack(item, scratch);
        }
        scratch.clear(n, d);
        self.arithmetic.level().run(Attend {
            q: &scratch.q,
            d_head: d,
            visible: &scratch.visible,
            softcap: self.layer.attention.softcap,
            pages: item.pages.clone(),
            page: |page| cache.page(page, item.kv_head),
            partial: Partial { max: &mut scratch.max, sum: &mut scratch.sum, out: &mut scratch.out },
            element: PhantomData,
        });
    }

    /// The item's queries, `[rows · group, d_head]`, normed, rotated and scaled.
    fn pack(&self, item: &Item, scratch: &mut AttentionScratch) {
        let (d, group) = (self.d_head(), self.group());
        scratch.q.resize(item.rows.len() * group * d, 0.0);
        scratch.visible.clear();
        let mut packed = scratch.q.chunks_exact_mut(d);
        for row in item.rows.clone() {
            let queries = &self.qkv[row * self.width()..][..self.layer.attention.n_heads * d];
            let seen = self.visible(&self.rows.spans()[item.span], row);
            for (head, q) in (item.kv_head * group..(item.kv_head + 1) * group).zip(&mut packed) {
                self.prepare(row, head, queries, true, q);
                q.iter_mut().for_each(|q| *q *= self.layer.attention.scale);
                scratch.visible.push(seen.clone());
            }
        }
    }
}

impl AttentionScratch {
    fn clear(&mut self, rows: usize, d_head: usize) {
        self.max.resize(rows, 0.0);
        self.sum.resize(rows, 0.0);
        self.out.resize(rows * d_head, 0.0);
        Partial { max: &mut self.max, sum: &mut self.sum, out: &mut self.out }.clear();
    }
}

/// `to = out / sum` for each row of `d_head`.
fn finish(out: &[f32], sum: &[f32], d_head: usize, to: &mut [f32]) {
    for ((to, out), sum) in to.chunks_exact_mut(d_head).zip(out.chunks_exact(d_head)).zip(sum) {
        to.iter_mut().zip(out).for_each(|(to, out)| *to = out / sum);
    }
}

/// Merges one page's partial softmax into the running one, as the tile does.
struct Merge<'a> {
    partial: Partial<'a>,
    d_head: usize,
    max: &'a [f32],
    sum: &'a [f32],
    out: &'a [f32],
}

impl Op for Merge<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Merge { mut partial, d_head, max, sum, out } = self;
        for row in 0..max.len() {
            let at = row * d_head..(row + 1) * d_head;
            partial.merge_row(isa, row, (max[row], sum[row]), &out[at.clone()], at);
        }
    }
}
