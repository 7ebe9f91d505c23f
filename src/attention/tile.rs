//! The attention kernel: a few query rows against one page of keys and values, then the page's partial softmax is merged into what the
//! earlier pages gave (Milakov & Gimelshein 2018; Dao et al. 2022, algorithm 1). A lane is a key for the scores and a dimension for the
//! values, and each sum runs in one fixed order.
//!
//! ```text
//! for page in pages:                          for 6 rows at a time:
//!     s[key] = Σ_d q[d]·k[d][key]                 lanes are keys, d in order
//!     s = softcap(s) + position(s);  s[invisible] = −∞
//!     m' = max s;  p = exp(s − m');  l' = Σ p
//!     o'[d] = Σ_key p[key]·v[key][d]              lanes are dimensions, keys in order
//!     (m, l, o) ← merge((m, l, o), (m', l', o'))
//! ```

use super::apart::{ByKey, Scores, Values};
use super::element::{BLOCK, Element, Numbers, Part, Q4, Q8, Run};
use super::slots::{Slots, View, add_bias, add_by_query};
use super::softmax::{exponentials, largest, merge_sums};
use super::{PAGE, TILE};
use crate::position::Relative;
use half::f16;
use kinglet_quant::isa::{Isa, LINE, Op, converts_apart};
use std::ops::Range;

/// Query rows that share each load of a key or a value: with two vectors of keys they are 12 sums, as many as AVX2's registers hold; with
/// four of 512 bits ([`wide`]) 24, of 32 registers.
const ROWS: usize = 6;

/// The same with two vectors of 512 bits: 24 sums too.
const MANY_ROWS: usize = 12;

/// The same with four vectors of 256 bits: 12 sums. Fewer, as with two vectors, would wait for each other.
const FEW_ROWS: usize = 3;

/// What [`Attend::together`] may be.
#[cfg(test)]
pub(super) const TOGETHER: [usize; 2] = [ROWS, MANY_ROWS];

/// How many query rows of a prompt had better share each load on this CPU, where registers are 32 of 512 bits; the bits are the same.
/// Twelve halve the conversions from f16, which Intel's cores do on the multipliers' ports; six halve the broadcasts.
pub fn rows_together() -> usize {
    if converts_apart() { ROWS } else { MANY_ROWS }
}

/// Whether `rows` rows take four vectors of keys, or of a value's dimensions, at a time.
#[inline(always)]
fn wide<I: Isa, E: Element>(rows: usize) -> bool {
    match I::LANES == TILE {
        true => rows <= ROWS,
        // Scales would need more registers.
        false => rows <= FEW_ROWS && !E::SCALED,
    }
}

/// `sums[w][r] += x[r] · vector(w)`, where `x(r)` is in every lane.
#[inline(always)]
fn add_products<I: Isa, const R: usize, const W: usize>(
    isa: I,
    sums: &mut [[I::F; R]; W],
    x: impl Fn(usize) -> I::F,
    vector: impl Fn(usize) -> I::F,
) {
    if I::LANES < TILE && W == 4 {
        // Twelve sums leave room for three rows' numbers and one vector.
        let x: [I::F; R] = std::array::from_fn(x);
        for (w, sums) in sums.iter_mut().enumerate() {
            let vector = vector(w);
            for (sum, &x) in sums.iter_mut().zip(&x) {
                *sum = isa.in_order(isa.mul_add(x, vector, *sum));
            }
        }
        return;
    }
    let vectors: [I::F; W] = std::array::from_fn(vector);
    for r in 0..R {
        let x = x(r);
        for (sums, &vector) in sums.iter_mut().zip(&vectors) {
            sums[r] = isa.in_order(isa.mul_add(x, vector, sums[r]));
        }
    }
}

/// The softmax of some of a row's keys, not yet divided by its sum: `o / l` is the row's output.
#[derive(Debug)]
pub struct Partial<'a> {
    /// Largest score of each row, `−∞` before the first key.
    pub max: &'a mut [f32],
    /// `Σ exp(score − max)` of each row.
    pub sum: &'a mut [f32],
    /// `Σ exp(score − max) · value`: `[rows, d_head]`.
    pub out: &'a mut [f32],
}

