//! How attention falls off with distance: what a model's heads really look at, and the curve that its position scheme brings along by
//! itself.

use super::heads::{LayerHeads, Turning, entropy};
use crate::position::Rotation;
use std::ops::Range;

/// First tokens that are counted apart: StreamingLLM's sinks.
const SINKS: usize = 4;

/// Where one head looks, over some queries.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    /// The head.
    pub head: usize,
    /// By distance, near to far.
    pub by_distance: Vec<Distance>,
    /// Probability that falls on the first four tokens, on average.
    pub on_sinks: f64,
    /// Mean distance of what is looked at, in tokens.
    pub mean_distance: f64,
    /// Mean entropy of the rows, in nats.
    pub entropy: f64,
}

/// Distances side by side, and the probability that falls on them.
#[derive(Debug, Clone, PartialEq)]
pub struct Distance {
    /// From, to (not included), in tokens.
    pub range: Range<usize>,
    /// Probability that a query spends on all of them, on average.
    pub mass: f64,
    /// On one key among them, where there is one.
    pub per_key: f64,
}

/// What a layer's scheme does by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Distances, in tokens.
    pub distances: Vec<usize>,
    /// Of a rotation: the mean of `cos(θ·distance)` over its frequencies, which is the score of a query with itself.
    pub mean_cosine: Vec<f64>,
    /// Of a rotation: RoFormer's bound on the score (Su et al. 2021, §3.4.3), relative to distance 0.
    pub bound: Vec<f64>,
    /// Of a bias: for each head, what it adds to a score.
    pub bias: Vec<Vec<f64>>,
}

/// Where each head of a layer looks; `queries` rows of the second half of the text ask.
pub fn spreads(heads: &LayerHeads, queries: usize) -> Vec<Spread> {
    (0..heads.attention.n_heads).map(|head| spread(heads, head, queries)).collect()
}

fn spread(heads: &LayerHeads, head: usize, queries: usize) -> Spread {
    let q = heads.turned(&heads.q, head, 0, Turning::Exact);
    let k = heads.turned(&heads.k, heads.kv_head(head), 0, Turning::Exact);
    let first = heads.rows / 2;
    let step = ((heads.rows - first) / queries.max(1)).max(1);
    let rows: Vec<usize> = (first..heads.rows).rev().step_by(step).collect();
    let mut bins: Vec<(f64, usize)> = vec![(0.0, 0); bin_of(heads.rows) + 1];
    let (mut on_sinks, mut mean_distance, mut entropies) = (0.0, 0.0, 0.0);
    for &row in &rows {
        let weights = heads.weights(head, row, (&q, &k));
        for (key, weight) in heads.sees(row).zip(&weights) {
            let bin = &mut bins[bin_of(row - key)];
            *bin = (bin.0 + weight, bin.1 + 1);
            mean_distance += weight * (row - key) as f64;
            on_sinks += if key < SINKS { *weight } else { 0.0 };
        }
        entropies += entropy(&weights);
    }
    let n = rows.len().max(1) as f64;
    let seen = bins.into_iter().enumerate().filter(|(_, (_, keys))| *keys > 0);
    let by_distance = seen.map(|(bin, (mass, keys))| Distance { range: range_of(bin), mass: mass / n, per_key: mass / keys as f64 });
    Spread { head, by_distance: by_distance.collect(), on_sinks: on_sinks / n, mean_distance: mean_distance / n, entropy: entropies / n }
}

/// Bins of distances: 0, 1, 2–3, 4–7, 8–15 …
fn bin_of(distance: usize) -> usize {
    (usize::BITS - distance.leading_zeros()) as usize
}

fn range_of(bin: usize) -> Range<usize> {
    if bin == 0 { 0..1 } else { 1 << (bin - 1)..1 << bin }
}

/// The curve of a layer's scheme up to distance `longest`.
pub fn curve(heads: &LayerHeads, longest: usize) -> Curve {
    let distances = spaced(longest);
    let rotation = heads.rotation.as_ref();
    let of =
        |what: fn(&Rotation, usize) -> f64| rotation.map_or(Vec::new(), |rotation| distances.iter().map(|&d| what(rotation, d)).collect());
    let (mean_cosine, bound) = (of(mean_cosine), of(bound));
    let bias = match &heads.bias {
        None => Vec::new(),
        Some(_) => (0..heads.attention.n_heads).map(|head| distances.iter().map(|&d| heads.bias(head, d)).collect()).collect(),
    };
    Curve { distances, mean_cosine, bound, bias }
}

/// Distances from 0 on, each some per cent farther than the one before.
fn spaced(longest: usize) -> Vec<usize> {
    let next = |&distance: &usize| Some((distance + 1).max((distance as f64 * 1.06) as usize));
    std::iter::successors(Some(0), next).take_while(|&distance| distance <= longest).collect()
}

fn mean_cosine(rotation: &Rotation, distance: usize) -> f64 {
    let frequencies = rotation.frequencies();
    frequencies.iter().map(|f| (f * distance as f64).cos()).sum::<f64>() / frequencies.len() as f64
}

/// `1/n Σ_j |Σ_{i<j} e^{i·distance·θ_i}|`, over its value at distance 0, `(n + 1) / 2`.
fn bound(rotation: &Rotation, distance: usize) -> f64 {
    let frequencies = rotation.frequencies();
    let (mut real, mut imaginary, mut sum) = (0.0f64, 0.0f64, 0.0);
    for f in frequencies {
        let (sin, cos) = (f * distance as f64).sin_cos();
        (real, imaginary) = (real + cos, imaginary + sin);
        sum += real.hypot(imaginary);
    }
    let n = frequencies.len() as f64;
    sum / n / ((n + 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::super::heads::tests::noise;
    use super::*;
    use crate::position::DistanceBias;

    #[test]
    fn distances_fall_into_bins_of_twice_the_width() {
        assert_eq!([0, 1, 2, 3, 4, 7, 8].map(bin_of), [0, 1, 2, 2, 3, 3, 4]);
        assert!((0..2000).all(|distance| range_of(bin_of(distance)).contains(&distance)));
    }

    #[test]
    fn the_mass_of_a_head_is_one() {
        for spread in spreads(&noise(100, true, None), 16) {
            assert!((spread.by_distance.iter().map(|bin| bin.mass).sum::<f64>() - 1.0).abs() < 1e-9);
            assert!(spread.entropy > 0.0 && spread.entropy < 100f64.ln());
        }
    }

    #[test]
    fn a_steep_slope_looks_at_itself_alone() {
        let slopes = vec![50.0, 0.0];
        let spreads = spreads(&noise(100, false, Some(DistanceBias::Linear { slopes })), 16);
        assert!(spreads[0].by_distance[0].mass > 0.999 && spreads[0].mean_distance < 1e-3);
        assert!(spreads[1].mean_distance > 10.0);
    }

    #[test]
    fn curves_are_those_of_the_equations() {
        let curve = curve(&noise(10, true, Some(DistanceBias::Linear { slopes: vec![0.5, 0.25] })), 100);
        assert!((curve.mean_cosine[0] - 1.0).abs() < 1e-12 && (curve.bound[0] - 1.0).abs() < 1e-12);
        // Four frequencies: 1, 0.1, 0.01, 0.001.
        let at_3 = (3f64.cos() + 0.3f64.cos() + 0.03f64.cos() + 0.003f64.cos()) / 4.0;
        assert_eq!(curve.distances[3], 3);
        assert!((curve.mean_cosine[3] - at_3).abs() < 1e-12);
        assert!(curve.bound[3] < 1.0);
        assert_eq!(curve.bias[1][3], -0.75);
    }
}
