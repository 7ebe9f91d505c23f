//! Attention of one layer by its equation, in f64: the heads of a text as they are before positions turn them, put at any position, and
//! what each query looks at. It is the plain reference beside the tile, for those who want to see probabilities, which the tile never has.

use crate::error::{Error, SessionError};
use crate::kv::Policy;
use crate::position::{DistanceBias, Rotation};
use crate::session::{Model, SessionOptions};
use crate::types::TokenId;
use kinglet_models::{Attention, Mask};
use std::ops::Range;
use std::sync::atomic::AtomicBool;

/// A layer's heads over some tokens, and what positions do to them.
#[derive(Debug, Clone)]
pub struct LayerHeads {
    /// Which layer.
    pub layer: usize,
    /// Its heads.
    pub attention: HeadShape,
    /// What turns queries and keys.
    pub rotation: Option<Rotation>,
    /// What distance adds to scores.
    pub bias: Option<DistanceBias>,
    /// Tokens.
    pub rows: usize,
    /// `[rows, n_heads · d_head]`, normed, neither turned nor scaled.
    pub q: Vec<f32>,
    /// `[rows, n_kv_heads · d_head]`.
    pub k: Vec<f32>,
    /// `[rows, n_kv_heads · d_head]`.
    pub v: Vec<f32>,
}

/// What of a layer's recipe attention's equation takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadShape {
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Scores are multiplied by this.
    pub scale: f32,
    /// `cap · tanh(score / cap)`.
    pub softcap: Option<f32>,
    /// What a query sees before any window.
    pub mask: Mask,
    /// A query sees this many keys, itself included.
    pub window: Option<usize>,
}

/// Which way queries and keys are turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turning {
    /// In f64.
    Exact,
    /// With angles of f32, see [`Rotation::turn_roughly`].
    Rough,
}

/// Runs `tokens` through `model` and keeps what its `layers` put into attention. `None` where `cancel` was raised.
///
/// # Errors
/// Where there is no such layer, a layer sees what comes after a token, and as [`crate::Session::feed`].
pub fn heads(model: &Model, tokens: &[TokenId], layers: &[usize], cancel: Option<&AtomicBool>) -> Result<Option<Vec<LayerHeads>>, Error> {
    let all = &model.spec().layers;
    if let Some(layer) = layers.iter().find(|&&layer| layer >= all.len()) {
        let found = format!("layer {layer}, where the model has layers 0 to {}", all.len() - 1);
        return Err(SessionError::Option { option: "layers", found, expected: "layers that the model has" }.into());
    }
    if layers.iter().any(|&layer| matches!(all[layer].attention.mask, Mask::Bidirectional | Mask::Prefix(_))) {
        let found = "a model whose tokens see what comes after them".to_owned();
        return Err(SessionError::Option { option: "model", found, expected: "one that writes from left to right" }.into());
    }
    if layers.iter().any(|&layer| all[layer].attention.content.is_some()) {
        let found = "a model whose queries meet vectors of distances".to_owned();
        return Err(SessionError::Option { option: "model", found, expected: "one that turns queries and keys or biases scores" }.into());
    }
    let groups = |&layer: &usize| all[layer].attention.rope.as_ref().is_some_and(|rope| rope.grouping.is_some());
    if layers.iter().any(groups) {
        let found = "self-extend, where a key counts as at two positions".to_owned();
        return Err(SessionError::Option { option: "position", found, expected: "a scheme in which each key has one" }.into());
    }
    let mut session = model.session(SessionOptions { context: Some(tokens.len()), policy: Some(Policy::Stop) })?;
    model.start_tap();
    let done = session.feed_until(tokens, cancel, |_| ());
    let tap = model.take_tap();
    let (true, Some(tap)) = (done?, tap) else { return Ok(None) };
    let of = |&layer: &usize| {
        let (rotation, bias) = session.positions().schemes_of(layer);
        let heads = &tap.layers()[layer];
        LayerHeads {
            layer,
            attention: HeadShape::of(&all[layer].attention),
            rotation: rotation.cloned(),
            bias: bias.cloned(),
            rows: tokens.len(),
            q: heads.q.clone(),
            k: heads.k.clone(),
            v: heads.v.clone(),
        }
    };
    Ok(Some(layers.iter().map(of).collect()))
}

impl HeadShape {
    fn of(recipe: &Attention) -> HeadShape {
        let &Attention { n_heads, n_kv_heads, d_head, scale, softcap, mask, window, .. } = recipe;
        HeadShape { n_heads, n_kv_heads, d_head, scale, softcap, mask, window }
    }
}

impl LayerHeads {
    /// The key/value head that query head `head` looks at.
    pub fn kv_head(&self, head: usize) -> usize {
        head / (self.attention.n_heads / self.attention.n_kv_heads)
    }

