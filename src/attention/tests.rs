//! The tile against the equation in f64, on every ISA level, and the laws that its order of sums promises.

use super::tile::TOGETHER;
use super::{Attend, BLOCK, CacheType, Content, Merge, Numbers, PAGE, Part, Partial, Slots, TILE, View, rows_together};
use crate::position::{DistanceBias, Relative};
use half::f16;
use kinglet_quant::isa::Level;
use proptest::prelude::*;
use std::ops::Range;

/// Keys or values of one head in one page, as they are stored.
#[derive(Clone)]
struct Side {
    scales: Vec<f16>,
    f16s: Vec<f16>,
    f32s: Vec<f32>,
    i8s: Vec<i8>,
    nibbles: Vec<u8>,
}

/// Keys and values of one head, by token (as the stored numbers stand for them) and in pages.
struct Head {
    kind: CacheType,
    d: usize,
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    pages: Vec<(Side, Side)>,
}

fn noise(i: usize, salt: usize) -> f32 {
    ((i * 7919 + salt * 104_729) % 2003) as f32 / 1001.0 - 1.0
}

impl Side {
    fn new(d: usize) -> Side {
        let n = PAGE * d;
        Side { scales: vec![f16::ZERO; n], f16s: vec![f16::ZERO; n], f32s: vec![0.0; n], i8s: vec![0; n], nibbles: vec![0; n / 2] }
    }

    /// Stores number `dim` of a token: the key of a page's token `token`, or its value. Returns what it stands for.
    fn put(&mut self, kind: CacheType, key: bool, d: usize, (token, dim): (usize, usize), x: f32) -> f32 {
        // Number `i` of a token's `n`, of which a block has `each`.
        let line = |n: usize, each: usize, i: usize| match key {
            true => (token / TILE * n + i) * TILE + token % TILE,
            false => i / each * each * PAGE + token * each.min(n - i / each * each) + i % each,
        };
        let scale = line(d / BLOCK, 1, dim / BLOCK);
        match kind {
            CacheType::F16 => {
                self.f16s[line(d, BLOCK, dim)] = f16::from_f32(x);
                f16::from_f32(x).to_f32()
            }
            CacheType::F32 => {
                self.f32s[line(d, BLOCK, dim)] = x;
                x
            }
            CacheType::Q8_0 => {
                // Scales differ from block to block and token to token.
                let unit = f16::from_f32((1.0 + (token % 7 + dim / BLOCK) as f32) / 1000.0);
                self.scales[scale] = unit;
                let level = (x / unit.to_f32()).round().clamp(-127.0, 127.0);
                self.i8s[line(d, BLOCK, dim)] = level as i8;
                level * unit.to_f32()
            }
            CacheType::Q4_0 => {
                let unit = f16::from_f32(-(1.0 + (token % 5 + dim / BLOCK) as f32) / 50.0);
                self.scales[scale] = unit;
                let level = (x / unit.to_f32()).round().clamp(-8.0, 7.0);
                let byte = &mut self.nibbles[line(d / 2, 16, dim / BLOCK * 16 + dim % 16)];
                *byte |= ((level + 8.0) as u8) << (dim % BLOCK / 16 * 4);
                level * unit.to_f32()
            }
        }
    }

    fn part(&self, kind: CacheType) -> Part<'_> {
        let numbers = match kind {
            CacheType::F16 => Numbers::F16(&self.f16s),
            CacheType::F32 => Numbers::F32(&self.f32s),
            CacheType::Q8_0 => Numbers::Q8_0(&self.i8s),
            CacheType::Q4_0 => Numbers::Q4_0(&self.nibbles),
        };
        Part { scales: &self.scales, numbers, then: &[] }
    }
}

/// What is done to scores beside the product.
#[derive(Default, Clone, Copy)]
struct Extras<'a> {
    softcap: Option<f32>,
    bias: Option<&'a DistanceBias>,
    by_query: Option<&'a Relative>,
    by_key: Option<&'a Relative>,
}

