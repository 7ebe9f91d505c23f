//! Whether attention is the same far out in a stream as at its beginning: the heads of a text are put at a far position and go through the
//! tile as a forward pass sends them, beside the equation in f64.

use super::heads::{LayerHeads, Turning, entropy, softmax};
use crate::attention::{Attend, CacheType, PAGE, Partial, Slots, View, rows_together};
use crate::kv::Page;
use kinglet_quant::isa::Level;

/// One layer at one position. Errors are the largest difference of any number of the output, relative to the output's largest number.
#[derive(Debug, Clone, PartialEq)]
pub struct Stability {
    /// Position of the text's first token.
    pub position: u64,
    /// Of the tile, against the equation.
    pub error: f64,
    /// Of the tile, against the equation at position 0: relative positions should not see a shift.
    pub shift_error: f64,
    /// Of the equation with angles of f32, which kinglet does not have, for comparison; 0 where nothing turns.
    pub rough_error: f64,
    /// Numbers of the tile's output that are infinite or no numbers.
    pub not_finite: usize,
    /// Mean entropy of the rows of the second half in f32, in nats.
    pub entropy: f64,
    /// The same by the equation.
    pub exact_entropy: f64,
}

/// `heads` at each of `positions`, with the kernels of `level` and a cache of f32, whose rounding hides nothing.
pub fn stability(heads: &LayerHeads, positions: &[u64], level: Level) -> Vec<Stability> {
    let (at_zero, _) = exact(heads, 0, Turning::Exact);
    let of = |&position: &u64| {
        let (exact_output, exact_entropy) = exact(heads, position, Turning::Exact);
        let (rough, _) = exact(heads, position, Turning::Rough);
        let (q, k) = (turned(heads, &heads.q, position), turned(heads, &heads.k, position));
        let fast: Vec<f64> = tile(heads, (&q, &k), level).into_iter().map(f64::from).collect();
        Stability {
            position,
            error: difference(&fast, &exact_output),
            shift_error: difference(&fast, &at_zero),
            rough_error: difference(&rough, &exact_output),
            not_finite: fast.iter().filter(|x| !x.is_finite()).count(),
            entropy: single_entropy(heads, (&q, &k)),
            exact_entropy,
        }
    };
    positions.iter().map(of).collect()
}

/// The largest difference, relative to the largest number of `right`; infinite where a number of `left` is none.
fn difference(left: &[f64], right: &[f64]) -> f64 {
    let size = right.iter().fold(f64::MIN_POSITIVE, |most, x| most.max(x.abs()));
    let worst = |worst: f64, (a, b): (&f64, &f64)| if a.is_finite() { worst.max((a - b).abs()) } else { f64::INFINITY };
    left.iter().zip(right).fold(0.0, worst) / size
}

/// The output, `[n_heads, rows, d_head]`, and the mean entropy of the second half's rows.
fn exact(heads: &LayerHeads, position: u64, turning: Turning) -> (Vec<f64>, f64) {
    let d = heads.attention.d_head;
    let mut output = Vec::with_capacity(heads.attention.n_heads * heads.rows * d);
    let mut entropies = Vec::new();
    for head in 0..heads.attention.n_heads {
        let q = heads.turned(&heads.q, head, position, turning);
        let k = heads.turned(&heads.k, heads.kv_head(head), position, turning);
        for row in 0..heads.rows {
            let weights = heads.weights(head, row, (&q, &k));
            let mut sum = vec![0.0; d];
            for (key, weight) in heads.sees(row).zip(&weights) {
                let value = heads.head(&heads.v, key, heads.kv_head(head));
                sum.iter_mut().zip(value).for_each(|(sum, &v)| *sum += weight * f64::from(v));
            }
            output.extend(sum);
            if row >= heads.rows / 2 {
                entropies.push(entropy(&weights));
            }
        }
    }
    (output, mean(&entropies))
}

/// `all` turned as a forward pass turns it: `[rows, n · d_head]`.
fn turned(heads: &LayerHeads, all: &[f32], position: u64) -> Vec<f32> {
    let mut turned = all.to_vec();
    if let Some(rotation) = &heads.rotation {
        let table = rotation.table(position..position + heads.rows as u64);
        let width = all.len() / heads.rows;
        for (row, all) in turned.chunks_exact_mut(width).enumerate() {
            all.chunks_exact_mut(heads.attention.d_head).for_each(|head| table.turn(row, head));
        }
    }
    turned
}

