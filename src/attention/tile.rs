//! The attention kernel: a few query rows against one page of keys and values, then the page's partial softmax is merged into what the
//! earlier pages gave (Milakov & Gimelshein 2018; Dao et al. 2022, algorithm 1). A lane is a key for the scores and a dimension for the
//! values, and each sum runs in one fixed order.
//!
//! ```text
//! for page in pages:                          for 6 rows at a time:
//!     s[key] = Σ_d q[d]·k[d][key]                 lanes are keys, d in order
//!     s = softcap(s);  s[invisible] = −∞
//!     m' = max s;  p = exp(s − m');  l' = Σ p
//!     o'[d] = Σ_key p[key]·v[key][d]              lanes are dimensions, keys in order
//!     (m, l, o) ← merge((m, l, o), (m', l', o'))
//! ```

use super::{Element, PAGE, TILE};
use kinglet_quant::isa::{Isa, Op};
use std::ops::Range;

/// Query rows that share each load of a key or a value: with two vectors of keys they are 12 sums, as many as AVX2's registers hold.
const ROWS: usize = 6;

/// How many tiles ahead keys are asked for.
const AHEAD: usize = 2;

/// How many keys ahead their values are asked for.
const VALUES_AHEAD: usize = 16;

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

    /// Merges the softmax of further keys into row `row`, whose output lies at `at`.
    #[inline(always)]
    pub fn merge_row<I: Isa>(&mut self, isa: I, row: usize, (max, sum): (f32, f32), out: &[f32], at: Range<usize>) {
        let (a, b) = merge_sums(isa, &mut self.max[row], &mut self.sum[row], max, sum);
        for (mine, other) in self.out[at].iter_mut().zip(out) {
            *mine = mine.mul_add(a, other * b);
        }
    }
}

/// Merges the maximum and the sum of further keys; returns what the earlier output and theirs are multiplied by.
#[inline(always)]
fn merge_sums<I: Isa>(isa: I, max: &mut f32, sum: &mut f32, page_max: f32, page_sum: f32) -> (f32, f32) {
    if page_max == f32::NEG_INFINITY {
        return (1.0, 0.0);
    }
    let new = max.max(page_max);
    let (a, b) = (exp_one(isa, *max - new), exp_one(isa, page_max - new));
    (*max, *sum) = (new, *sum * a + page_sum * b);
    (a, b)
}

/// Positions that a query row sees.
pub type Visible = Range<usize>;

/// Query rows of one key/value head against some of its pages, merged into `partial`.
#[derive(Debug)]
pub struct Attend<'a, E, P> {
    /// `[rows, d_head]`, normed, rotated and scaled.
    pub q: &'a [f32],
    /// Width of a head, a multiple of 16 lanes or less (any multiple of 8).
    pub d_head: usize,
    /// What each row sees.
    pub visible: &'a [Visible],
    /// `cap · tanh(score / cap)`.
    pub softcap: Option<f32>,
    /// The pages to go over, in order.
    pub pages: Range<usize>,
    /// Keys `[tile][d_head][16]` and values `[128][d_head]` of a page.
    pub page: P,
    /// Rows' running softmax.
    pub partial: Partial<'a>,
    /// The element type that `page` gives.
    pub element: std::marker::PhantomData<E>,
}