impl Partial<'_> {
    /// Before the first key.
    pub fn clear(&mut self) {
        self.max.fill(f32::NEG_INFINITY);
        self.sum.fill(0.0);
        self.out.fill(0.0);
    }
}

/// Query rows of one key/value head against some of its pages, merged into `partial`.
#[derive(Debug)]
pub struct Attend<'a, P> {
    /// `[rows, width]`, normed, rotated and scaled.
    pub q: &'a [f32],
    /// Numbers stored for a head, a multiple of 8.
    pub width: usize,
    /// What each row sees.
    pub views: &'a [View],
    /// See [`rows_together`].
    pub together: usize,
    /// `cap · tanh(score / cap)`.
    pub softcap: Option<f32>,
    /// What position adds to scores.
    pub slots: Slots<'a>,
    /// The pages to go over, in order.
    pub pages: Range<usize>,
    /// Keys and values of a page.
    pub page: P,
    /// Rows' running softmax.
    pub partial: Partial<'a>,
}

impl<'p, P: Fn(usize) -> (Part<'p>, Part<'p>)> Op for Attend<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Attend { q, width, views, together, softcap, slots, pages, page, partial } = self;
        for index in pages {
            let start = index * PAGE;
            if views.iter().all(|view| view.keys.end <= start || view.keys.start >= start + PAGE) {
                continue;
            }
            let (keys, values) = page(index);
            let mut row = 0;
            while row < views.len() {
                let slots = slots.rows_from(row, width);
                let block = Block { start, q: &q[row * width..], width, keys, values, views: &views[row..], softcap, slots };
                let n = match views.len() - row {
                    MANY_ROWS.. if I::LANES == TILE && together == MANY_ROWS => MANY_ROWS,
                    ROWS.. => ROWS,
                    5 => 4,
                    left => left,
                };
                let partial = Partial { max: &mut partial.max[row..], sum: &mut partial.sum[row..], out: &mut partial.out[row * width..] };
                match n {
                    // A condition on a constant: then it is not compiled for a level that never uses it.
                    MANY_ROWS if I::LANES == TILE => block.attend::<I, MANY_ROWS>(isa, partial),
                    ROWS => block.attend::<I, ROWS>(isa, partial),
                    4 => block.attend::<I, 4>(isa, partial),
                    3 => block.attend::<I, 3>(isa, partial),
                    2 => block.attend::<I, 2>(isa, partial),
                    _ => block.attend::<I, 1>(isa, partial),
                }
                row += n;
            }
        }
    }
}

/// Up to [`ROWS`] query rows and one page.
pub(super) struct Block<'a> {
    start: usize,
    q: &'a [f32],
    width: usize,
    keys: Part<'a>,
    values: Part<'a>,
    views: &'a [View],
    softcap: Option<f32>,
    slots: Slots<'a>,
}

/// Calls `$body` with the type and the numbers of `$part`: once for a page, so that nothing inside asks again.
macro_rules! by_type {
    ($part:expr, $element:ident, $numbers:ident => $body:expr) => {
        match $part.numbers {
            Numbers::F16($numbers) => {
                type $element = f16;
                $body
            }
            Numbers::F32($numbers) => {
                type $element = f32;
                $body
            }
            Numbers::Q8_0($numbers) => {
                type $element = Q8;
                $body
            }
            Numbers::Q4_0($numbers) => {
                type $element = Q4;
                $body
            }
        }
    };
}