/// The tile's output, `[n_heads, rows, d_head]`.
fn tile(heads: &LayerHeads, (q, k): (&[f32], &[f32]), level: Level) -> Vec<f32> {
    let (attention, d) = (&heads.attention, heads.attention.d_head);
    let page = || Page::new((CacheType::F32, CacheType::F32), attention.n_kv_heads, d);
    let mut pages: Vec<Page> = (0..heads.rows.div_ceil(PAGE)).map(|_| page()).collect();
    for (index, page) in pages.iter_mut().enumerate() {
        for mut slot in page.slots_mut(index * PAGE) {
            for row in index * PAGE..heads.rows.min((index + 1) * PAGE) {
                let head = slot.kv_head;
                slot.write(row, heads.head(k, row, head), heads.head(&heads.v, row, head));
            }
        }
    }
    let mut output = Vec::with_capacity(attention.n_heads * heads.rows * d);
    for head in 0..attention.n_heads {
        let q: Vec<f32> = (0..heads.rows).flat_map(|row| heads.head(q, row, head).iter().map(|q| q * attention.scale)).collect();
        let views: Vec<View> = (0..heads.rows).map(|row| View { keys: heads.sees(row), at: row, head }).collect();
        let (mut max, mut sum, mut out) = (vec![0.0; heads.rows], vec![0.0; heads.rows], vec![0.0; heads.rows * d]);
        let mut partial = Partial { max: &mut max, sum: &mut sum, out: &mut out };
        partial.clear();
        level.run_vectors(Attend {
            q: &q,
            width: d,
            views: &views,
            together: rows_together(),
            softcap: attention.softcap,
            slots: Slots { bias: heads.bias.as_ref(), content: None },
            pages: 0..pages.len(),
            page: |page: usize| pages[page].parts(heads.kv_head(head)),
            partial,
        });
        output.extend(out.chunks_exact(d).zip(&sum).flat_map(|(row, sum)| row.iter().map(move |x| x / sum)));
    }
    output
}

/// The mean entropy of the second half's rows, of scores that are summed in f32 from queries and keys in f32.
fn single_entropy(heads: &LayerHeads, (q, k): (&[f32], &[f32])) -> f64 {
    let mut entropies = Vec::new();
    for head in 0..heads.attention.n_heads {
        for row in heads.rows / 2..heads.rows {
            let query = heads.head(q, row, head);
            let score = |key: usize| {
                let product: f32 = query.iter().zip(heads.head(k, key, heads.kv_head(head))).map(|(q, k)| q * k).sum();
                let score = product * heads.attention.scale;
                f64::from(heads.attention.softcap.map_or(score, |cap| cap * (score / cap).tanh())) + heads.bias(head, row - key)
            };
            entropies.push(entropy(&softmax(heads.sees(row).map(score).collect())));
        }
    }
    mean(&entropies)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::super::heads::tests::noise;
    use super::*;
    use crate::position::DistanceBias;

    #[test]
    fn far_out_the_tile_is_as_exact_as_at_the_beginning() {
        for bias in [None, Some(DistanceBias::Linear { slopes: vec![0.1, 0.01] })] {
            let heads = noise(200, true, bias);
            for at in stability(&heads, &[0, 1000, 10_000_000], Level::detect().unwrap()) {
                assert!(at.error < 1e-5 && at.shift_error < 1e-5, "{at:?}");
                assert!((at.entropy - at.exact_entropy).abs() < 1e-4, "{at:?}");
                assert_eq!(at.not_finite, 0);
                assert_eq!(at.rough_error > 1e-3, at.position == 10_000_000, "{at:?}");
            }
        }
    }

    #[test]
    fn what_is_no_number_is_an_infinite_error() {
        assert_eq!(difference(&[1.0, f64::NAN], &[1.0, 1.0]), f64::INFINITY);
        assert_eq!(difference(&[1.0, 3.0], &[1.0, 2.0]), 0.5);
    }
}