impl<'p, E: Element, P: Fn(usize) -> (&'p [E], &'p [E])> Op for Attend<'_, E, P> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Attend { q, d_head, visible, softcap, pages, page, partial, .. } = self;
        for index in pages {
            let start = index * PAGE;
            if visible.iter().all(|seen| seen.end <= start || seen.start >= start + PAGE) {
                continue;
            }
            let (keys, values) = page(index);
            let mut row = 0;
            while row < visible.len() {
                let block = Block { start, q: &q[row * d_head..], d_head, keys, values, visible: &visible[row..], softcap };
                let n = match visible.len() - row {
                    ROWS.. => ROWS,
                    5 => 4,
                    left => left,
                };
                let partial = Partial { max: &mut partial.max[row..], sum: &mut partial.sum[row..], out: &mut partial.out[row * d_head..] };
                match n {
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
struct Block<'a, E> {
    start: usize,
    q: &'a [f32],
    d_head: usize,
    keys: &'a [E],
    values: &'a [E],
    visible: &'a [Visible],
    softcap: Option<f32>,
}

impl<E: Element> Block<'_, E> {
    #[inline(always)]
    fn attend<I: Isa, const R: usize>(&self, isa: I, partial: Partial<'_>) {
        let seen: [Range<usize>; R] = std::array::from_fn(|r| self.in_page(r));
        let tiles = seen.iter().map(|s| s.start / TILE).min().unwrap_or(0)..seen.iter().map(|s| s.end.div_ceil(TILE)).max().unwrap_or(0);
        let keys = tiles.start * TILE..tiles.end * TILE;
        if keys.is_empty() {
            return;
        }
        let mut scores = [[0f32; PAGE]; R];
        self.scores(isa, &mut scores, keys.clone());
        let (mut a, mut b) = ([1f32; R], [0f32; R]);
        for r in 0..R {
            let row = &mut scores[r];
            row[keys.start..seen[r].start.clamp(keys.start, keys.end)].fill(f32::NEG_INFINITY);
            row[seen[r].end.clamp(keys.start, keys.end)..keys.end].fill(f32::NEG_INFINITY);
            let (max, sum) = softmax(isa, &mut row[keys.clone()]);
            (a[r], b[r]) = merge_sums(isa, &mut partial.max[r], &mut partial.sum[r], max, sum);
        }
        self.values(isa, &scores, keys, &a, &b, partial.out);
    }

    /// What row `r` sees of this page, counted from the page's start; empty ranges are `0..0`.
    #[inline(always)]
    fn in_page(&self, r: usize) -> Range<usize> {
        let seen = &self.visible[r];
        let range = seen.start.saturating_sub(self.start).min(PAGE)..seen.end.saturating_sub(self.start).min(PAGE);
        if range.is_empty() { 0..0 } else { range }
    }

    /// `scores[r][key] = softcap(Σ_d q[r][d] · k[d][key])` for whole vectors of keys.
    #[inline(always)]
    fn scores<I: Isa, const R: usize>(&self, isa: I, scores: &mut [[f32; PAGE]; R], keys: Range<usize>) {
        const WIDE: usize = 2;
        let d = self.d_head;
        let q: [&[f32]; R] = std::array::from_fn(|r| &self.q[r * d..][..d]);
        let step = if keys.len().is_multiple_of(WIDE * I::LANES) { WIDE } else { 1 };
        for key in keys.step_by(step * I::LANES) {
            let lanes: [&[E]; WIDE] = std::array::from_fn(|w| {
                let key = if w < step { key + w * I::LANES } else { key };
                &self.keys[key / TILE * TILE * d + key % TILE..]
            });
            let mut sums = [[isa.splat(0.0); R]; WIDE];
            if step == WIDE {
                for i in 0..d {
                    // A long cache comes from memory: the tiles after these are asked for while these are used.
                    isa.fetch(lanes[0], (i + AHEAD * d) * TILE);
                    isa.fetch(lanes[1], (i + AHEAD * d) * TILE);
                    let k = [E::load(isa, &lanes[0][i * TILE..]), E::load(isa, &lanes[1][i * TILE..])];
                    for r in 0..R {
                        let q = isa.splat(q[r][i]);
                        sums[0][r] = isa.mul_add(q, k[0], sums[0][r]);
                        sums[1][r] = isa.mul_add(q, k[1], sums[1][r]);
                    }
                }
            } else {
                for i in 0..d {
                    let k = E::load(isa, &lanes[0][i * TILE..]);
                    for r in 0..R {
                        sums[0][r] = isa.mul_add(isa.splat(q[r][i]), k, sums[0][r]);
                    }
                }
            }
            for (w, sums) in sums.iter().enumerate().take(step) {
                for r in 0..R {
                    isa.store(&mut scores[r][key + w * I::LANES..], self.cap(isa, sums[r]));
                }
            }
        }
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
    fn values<I: Isa, const R: usize>(
        &self,
        isa: I,
        p: &[[f32; PAGE]; R],
        keys: Range<usize>,
        a: &[f32; R],
        b: &[f32; R],
        out: &mut [f32],
    ) {
        let mut at = 0;
        while at + 2 * I::LANES <= self.d_head {
            self.value_vectors::<I, R, 2>(isa, p, keys.clone(), (a, b), at, out);
            at += 2 * I::LANES;
        }
        if at + I::LANES <= self.d_head {
            self.value_vectors::<I, R, 1>(isa, p, keys.clone(), (a, b), at, out);
            at += I::LANES;
        }
        let d = self.d_head;
        // The last dimensions, where a head is no whole number of vectors: one at a time, in the same order of keys.
        for i in at..d {
            for r in 0..R {
                let sum = keys.clone().fold(0f32, |sum, key| p[r][key].mul_add(self.values[key * d + i].to_f32(), sum));
                let out = &mut out[r * d + i];
                *out = out.mul_add(a[r], sum * b[r]);
            }
        }
    }

    /// `W` whole vectors of [`Block::values`], from dimension `at` on.
    #[inline(always)]
    fn value_vectors<I: Isa, const R: usize, const W: usize>(
        &self,
        isa: I,
        p: &[[f32; PAGE]; R],
        keys: Range<usize>,
        (a, b): (&[f32; R], &[f32; R]),
        at: usize,
        out: &mut [f32],
    ) {
        let d = self.d_head;
        let mut sums = [[isa.splat(0.0); R]; W];
        for key in keys {
            let values = &self.values[key * d + at..];
            isa.fetch(values, VALUES_AHEAD * d);
            for (w, sums) in sums.iter_mut().enumerate() {
                let v = E::load(isa, &values[w * I::LANES..]);
                for r in 0..R {
                    sums[r] = isa.mul_add(isa.splat(p[r][key]), v, sums[r]);
                }
            }
        }
        for (w, sums) in sums.iter().enumerate() {
            for r in 0..R {
                let out = &mut out[r * d + at + w * I::LANES..];
                isa.store(out, isa.mul_add(isa.load(out), isa.splat(a[r]), isa.mul(sums[r], isa.splat(b[r]))));
            }
        }
    }
}

/// Turns scores into `exp(score − max)`; returns the maximum and the sum. A row that sees nothing gives `(−∞, 0)` and zeros.
#[inline(always)]
fn softmax<I: Isa>(isa: I, scores: &mut [f32]) -> (f32, f32) {
    let mut top = isa.splat(f32::NEG_INFINITY);
    for lane in scores.chunks_exact(I::LANES) {
        top = isa.max(top, isa.load(lane));
    }
    let max = isa.reduce_max(top);
    let base = isa.splat(if max == f32::NEG_INFINITY { 0.0 } else { max });
    let mut sum = isa.splat(0.0);
    for lane in scores.chunks_exact_mut(I::LANES) {
        let p = isa.exp(isa.sub(isa.load(lane), base));
        sum = isa.add(sum, p);
        isa.store(lane, p);
    }
    (max, isa.reduce_add(sum))
}

/// The vector exponential of one number, so that merging rounds as the tile does.
#[inline(always)]
fn exp_one<I: Isa>(isa: I, x: f32) -> f32 {
    isa.reduce_max(isa.exp(isa.splat(x)))
}