impl Head {
    fn new(kind: CacheType, tokens: usize, d: usize) -> Self {
        let mut pages = vec![(Side::new(d), Side::new(d)); tokens.div_ceil(PAGE)];
        let mut vectors = |key: bool| -> Vec<Vec<f32>> {
            let mut vector = |token: usize| {
                let page = &mut pages[token / PAGE];
                let side = if key { &mut page.0 } else { &mut page.1 };
                let mut number = |dim: usize| side.put(kind, key, d, (token % PAGE, dim), noise(token * d + dim, if key { 1 } else { 2 }));
                (0..d).map(&mut number).collect()
            };
            (0..tokens).map(&mut vector).collect()
        };
        let (keys, values) = (vectors(true), vectors(false));
        Head { kind, d, keys, values, pages }
    }

    /// (maxima, sums, outputs) of rows `q` over `pages`, which are the same however many rows share a load.
    fn attend(&self, level: Level, q: &[Vec<f32>], views: &[View], extras: Extras<'_>, pages: Range<usize>) -> [Vec<f32>; 3] {
        let [few, many] = TOGETHER.map(|together| self.attend_together(level, together, &q.concat(), views, extras, pages.clone()));
        assert_eq!(few, many, "{level}");
        few
    }

    fn attend_together(
        &self,
        level: Level,
        together: usize,
        q: &[f32],
        views: &[View],
        extras: Extras<'_>,
        pages: Range<usize>,
    ) -> [Vec<f32>; 3] {
        let n = views.len();
        let (mut max, mut sum, mut out) = (vec![0.0; n], vec![0.0; n], vec![0.0; n * self.d]);
        let mut partial = Partial { max: &mut max, sum: &mut sum, out: &mut out };
        partial.clear();
        let page = |page: usize| (self.pages[page].0.part(self.kind), self.pages[page].1.part(self.kind));
        let Extras { softcap, bias, by_query, by_key } = extras;
        let content = (by_query.is_some() || by_key.is_some()).then_some(Content { q, by_query, by_key });
        level.run_vectors(Attend { q, width: self.d, views, together, softcap, slots: Slots { bias, content }, pages, page, partial });
        [max, sum, out]
    }

    /// The equation, in f64.
    fn reference(&self, q: &[f32], view: &View, extras: Extras<'_>) -> Vec<f64> {
        let dot = |a: &[f32], b: &dyn Fn(usize) -> f32| a.iter().enumerate().map(|(i, &a)| a as f64 * b(i) as f64).sum::<f64>();
        let score = |token: usize| {
            let distance = token as isize - view.at as isize;
            let k = &self.keys[token];
            let plain = dot(q, &|i| k[i]);
            let capped = extras.softcap.map_or(plain, |cap| cap as f64 * (plain / cap as f64).tanh());
            let bias = extras.bias.map_or(0.0, |bias| match bias {
                DistanceBias::Linear { slopes } => -(slopes[view.head] as f64) * distance.abs() as f64,
                DistanceBias::Table(table) => table.from(view.head, distance)[0] as f64,
            });
            let met = |table: &Relative, i: usize| table.from(view.head * self.d + i, distance)[0];
            let by_query = extras.by_query.map_or(0.0, |table| dot(q, &|i| met(table, i)));
            let by_key = extras.by_key.map_or(0.0, |table| dot(k, &|i| met(table, i)));
            capped + bias + by_query + by_key
        };
        let scores: Vec<f64> = view.keys.clone().map(score).collect();
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
        let total: f64 = weights.iter().sum();
        let at = |i: usize| view.keys.clone().zip(&weights).map(|(t, w)| w * self.values[t][i] as f64).sum::<f64>() / total;
        (0..self.d).map(at).collect()
    }
}

/// Causal rows that are the last ones of `tokens`, with two heads in turn.
fn last_rows(tokens: usize, rows: usize, window: usize) -> Vec<View> {
    let view = |(i, end): (usize, usize)| View { keys: end.saturating_sub(window)..end, at: end - 1, head: i % 2 };
    (tokens - rows + 1..=tokens).enumerate().map(view).collect()
}