impl Block<'_> {
    #[inline(always)]
    fn attend<I: Isa, const R: usize>(&self, isa: I, partial: Partial<'_>) {
        let seen: [Range<usize>; R] = std::array::from_fn(|r| self.in_page(r));
        let tiles = seen.iter().map(|s| s.start / TILE).min().unwrap_or(0)..seen.iter().map(|s| s.end.div_ceil(TILE)).max().unwrap_or(0);
        let keys = tiles.start * TILE..tiles.end * TILE;
        if keys.is_empty() {
            return;
        }
        let mut scores = [[0f32; PAGE]; R];
        by_type!(self.keys, E, numbers => {
            isa.vectorize(Scores::<E, R> { block: self, numbers, scores: &mut scores, keys: keys.clone() });
        });
        self.add_positions::<I, R>(isa, &mut scores, keys.clone());
        // The maxima of all rows first: one row's would wait for its reduction.
        let mut further = [(0f32, 0f32); R];
        for r in 0..R {
            let row = &mut scores[r];
            row[keys.start..seen[r].start.clamp(keys.start, keys.end)].fill(f32::NEG_INFINITY);
            row[seen[r].end.clamp(keys.start, keys.end)..keys.end].fill(f32::NEG_INFINITY);
            further[r].0 = largest(isa, &row[keys.clone()]);
        }
        for r in 0..R {
            further[r].1 = exponentials(isa, &mut scores[r][keys.clone()], further[r].0);
        }
        let (a, b) = merge_sums(isa, partial.max, partial.sum, further);
        by_type!(self.values, E, numbers => {
            isa.vectorize(Values::<E, R> { block: self, numbers, weights: &scores, keys, factors: (&a, &b), out: partial.out });
        });
    }

    /// What row `r` sees of this page, counted from the page's start; empty ranges are `0..0`.
    #[inline(always)]
    fn in_page(&self, r: usize) -> Range<usize> {
        let seen = &self.views[r].keys;
        let range = seen.start.saturating_sub(self.start).min(PAGE)..seen.end.saturating_sub(self.start).min(PAGE);
        if range.is_empty() { 0..0 } else { range }
    }

    /// `scores[r][key] = Σ_d q[r][d] · k[d][key]` for whole vectors of keys.
    #[inline(always)]
    pub(super) fn scores<I: Isa, E: Element, const R: usize>(
        &self,
        isa: I,
        numbers: &[E::Number],
        scores: &mut [[f32; PAGE]; R],
        keys: Range<usize>,
    ) {
        let mut key = keys.start;
        while wide::<I, E>(R) && key + 4 * I::LANES <= keys.end {
            self.score_vectors::<I, E, R, 4>(isa, numbers, scores, key);
            key += 4 * I::LANES;
        }
        while key + 2 * I::LANES <= keys.end {
            self.score_vectors::<I, E, R, 2>(isa, numbers, scores, key);
            key += 2 * I::LANES;
        }
        if key < keys.end {
            self.score_vectors::<I, E, R, 1>(isa, numbers, scores, key);
        }
    }

    /// `W` whole vectors of [`Block::scores`], from key `key` on.
    #[inline(always)]
    fn score_vectors<I: Isa, E: Element, const R: usize, const W: usize>(
        &self,
        isa: I,
        numbers: &[E::Number],
        scores: &mut [[f32; PAGE]; R],
        key: usize,
    ) {
        let d = self.width;
        // A vector of keys is part of a tile, whose dimensions are lines.
        let lines: [&[[E::Number; TILE]]; W] = std::array::from_fn(|w| {
            let tile = (key + w * I::LANES) / TILE;
            &numbers[tile * TILE * d / E::PER_NUMBER..].as_chunks().0[..d / E::PER_NUMBER]
        });
        let fetched = (W * I::LANES * E::BYTES / LINE).max(1);
        // Where blocks have no scales, the whole head is one block.
        let block = if E::SCALED { BLOCK } else { d };
        let n = block / E::PER_NUMBER;
        let mut sums = [[isa.splat(0.0); R]; W];
        for base in (0..d).step_by(block) {
            let first = base / E::PER_NUMBER;
            let lines: [&[[E::Number; TILE]]; W] = std::array::from_fn(|w| &lines[w][first..][..n]);
            let mut of_block = if E::SCALED { [[isa.splat(0.0); R]; W] } else { sums };
            for half in 0..E::PER_NUMBER {
                let q: [&[f32]; R] = std::array::from_fn(|r| &self.q[r * d + base + half * n..][..n]);
                for i in 0..n {
                    let then = (key * d / E::PER_NUMBER + (first + i) * W * I::LANES) * E::BYTES;
                    isa.prefetch(self.keys.then, then, fetched, false);
                    let k = |w: usize| E::load(isa, &lines[w][i][(key + w * I::LANES) % TILE..], half);
                    add_products(isa, &mut of_block, |r| isa.splat(q[r][i]), k);
                }
            }
            for w in 0..W {
                for r in 0..R {
                    sums[w][r] = match E::SCALED {
                        true => isa.mul_add(of_block[w][r], self.key_scales(isa, key + w * I::LANES, base), sums[w][r]),
                        false => of_block[w][r],
                    };
                }
            }
        }
        for (w, sums) in sums.iter().enumerate() {
            for r in 0..R {
                isa.store(&mut scores[r][key + w * I::LANES..], self.cap(isa, sums[r]));
            }
        }
    }

    /// The scales of a vector of keys, for the block that holds dimension `dim`.
    #[inline(always)]
    fn key_scales<I: Isa>(&self, isa: I, key: usize, dim: usize) -> I::F {
        isa.load_f16(&self.keys.scales[(key / TILE * (self.width / BLOCK) + dim / BLOCK) * TILE + key % TILE..])
    }

    /// The position slots, where the layer uses any.
    #[inline(always)]
    fn add_positions<I: Isa, const R: usize>(&self, isa: I, scores: &mut [[f32; PAGE]; R], keys: Range<usize>) {
        if let Some(content) = self.slots.content {
            if let Some(table) = content.by_query {
                add_by_query(isa, (table, content.q, self.width), self.views, self.start, scores, keys.clone());
            }
            if let Some(table) = content.by_key {
                by_type!(self.keys, E, numbers => {
                    isa.vectorize(ByKey::<E, R> { block: self, numbers, table, scores: &mut *scores, keys: keys.clone() });
                });
            }
        }
        if let Some(bias) = self.slots.bias {
            add_bias(isa, bias, self.views, self.start, scores, keys);
        }
    }

    /// `scores[r][key] += Σ_d k[d][key] · s[d][key − at]`
    #[inline(always)]
    pub(super) fn add_by_key<I: Isa, E: Element, const R: usize>(
        &self,
        isa: I,
        numbers: &[E::Number],
        table: &Relative,
        scores: &mut [[f32; PAGE]; R],
        keys: Range<usize>,
    ) {
        for key in keys.step_by(I::LANES) {
            let mut sums = [isa.splat(0.0); R];
            for d in 0..self.width {
                let k = self.key_vector::<I, E>(isa, numbers, key, d);
                for (sum, &View { at, head, .. }) in sums.iter_mut().zip(self.views) {
                    let place = table.place((self.start + key) as isize - at as isize);
                    *sum = isa.mul_add(k, isa.load(&table.row(head * self.width + d)[place..]), *sum);
                }
            }
            for (scores, sum) in scores.iter_mut().zip(sums) {
                let all = isa.add(isa.load(&scores[key..]), sum);
                isa.store(&mut scores[key..], all);
            }
        }
    }

    /// Dimension `dim` of a vector of keys, scaled.
    #[inline(always)]
    fn key_vector<I: Isa, E: Element>(&self, isa: I, numbers: &[E::Number], key: usize, dim: usize) -> I::F {
        let (base, half) = (dim / BLOCK * BLOCK, if E::PER_NUMBER == 2 { dim % BLOCK / 16 } else { 0 });
        let row = if E::PER_NUMBER == 2 { base / 2 + dim % 16 } else { dim };
        let at = key / TILE * TILE * self.width / E::PER_NUMBER + row * TILE + key % TILE;
        let k = E::load(isa, &numbers[at..], half);
        if E::SCALED { isa.mul(k, self.key_scales(isa, key, dim)) } else { k }
    }

    #[inline(always)]
    fn cap<I: Isa>(&self, isa: I, score: I::F) -> I::F {
        match self.softcap {
            None => score,
            Some(cap) => isa.mul(isa.splat(cap), isa.tanh(isa.mul(score, isa.splat(1.0 / cap)))),
        }
    }

    /// `out[r] = a[r] · out[r] + b[r] · Σ_key p[r][key] · v[key]`.
    #[inline(always)]
    pub(super) fn values<I: Isa, E: Element, const R: usize>(
        &self,
        isa: I,
        numbers: &[E::Number],
        p: &[[f32; PAGE]; R],
        keys: Range<usize>,
        (a, b): (&[f32; R], &[f32; R]),
        out: &mut [f32],
    ) {
        let mut scaled = [[0f32; PAGE]; R];
        let mut at = 0;
        // Two blocks of values would need weights scaled for each.
        while wide::<I, E>(R) && !E::SCALED && at + 4 * I::LANES <= self.width {
            self.value_vectors::<I, E, R, 4>(isa, (numbers, p), keys.clone(), (a, b), at, out);
            at += 4 * I::LANES;
        }
        while at + 2 * I::LANES <= self.width {
            let p = if E::SCALED { self.scale_weights(isa, p, &mut scaled, keys.clone(), at) } else { p };
            self.value_vectors::<I, E, R, 2>(isa, (numbers, p), keys.clone(), (a, b), at, out);
            at += 2 * I::LANES;
        }
        if at + I::LANES <= self.width {
            self.value_vectors::<I, E, R, 1>(isa, (numbers, p), keys.clone(), (a, b), at, out);
            at += I::LANES;
        }
        let d = self.width;
        // The last dimensions, where a head is no whole number of vectors: one at a time, in the same order of keys.
        for i in at..d {
            let run = Run::of_values::<E>(i, d);
            for r in 0..R {
                let number = |key: usize| E::one(numbers[run.at(key) + i % BLOCK]);
                let sum = keys.clone().fold(0f32, |sum, key| p[r][key].mul_add(number(key), sum));
                let out = &mut out[r * d + i];
                *out = out.mul_add(a[r], sum * b[r]);
            }
        }
    }

    /// The weights times the scales of the values' block that holds dimension `at`: values are used as they are stored then. Done when a
    /// block begins.
    #[inline(always)]
    fn scale_weights<'s, I: Isa, const R: usize>(
        &self,
        isa: I,
        p: &[[f32; PAGE]; R],
        scaled: &'s mut [[f32; PAGE]; R],
        keys: Range<usize>,
        at: usize,
    ) -> &'s [[f32; PAGE]; R] {
        if at.is_multiple_of(BLOCK) {
            for key in keys.step_by(I::LANES) {
                let scales = isa.load_f16(&self.values.scales[at / BLOCK * PAGE + key..]);
                for r in 0..R {
                    isa.store(&mut scaled[r][key..], isa.mul(isa.load(&p[r][key..]), scales));
                }
            }
        }
        scaled
    }

    /// `W` whole vectors of [`Block::values`], from dimension `at` on.
    #[inline(always)]
    fn value_vectors<I: Isa, E: Element, const R: usize, const W: usize>(
        &self,
        isa: I,
        (numbers, p): (&[E::Number], &[[f32; PAGE]; R]),
        keys: Range<usize>,
        (a, b): (&[f32; R], &[f32; R]),
        at: usize,
        out: &mut [f32],
    ) {
        let d = self.width;
        // The vectors' two halves, which may lie in two blocks.
        let second = at + W / 2 * I::LANES;
        let (low, high) = (Run::of_values::<E>(at, d), Run::of_values::<E>(second, d));
        let rows = |run: Run| numbers[run.at(keys.start)..run.at(keys.end)].chunks_exact(run.width);
        // Two halves of a byte are 16 dimensions apart.
        let place = |dim: usize| if E::PER_NUMBER == 2 { (dim % 16, dim % BLOCK / 16) } else { (dim % BLOCK, 0) };
        let mut sums = [[isa.splat(0.0); R]; W];
        // In the order in which they lie, wherever this pass finds its own: lines 4 KB apart, asked for together, hold each other up.
        let of_key = W * I::LANES * E::BYTES / E::PER_NUMBER;
        let then = at * PAGE * E::BYTES / E::PER_NUMBER;
        for (key, (in_low, in_high)) in keys.clone().zip(rows(low).zip(rows(high))) {
            isa.prefetch(self.values.then, then + key * of_key, of_key.div_ceil(LINE), false);
            let v = |w: usize| {
                let (place, half) = place(at + w * I::LANES);
                E::load(isa, &(if w < W.div_ceil(2) { in_low } else { in_high })[place..], half)
            };
            // A page's keys are below its length, which the compiler can't know.
            add_products(isa, &mut sums, |r| isa.splat(p[r][key % PAGE]), v);
        }
        for (w, sums) in sums.iter().enumerate() {
            for r in 0..R {
                let out = &mut out[r * d + at + w * I::LANES..];
                isa.store(out, isa.mul_add(isa.load(out), isa.splat(a[r]), isa.mul(sums[r], isa.splat(b[r]))));
            }
        }
    }
}
