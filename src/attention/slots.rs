//! What position adds to a score while it is still in the tile: a number for each head and distance (ALiBi, T5, Swin), and products of
//! queries and keys with vectors that belong to distances (Shaw, Transformer-XL, DeBERTa). The tile knows these slots and no scheme. A
//! lane is a key, so that neighbouring lanes are neighbouring distances and a table is read in one piece.

use super::PAGE;
use crate::position::{DistanceBias, Relative};
use kinglet_quant::isa::Isa;
use std::ops::Range;

/// Lanes' numbers.
const IOTA: [f32; 16] = [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.];

/// What one query row sees, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The keys, by their positions.
    pub keys: Range<usize>,
    /// Where the query stands in the keys' count of positions: `key − at` is their distance.
    pub at: usize,
    /// Which query head it is.
    pub head: usize,
}

/// The slots that a layer uses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Slots<'a> {
    /// `score += bias[head][distance]`
    pub bias: Option<&'a DistanceBias>,
    /// `score += (q + v) · r[distance] + k · s[distance]`
    pub content: Option<Content<'a>>,
}

/// Products of contents with distances.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// What meets `by_query`: `[rows, width]`, scaled as the queries are.
    pub q: &'a [f32],
    /// `r`: `[head · width][distance]`.
    pub by_query: Option<&'a Relative>,
    /// `s`, scaled as the queries are: `[head · width][distance]`.
    pub by_key: Option<&'a Relative>,
}

impl Slots<'_> {
    /// The slots of the rows from `row` on, where a query is `width` wide.
    #[inline(always)]
    pub fn rows_from(self, row: usize, width: usize) -> Self {
        Slots { bias: self.bias, content: self.content.map(|content| Content { q: &content.q[row * width..], ..content }) }
    }
}

/// Adds the bias of each row's distances to `scores[row][keys]`; page's first key is at position `start`.
#[inline(always)]
pub fn add_bias<I: Isa, const R: usize>(
    isa: I,
    bias: &DistanceBias,
    views: &[View],
    start: usize,
    scores: &mut [[f32; PAGE]; R],
    keys: Range<usize>,
) {
    for r in 0..R {
        let View { at, head, .. } = views[r];
        let mut distance = (start + keys.start) as isize - at as isize;
        match bias {
            DistanceBias::Linear { slopes } => {
                let slope = isa.splat(slopes[head]);
                // The difference is taken in integers: it is exact in f32 however far the stream has come.
                let mut lanes = isa.add(isa.splat(distance as f32), isa.load(&IOTA));
                for scores in scores[r][keys.clone()].chunks_exact_mut(I::LANES) {
                    isa.store(scores, isa.neg_mul_add(slope, isa.abs(lanes), isa.load(scores)));
                    lanes = isa.add(lanes, isa.splat(I::LANES as f32));
                }
            }
            DistanceBias::Table(table) => {
                for scores in scores[r][keys.clone()].chunks_exact_mut(I::LANES) {
                    isa.store(scores, isa.add(isa.load(scores), isa.load(table.from(head, distance))));
                    distance += I::LANES as isize;
                }
            }
        }
    }
}

/// `scores[row][key] += Σ_d q[row][d] · r[d][key − at]`
#[inline(always)]
pub fn add_by_query<I: Isa, const R: usize>(
    isa: I,
    (table, q, width): (&Relative, &[f32], usize),
    views: &[View],
    start: usize,
    scores: &mut [[f32; PAGE]; R],
    keys: Range<usize>,
) {
    for key in keys.step_by(I::LANES) {
        for r in 0..R {
            let View { at, head, .. } = views[r];
            let place = table.place((start + key) as isize - at as isize);
            let mut sum = isa.splat(0.0);
            for (d, &q) in q[r * width..(r + 1) * width].iter().enumerate() {
                sum = isa.mul_add(isa.splat(q), isa.load(&table.row(head * width + d)[place..]), sum);
            }
            let scores = &mut scores[r][key..];
            isa.store(scores, isa.add(isa.load(scores), sum));
        }
    }
}