fn queries(n: usize, d: usize) -> Vec<Vec<f32>> {
    (0..n).map(|row| (0..d).map(|i| noise(row * d + i, 3) * 8.0 / (d as f32).sqrt()).collect()).collect()
}

fn follows_the_equation(kind: CacheType, tokens: usize, d: usize, window: usize, extras: Extras<'_>) {
    let head = Head::new(kind, tokens, d);
    let rows = tokens.min(7);
    let q = queries(rows, d);
    check(&head, &q, &last_rows(tokens, rows, window), extras);
}

fn check(head: &Head, q: &[Vec<f32>], views: &[View], extras: Extras<'_>) {
    for level in Level::available() {
        let [_, sum, out] = head.attend(level, q, views, extras, 0..head.pages.len());
        for (row, view) in views.iter().enumerate() {
            let want = head.reference(&q[row], view, extras);
            for (i, want) in want.iter().enumerate() {
                let got = (out[row * head.d + i] / sum[row]) as f64;
                let (kind, tokens, d) = (head.kind, head.keys.len(), head.d);
                assert!((got - want).abs() < 1e-5, "{kind:?}, {tokens} tokens, head {d}, row {row}: {got} is not {want} on {level}");
            }
        }
    }
}

#[test]
fn attention_follows_its_equation_at_many_lengths_and_widths() {
    for tokens in [1, 7, 16, 64, 129, 257, 1000, 4096] {
        follows_the_equation(CacheType::F16, tokens, 64, usize::MAX, Extras::default());
    }
    for d in [8, 24, 32, 40, 80, 96, 128, 256] {
        follows_the_equation(CacheType::F16, 200, d, usize::MAX, Extras::default());
        follows_the_equation(CacheType::F32, 200, d, 33, Extras { softcap: Some(5.0), ..Extras::default() });
    }
}

#[test]
fn quantised_caches_follow_the_equation_of_what_they_store() {
    for kind in [CacheType::Q8_0, CacheType::Q4_0] {
        for (tokens, d) in [(1, 32), (7, 64), (16, 96), (257, 64), (300, 128), (1000, 256)] {
            follows_the_equation(kind, tokens, d, usize::MAX, Extras::default());
        }
    }
}

/// One number for each of `rows` and distance from -200 to 90.
fn table(rows: usize, size: f32) -> Relative {
    Relative::new(rows, -200..=90, |row, distance| size * noise((row as isize * 300 + distance + 250) as usize, 5))
}

#[test]
fn position_slots_follow_their_equations() {
    let slopes = DistanceBias::Linear { slopes: vec![0.5, 0.03] };
    let numbers = DistanceBias::Table(table(2, 2.0));
    for kind in CacheType::ALL {
        for (tokens, d) in [(1, 32), (7, 32), (64, 64), (257, 96), (4096, 32)] {
            let (by_query, by_key) = (table(2 * d, 0.1), table(2 * d, 0.2));
            for extras in [
                Extras { bias: Some(&slopes), ..Extras::default() },
                Extras { bias: Some(&numbers), softcap: Some(4.0), ..Extras::default() },
                Extras { by_query: Some(&by_query), ..Extras::default() },
                Extras { bias: Some(&slopes), by_query: Some(&by_query), by_key: Some(&by_key), softcap: None },
            ] {
                follows_the_equation(kind, tokens, d, usize::MAX, extras);
            }
        }
    }
}

#[test]
fn a_query_may_see_what_comes_after_it() {
    let head = Head::new(CacheType::F16, 300, 64);
    let q = queries(9, 64);
    let views: Vec<View> = (0..9).map(|i| View { keys: 0..300, at: 30 * i, head: i % 2 }).collect();
    let numbers = DistanceBias::Table(table(2, 2.0));
    check(&head, &q, &views, Extras { bias: Some(&numbers), ..Extras::default() });
    check(&head, &q, &views, Extras { bias: Some(&DistanceBias::Linear { slopes: vec![0.1, 0.2] }), ..Extras::default() });
}