    /// The head of row `row` out of `all: [rows, n · d_head]`.
    pub fn head<'a>(&self, all: &'a [f32], row: usize, head: usize) -> &'a [f32] {
        let (d, width) = (self.attention.d_head, all.len() / self.rows);
        &all[row * width + head * d..][..d]
    }

    /// The rows that the query of row `row` sees.
    pub fn sees(&self, row: usize) -> Range<usize> {
        let first = match self.attention.mask {
            Mask::Chunked(chunk) => row - row % chunk,
            _ => 0,
        };
        first.max((row + 1).saturating_sub(self.attention.window.unwrap_or(usize::MAX)))..row + 1
    }

    /// All rows of one head of `all`, row 0 turned as a token at position `first` is, and so on: `[rows, d_head]`.
    pub fn turned(&self, all: &[f32], head: usize, first: u64, turning: Turning) -> Vec<f64> {
        let d = self.attention.d_head;
        let mut turned: Vec<f64> = (0..self.rows).flat_map(|row| self.head(all, row, head).iter().map(|&x| f64::from(x))).collect();
        if let Some(rotation) = &self.rotation {
            for (position, head) in (first..).zip(turned.chunks_exact_mut(d)) {
                match turning {
                    Turning::Exact => rotation.turn_exactly(position, head),
                    Turning::Rough => rotation.turn_roughly(position, head),
                }
            }
        }
        turned
    }

    /// What distance (`row − key`) adds to the score of head `head`.
    pub fn bias(&self, head: usize, distance: usize) -> f64 {
        match &self.bias {
            None => 0.0,
            Some(DistanceBias::Linear { slopes }) => -f64::from(slopes[head]) * distance as f64,
            Some(DistanceBias::Table(table)) => f64::from(table.from(head, -(distance as isize))[0]),
        }
    }

    /// The probabilities with which the query of row `row` of head `head` looks at each of the rows that it sees, where `q` and `k` are its
    /// head's turned queries and keys.
    pub fn weights(&self, head: usize, row: usize, (q, k): (&[f64], &[f64])) -> Vec<f64> {
        let (d, scale) = (self.attention.d_head, f64::from(self.attention.scale));
        let query = &q[row * d..(row + 1) * d];
        let score = |key: usize| {
            let product: f64 = query.iter().zip(&k[key * d..(key + 1) * d]).map(|(q, k)| q * k).sum();
            let score = product * scale;
            let capped = self.attention.softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh());
            capped + self.bias(head, row - key)
        };
        softmax(self.sees(row).map(score).collect())
    }
}

/// `exp(x) / Σ exp(x)`.
pub fn softmax(mut scores: Vec<f64>) -> Vec<f64> {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores.iter_mut().for_each(|score| *score = (*score - most).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
    scores
}

/// `−Σ p ln p`, in nats.
pub fn entropy(weights: &[f64]) -> f64 {
    -weights.iter().filter(|&&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use kinglet_models::{Pairing, Rope, RopeScaling};
    use std::convert::Infallible;

    /// Heads of noise: two query heads over one key/value head.
    pub fn noise(rows: usize, rotated: bool, bias: Option<DistanceBias>) -> LayerHeads {
        let d_head = 8;
        let rope =
            Rope { pairing: Pairing::Halves, dims: d_head, base: 10_000.0, scaling: RopeScaling::None, factors: None, grouping: None };
        let rotation = rotated.then(|| Rotation::new(&rope, 100, |_| Ok::<_, Infallible>(vec![])).unwrap());
        let (softcap, mask, window) = (None, Mask::Causal, None);
        let attention = HeadShape { n_heads: 2, n_kv_heads: 1, d_head, scale: 0.35, softcap, mask, window };
        let numbers = |n: usize, salt: usize| (0..n).map(|i| ((i * 7919 + salt * 104_729) % 2003) as f32 / 500.0 - 2.0).collect();
        let (q, k, v) = (numbers(rows * 16, 1), numbers(rows * 8, 2), numbers(rows * 8, 3));
        LayerHeads { layer: 0, attention, rotation, bias, rows, q, k, v }
    }

    #[test]
    fn weights_are_a_softmax_over_what_is_seen() {
        let mut heads = noise(20, true, None);
        heads.attention.window = Some(5);
        let (q, k) = (heads.turned(&heads.q, 1, 0, Turning::Exact), heads.turned(&heads.k, 0, 0, Turning::Exact));
        let weights = heads.weights(1, 12, (&q, &k));
        assert_eq!((heads.sees(12), heads.sees(2)), (8..13, 0..3));
        assert!(weights.len() == 5 && (weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn weights_depend_on_distance_alone() {
        let heads = noise(20, true, None);
        let weights = |first: u64| {
            let (q, k) = (heads.turned(&heads.q, 0, first, Turning::Exact), heads.turned(&heads.k, 0, first, Turning::Exact));
            heads.weights(0, 19, (&q, &k))
        };
        assert!(weights(0).iter().zip(weights(10_000_000)).all(|(a, b)| (a - b).abs() < 1e-7));
    }

    #[test]
    fn entropies_are_those_of_known_rows() {
        assert!((entropy(&[0.25; 4]) - 4f64.ln()).abs() < 1e-12);
        assert_eq!(entropy(&[0.0, 1.0]), 0.0);
        assert_eq!(softmax(vec![0.0, 0.0]), [0.5, 0.5]);
    }
}
