//! The tile against the equation in f64, on every ISA level, and the laws that its order of sums promises.

use super::{Attend, Element, PAGE, Partial, TILE, Visible};
use half::f16;
use kinglet_quant::isa::Level;
use proptest::prelude::*;
use std::marker::PhantomData;
use std::ops::Range;

/// Keys and values of one head, by token and in pages.
struct Head<E> {
    d: usize,
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    pages: Vec<(Vec<E>, Vec<E>)>,
}

fn noise(i: usize, salt: usize) -> f32 {
    ((i * 7919 + salt * 104_729) % 2003) as f32 / 1001.0 - 1.0
}

impl<E: Element> Head<E> {
    fn new(tokens: usize, d: usize) -> Self {
        let stored = |i: usize, salt| E::from_f32(noise(i, salt)).to_f32();
        let vectors = |salt| (0..tokens).map(|t| (0..d).map(|i| stored(t * d + i, salt)).collect()).collect();
        let (keys, values): (Vec<Vec<f32>>, Vec<Vec<f32>>) = (vectors(1), vectors(2));
        let mut pages = Vec::new();
        for start in (0..tokens).step_by(PAGE) {
            let (mut k, mut v) = (vec![E::from_f32(0.0); PAGE * d], vec![E::from_f32(0.0); PAGE * d]);
            for token in start..(start + PAGE).min(tokens) {
                let at = token - start;
                for i in 0..d {
                    k[at / TILE * TILE * d + i * TILE + at % TILE] = E::from_f32(keys[token][i]);
                    v[at * d + i] = E::from_f32(values[token][i]);
                }
            }
            pages.push((k, v));
        }
        Head { d, keys, values, pages }
    }

    /// (maxima, sums, outputs) of rows `q` over `pages`.
    fn attend(&self, level: Level, q: &[Vec<f32>], visible: &[Visible], softcap: Option<f32>, pages: Range<usize>) -> [Vec<f32>; 3] {
        let q: Vec<f32> = q.concat();
        let n = visible.len();
        let (mut max, mut sum, mut out) = (vec![0.0; n], vec![0.0; n], vec![0.0; n * self.d]);
        let mut partial = Partial { max: &mut max, sum: &mut sum, out: &mut out };
        partial.clear();
        let page = |page: usize| (&self.pages[page].0[..], &self.pages[page].1[..]);
        level.run(Attend { q: &q, d_head: self.d, visible, softcap, pages, page, partial, element: PhantomData });
        [max, sum, out]
    }

    fn reference(&self, q: &[f32], visible: &Visible, softcap: Option<f32>) -> Vec<f64> {
        let dot = |k: &[f32]| q.iter().zip(k).map(|(&q, &k)| q as f64 * k as f64).sum::<f64>();
        let cap = |x: f64| softcap.map_or(x, |cap| cap as f64 * (x / cap as f64).tanh());
        let weights: Vec<f64> = visible.clone().map(|t| cap(dot(&self.keys[t])).exp()).collect();
        let total: f64 = weights.iter().sum();
        let at = |i: usize| visible.clone().zip(&weights).map(|(t, w)| w * self.values[t][i] as f64).sum::<f64>() / total;
        (0..self.d).map(at).collect()
    }
}

fn queries(n: usize, d: usize) -> Vec<Vec<f32>> {
    (0..n).map(|row| (0..d).map(|i| noise(row * d + i, 3) * 8.0 / (d as f32).sqrt()).collect()).collect()
}

fn follows_the_equation<E: Element>(tokens: usize, d: usize, window: usize, softcap: Option<f32>) {
    let head = Head::<E>::new(tokens, d);
    let rows = tokens.min(7);
    let q = queries(rows, d);
    let visible: Vec<Visible> = (tokens - rows + 1..=tokens).map(|end| end.saturating_sub(window)..end).collect();
    for level in Level::available() {
        let [_, sum, out] = head.attend(level, &q, &visible, softcap, 0..head.pages.len());
        for row in 0..rows {
            let want = head.reference(&q[row], &visible[row], softcap);
            for (i, want) in want.iter().enumerate() {
                let got = (out[row * d + i] / sum[row]) as f64;
                assert!((got - want).abs() < 1e-5, "{tokens} tokens, head {d}, row {row}: {got} is not {want} on {level}");
            }
        }
    }
}

#[test]
fn attention_follows_its_equation_at_many_lengths_and_widths() {
    for tokens in [1, 7, 16, 64, 129, 257, 1000, 4096] {
        follows_the_equation::<f16>(tokens, 64, usize::MAX, None);
    }
    for d in [8, 24, 32, 40, 80, 96, 128, 256] {
        follows_the_equation::<f16>(200, d, usize::MAX, None);
        follows_the_equation::<f32>(200, d, 33, Some(5.0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_row_gives_the_same_bits_alone_and_beside_others(tokens in 8usize..400, rows in 1usize..8, window in 1usize..500) {
        let head = Head::<f16>::new(tokens, 40);
        let q = queries(rows, 40);
        let visible: Vec<Visible> = (tokens - rows + 1..=tokens).map(|end| end.saturating_sub(window)..end).collect();
        for level in Level::available() {
            let together = head.attend(level, &q, &visible, None, 0..head.pages.len());
            for row in 0..rows {
                let alone = head.attend(level, &q[row..row + 1], &visible[row..row + 1], None, 0..head.pages.len());
                prop_assert_eq!(&alone[2][..], &together[2][row * 40..(row + 1) * 40]);
                prop_assert_eq!(alone[1][0].to_bits(), together[1][row].to_bits());
            }
        }
    }
}