#[test]
fn far_along_a_stream_a_bias_is_what_it_is_at_its_beginning() {
    // Positions of 10^7 enter as differences; the pages themselves are those of the beginning.
    let slopes = DistanceBias::Linear { slopes: vec![0.25, 0.01] };
    let head = Head::new(CacheType::F16, 256, 64);
    let q = queries(4, 64);
    let extras = Extras { bias: Some(&slopes), ..Extras::default() };
    let views = last_rows(256, 4, 100);
    let far = 10_000_000 / PAGE * PAGE;
    let moved: Vec<View> =
        views.iter().map(|v| View { keys: v.keys.start + far..v.keys.end + far, at: v.at + far, head: v.head }).collect();
    for level in Level::available() {
        let here = head.attend(level, &q, &views, extras, 0..2);
        let flat: Vec<f32> = q.concat();
        let (mut max, mut sum, mut out) = (vec![0.0; 4], vec![0.0; 4], vec![0.0; 4 * 64]);
        let mut partial = Partial { max: &mut max, sum: &mut sum, out: &mut out };
        partial.clear();
        let page = |page: usize| (head.pages[page - far / PAGE].0.part(head.kind), head.pages[page - far / PAGE].1.part(head.kind));
        let (slots, pages) = (Slots { bias: Some(&slopes), content: None }, far / PAGE..far / PAGE + 2);
        let (views, together, softcap) = (&moved[..], rows_together(), None);
        level.run_vectors(Attend { q: &flat, width: 64, views, together, softcap, slots, pages, page, partial });
        assert_eq!(here, [max, sum, out], "{level}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_row_gives_the_same_bits_alone_and_beside_others(
        tokens in 28usize..400,
        rows in 1usize..28,
        window in 1usize..500,
        kind in proptest::sample::select(&CacheType::ALL[..]),
    ) {
        let head = Head::new(kind, tokens, 64);
        let q = queries(rows, 64);
        let views = last_rows(tokens, rows, window);
        for level in Level::available() {
            let together = head.attend(level, &q, &views, Extras::default(), 0..head.pages.len());
            for row in 0..rows {
                let alone = head.attend(level, &q[row..row + 1], &views[row..row + 1], Extras::default(), 0..head.pages.len());
                prop_assert_eq!(&alone[2][..], &together[2][row * 64..(row + 1) * 64]);
                prop_assert_eq!(alone[1][0].to_bits(), together[1][row].to_bits());
            }
        }
    }

    #[test]
    fn pages_taken_apart_and_merged_give_the_same_bits_as_one_after_the_other(
        tokens in 1usize..3000,
        rows in 1usize..8,
        window in prop_oneof![1usize..500, Just(usize::MAX)],
        d in proptest::sample::select(&[24usize, 64, 80][..]),
    ) {
        let rows = rows.min(tokens);
        let heads = [Head::new(CacheType::F16, tokens, d), Head::new(CacheType::F32, tokens, d)];
        let (q, views) = (queries(rows, d), last_rows(tokens, rows, window));
        for level in Level::available() {
            let partial = |head: &Head, page: usize| head.attend(level, &q, &views, Extras::default(), page..page + 1).concat();
            let of_page = |page: usize| heads.iter().flat_map(move |head| partial(head, page));
            let partials: Vec<f32> = (0..tokens.div_ceil(PAGE)).flat_map(of_page).collect();
            for (index, head) in heads.iter().enumerate() {
                let want = head.attend(level, &q, &views, Extras::default(), 0..head.pages.len());
                for row in 0..rows {
                    let mut got = vec![7.0; d];
                    let sum = level.run_vectors(Merge { partials: &partials, head: (index, heads.len()), row: (row, rows), out: &mut got });
                    for (got, want) in got.iter().chain([&sum]).zip(want[2][row * d..(row + 1) * d].iter().chain([&want[1][row]])) {
                        prop_assert_eq!(got.to_bits(), want.to_bits(), "{} is not {} on {}", got, want, level);
                    }
                }
            }
        }
    }
}
