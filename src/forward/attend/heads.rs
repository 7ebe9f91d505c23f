//! The heads of a batch's rows on their way into attention: normed, turned by their positions, mixed. Queries are packed for the tile,
//! keys and values are stored in the caches.

use super::{AttentionScratch, AttentionStep, Item};
use crate::attention::{PAGE, View};
use crate::forward::batch::{Rows, Standing};
use crate::forward::positions::LayerPositions;
use crate::forward::tap::Heads;
use crate::kv::{CacheFormat, CacheType, LayerCache, PageSlot, Sight};
use crate::math::hadamard;
use crate::parallel::{Crew, Pieces};
use kinglet_quant::isa::Level;
use std::ops::Range;
use zerocopy::IntoBytes;

/// Rows whose keys and values are stored by the whole team; the leader is faster with fewer.
const MANY_ROWS: usize = 8;

/// How far ahead a row's queries are asked for while they are packed: they lie some KB apart.
const ROWS_AHEAD: usize = 3;

/// Asks for the places in `caches`, one for each span, where few rows' keys and values will be stored: the weights of the token before have
/// driven them out of the CPU's caches.
pub fn fetch_places(level: Level, rows: &Rows, caches: &[&mut LayerCache]) {
    if rows.len() < MANY_ROWS {
        for (span, cache) in rows.spans().iter().zip(caches) {
            cache.places(span.positions().start).for_each(|place| level.fetch(place, false));
        }
    }
}

impl AttentionStep<'_> {
    /// Stores the batch's keys and values in the caches of its sequences, one for each span.
    pub fn store(&self, crew: &mut Crew<'_>, caches: &mut [&mut LayerCache]) {
        let mut slots: Vec<(usize, PageSlot<'_>)> = Vec::new();
        for (index, (span, cache)) in self.rows.spans().iter().zip(caches).enumerate() {
            slots.extend(cache.slots_mut(span.positions()).into_iter().map(|slot| (index, slot)));
        }
        if self.rows.len() < MANY_ROWS {
            self.store_slots(&mut slots);
        } else {
            let mut pieces = Pieces::for_workers(crew.threads());
            let each = slots.len().div_ceil(crew.threads()).max(1);
            for mine in slots.chunks_mut(each) {
                pieces.next_worker();
                mine.chunks_mut(1).for_each(|slot| pieces.push(slot));
            }
            crew.each(&mut vec![(); crew.threads()], pieces, |(), slots| self.store_slots(slots));
        }
    }

    fn store_slots(&self, slots: &mut [(usize, PageSlot<'_>)]) {
        let (d, attention) = (self.d_head(), self.attention);
        let keys = self.width() - 2 * attention.n_kv_heads * d;
        let (mut key, mut value) = (vec![0.0; self.stored()], vec![0.0; self.stored()]);
        for (span, slot) in slots {
            let span = &self.rows.spans()[*span];
            let positions = span.positions();
            for position in positions.start.max(slot.start)..positions.end.min(slot.start + PAGE) {
                let row = span.first_row + (position - positions.start);
                let heads = &self.qkv[row * self.width()..(row + 1) * self.width()][keys..];
                self.prepare(row, slot.kv_head, &heads[..attention.n_kv_heads * d], None, &mut key);
                value[..d].copy_from_slice(&heads[(attention.n_kv_heads + slot.kv_head) * d..][..d]);
                if self.format.mixes_values() {
                    value[d..].fill(0.0);
                    hadamard(&mut value);
                }
                slot.write(position, &key, &value);
            }
        }
    }

    /// Norms (where each head has its own norm), rotates and mixes head `head` of `heads: [n, d_head]` into `out`, which is as wide as
    /// heads are stored: the row's key, or (`query`) its query as it stands to something. A key that distant queries meet in another
    /// way lies there twice, and a query has zeros for the one that it does not mean.
    fn prepare(&self, row: usize, head: usize, heads: &[f32], query: Option<Standing>, out: &mut [f32]) {
        let d = self.d_head();
        let (used, rest) = out.split_at_mut(d);
        rest.fill(0.0);
        used.copy_from_slice(&heads[head * d..(head + 1) * d]);
        if let Some(norms) = self.qk_norm.filter(|norms| norms.per_head) {
            norms.of(query.is_some(), head).apply(self.arithmetic.level(), &heads[head * d..(head + 1) * d], used);
        }
        match query {
            Some(standing) => {
                self.positions.turn_query(row, standing, used);
                if standing.far {
                    rest[..d].swap_with_slice(used);
                }
            }
            None => {
                if self.positions.grouping().is_some() {
                    rest[..d].copy_from_slice(used);
                    self.positions.turn_far_key(row, &mut rest[..d]);
                }
                self.positions.turn_key(row, used);
            }
        }
        if self.format.mixes_keys() {
            hadamard(out);
        }
    }

    /// Adds the batch's heads to `to` as they are before positions turn them and the cache rounds them.
    pub fn heads_before_positions(&self, to: &mut Heads) {
        let (positions, format) = (&LayerPositions::default(), CacheFormat::of(CacheType::F32));
        let plain = AttentionStep { positions, format, ..*self };
        let (attention, d) = (self.attention, self.d_head());
        let mut head = vec![0.0; d];
        for (row, heads) in self.qkv.chunks_exact(self.width()).enumerate() {
            let (q, kv) = heads.split_at(attention.n_heads * d);
            let (k, v) = kv.split_at(attention.n_kv_heads * d);
            for index in 0..attention.n_heads {
                plain.prepare(row, index, q, Some(Standing::WINDOW), &mut head);
                to.q.extend(&head);
            }
            for index in 0..attention.n_kv_heads {
                plain.prepare(row, index, k, None, &mut head);
                to.k.extend(&head);
            }
            to.v.extend(v);
        }
    }

    /// The queries of the item's rows for some key/value heads, `[kv head][rows · group, stored]`, normed, rotated and scaled, and what
    /// they see.
    pub(super) fn pack(&self, item: &Item, kv_heads: Range<usize>, scratch: &mut AttentionScratch) {
        let (d, stored, group) = (self.d_head(), self.stored(), self.group());
        scratch.q.resize(kv_heads.len() * item.rows.len() * group * stored, 0.0);
        scratch.views.clear();
        let mut packed = scratch.q.chunks_exact_mut(stored);
        for kv_head in kv_heads {
            for row in item.rows.clone() {
                let queries = &self.qkv[row * self.width()..][..self.attention.n_heads * d];
                if row + ROWS_AHEAD < self.rows.len() {
                    let later = &self.qkv[(row + ROWS_AHEAD) * self.width()..][kv_head * group * d..][..group * d];
                    self.arithmetic.level().fetch(later.as_bytes(), true);
                }
                let Sight { keys, at } = self.sight(&self.rows.spans()[item.span], row, item.standing);
                for (head, q) in (kv_head * group..(kv_head + 1) * group).zip(&mut packed) {
                    self.prepare(row, head, queries, Some(item.standing), q);
                    q.iter_mut().for_each(|q| *q *= self.attention.scale);
                    scratch.views.push(View { keys: keys.clone(), at, head });
                }
            }
        }
    }
}
