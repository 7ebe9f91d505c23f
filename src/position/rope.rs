//! Rotary position embedding (Su et al. 2021, arXiv:2104.09864, eq. 34) with the scalings that models are trained with. The
//! frequencies are resolved once per session in f64; the angle of a token is a product in f64 too, so that token 10 000 000 turns
//! as exactly as token 10.

use kinglet_models::{Factors, Grouping, Pairing, Part, Rope, RopeScaling};
use std::f64::consts::TAU;

/// A rope whose frequencies are resolved: what turns queries and keys of one kind of layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotation {
    pairing: Pairing,
    /// Radians a token, one for each pair of dimensions.
    frequencies: Vec<f64>,
    /// Multiplies cosine and sine (YaRN's and LongRoPE's attention factor).
    amplitude: f64,
    grouping: Option<Grouping>,
}

impl Rotation {
    /// Resolves `rope` for a session that may grow to `context` tokens: LongRoPE takes its long factors and dynamic NTK its base from
    /// that bound, so that a key is turned once and never again. `tensor` reads the factors that lie in the file.
    ///
    /// # Errors
    /// Those of `tensor`.
    pub fn new<E>(rope: &Rope, context: usize, tensor: impl Fn(&Part) -> Result<Vec<f32>, E>) -> Result<Self, E> {
        let mut frequencies = scaled(rope, context);
        let mut divide = |by: &[f64]| frequencies.iter_mut().zip(by).for_each(|(f, by)| *f /= by);
        let from_file = |part: &Part| tensor(part).map(|values| values.into_iter().map(f64::from).collect::<Vec<_>>());
        if let Some(part) = &rope.factors {
            divide(&from_file(part)?);
        }
        if let RopeScaling::LongRope { short, long, original, .. } = &rope.scaling {
            match if context > *original { long } else { short } {
                Factors::Values(values) => divide(values),
                Factors::Tensor(part) => divide(&from_file(part)?),
            }
        }
        let amplitude = match rope.scaling {
            RopeScaling::Yarn { attention_factor, .. } | RopeScaling::LongRope { attention_factor, .. } => attention_factor,
            _ => 1.0,
        };
        Ok(Rotation { pairing: rope.pairing, frequencies, amplitude, grouping: rope.grouping })
    }

    /// Radians a token, one for each pair of dimensions.
    pub fn frequencies(&self) -> &[f64] {
        &self.frequencies
    }

    /// How distant tokens stand closer together, if they do.
    pub fn grouping(&self) -> Option<Grouping> {
        self.grouping
    }

    /// Turns `head: [d_head]` as the token at `position` is turned, all in f64: what [`TurnTable::turn`] is compared with.
    pub fn turn_exactly(&self, position: u64, head: &mut [f64]) {
        self.turn_by(head, |frequency| (frequency * position as f64).sin_cos());
    }

    /// Turns `head: [d_head]` with angles that were rounded to f32 before their cosine is taken: what a runtime does that holds positions
    /// and frequencies in f32, for comparison.
    pub fn turn_roughly(&self, position: u64, head: &mut [f64]) {
        self.turn_by(head, |frequency| {
            let (sin, cos) = (frequency as f32 * position as f32).sin_cos();
            (sin.into(), cos.into())
        });
    }

    fn turn_by(&self, head: &mut [f64], sin_cos: impl Fn(f64) -> (f64, f64)) {
        let n = self.frequencies.len();
        for (i, &frequency) in self.frequencies.iter().enumerate() {
            let (a, b) = match self.pairing {
                Pairing::Adjacent => (2 * i, 2 * i + 1),
                Pairing::Halves => (i, n + i),
            };
            let (sin, cos) = sin_cos(frequency);
            let (x, y) = (head[a] * self.amplitude, head[b] * self.amplitude);
            (head[a], head[b]) = (x * cos - y * sin, x * sin + y * cos);
        }
    }

    /// Cosine and sine for each of `positions`.
    pub fn table(&self, positions: impl Iterator<Item = u64>) -> TurnTable {
        let mut turns = Vec::with_capacity(self.frequencies.len() * 2 * positions.size_hint().0);
        for position in positions {
            let angles = self.frequencies.iter().map(|f| f * position as f64);
            turns.extend(angles.clone().map(|angle| (angle.cos() * self.amplitude) as f32));
            turns.extend(angles.map(|angle| (angle.sin() * self.amplitude) as f32));
        }
        TurnTable { pairing: self.pairing, pairs: self.frequencies.len(), turns }
    }
}

/// Cosines and sines for the rows of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnTable {
    pairing: Pairing,
    pairs: usize,
    /// For each row: `pairs` cosines, then `pairs` sines.
    turns: Vec<f32>,
}

impl TurnTable {
    /// Turns `head: [d_head]` by the angles of row `row`, in place; dimensions beyond the rotated ones stay.
    pub fn turn(&self, row: usize, head: &mut [f32]) {
        let n = self.pairs;
        let (cos, sin) = self.turns[2 * n * row..2 * n * (row + 1)].split_at(n);
        match self.pairing {
            Pairing::Adjacent => {
                for ((pair, &c), &s) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
                    (pair[0], pair[1]) = (pair[0] * c - pair[1] * s, pair[0] * s + pair[1] * c);
                }
            }
            Pairing::Halves => {
                let (low, high) = head.split_at_mut(n);
                for (((a, b), &c), &s) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                    (*a, *b) = (*a * c - *b * s, *a * s + *b * c);
                }
            }
        }
    }
}

/// The frequencies `base^(−2i/dims)`, stretched as the scaling says (but for LongRoPE's and the file's own divisors).
fn scaled(rope: &Rope, context: usize) -> Vec<f64> {
    let dims = rope.dims as f64;
    let plain = |base: f64| (0..rope.dims / 2).map(move |i| base.powf(-2.0 * i as f64 / dims));
    match rope.scaling {
        RopeScaling::None | RopeScaling::LongRope { .. } => plain(rope.base).collect(),
        RopeScaling::Linear { factor } => plain(rope.base).map(|f| f / factor).collect(),
        RopeScaling::DynamicNtk { factor, original } => {
            let growth = (factor * context as f64 / original as f64 - (factor - 1.0)).max(1.0);
            plain(rope.base * growth.powf(dims / (dims - 2.0))).collect()
        }
        RopeScaling::Yarn { factor, original, beta_fast, beta_slow, truncate, .. } => {
            let (low, high) = yarn_ramp(dims, rope.base, original as f64, beta_fast, beta_slow, truncate);
            let ramp = |i: usize| ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
            plain(rope.base).enumerate().map(|(i, f)| f / factor * ramp(i) + f * (1.0 - ramp(i))).collect()
        }
        RopeScaling::Llama3 { factor, low, high, original } => plain(rope.base)
            .map(|f| {
                let turns = original as f64 * f / TAU;
                let keep = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                f / factor * (1.0 - keep) + f * keep
            })
            .collect(),
    }
}

/// The dimensions between which YaRN goes from keeping a frequency to interpolating it (arXiv:2309.00071, §3.2, as transformers
/// and llama.cpp resolve it).
fn yarn_ramp(dims: f64, base: f64, original: f64, beta_fast: f64, beta_slow: f64, truncate: bool) -> (f64, f64) {
    let dimension = |turns: f64| dims * (original / (turns * TAU)).ln() / (2.0 * base.ln());
    let (mut low, mut high) = (dimension(beta_fast), dimension(beta_slow));
    if truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    (low, high) = (low.max(0.0), high.min(dims - 1.0));
    // A ramp of no width would divide by zero.
    (low, if low == high { high + 0.001 } else { high })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn rope(pairing: Pairing, dims: usize, scaling: RopeScaling) -> Rope {
        Rope { pairing, dims, base: 10_000.0, scaling, factors: None, grouping: None }
    }

    fn rotation(rope: &Rope, context: usize) -> Rotation {
        Rotation::new(rope, context, |_| Ok::<_, Infallible>(vec![])).unwrap()
    }

    #[test]
    fn scores_depend_on_distance_alone() {
        for pairing in [Pairing::Adjacent, Pairing::Halves] {
            let rotation = rotation(&rope(pairing, 16, RopeScaling::None), 100);
            let q: Vec<f32> = (0..20).map(|i| (i as f32 * 0.7).sin()).collect();
            let k: Vec<f32> = (0..20).map(|i| (i as f32 * 1.3).cos()).collect();
            let score = |at_q: u64, at_k: u64| {
                let table = rotation.table([at_q, at_k].into_iter());
                let (mut q, mut k) = (q.clone(), k.clone());
                table.turn(0, &mut q);
                table.turn(1, &mut k);
                q.iter().zip(&k).map(|(a, b)| a * b).sum::<f32>()
            };
            for shift in [1, 1000, 10_000_000] {
                assert!((score(7, 3) - score(7 + shift, 3 + shift)).abs() < 1e-5);
            }
            assert!((score(7, 3) - score(7, 4)).abs() > 1e-3);
        }
    }

    #[test]
    fn turning_exactly_is_turning_by_the_table() {
        for pairing in [Pairing::Adjacent, Pairing::Halves] {
            let rotation = rotation(&rope(pairing, 16, RopeScaling::None), 100);
            let head: Vec<f32> = (0..20).map(|i| (i as f32 * 0.7).sin()).collect();
            let (mut fast, mut exact) = (head.clone(), head.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
            rotation.table([9_999_999].into_iter()).turn(0, &mut fast);
            rotation.turn_exactly(9_999_999, &mut exact);
            assert!(fast.iter().zip(&exact).all(|(&a, b)| (f64::from(a) - b).abs() < 1e-6));
            let mut rough: Vec<f64> = head.iter().map(|&x| f64::from(x)).collect();
            rotation.turn_roughly(9_999_999, &mut rough);
            assert!(rough.iter().zip(&exact).any(|(a, b)| (a - b).abs() > 1e-3));
        }
    }

    #[test]
    fn dimensions_beyond_the_rotated_stay() {
        let rotation = rotation(&rope(Pairing::Halves, 8, RopeScaling::None), 100);
        let mut head: Vec<f32> = (0..12).map(|i| i as f32).collect();
        rotation.table([5].into_iter()).turn(0, &mut head);
        assert_eq!(head[8..], [8.0, 9.0, 10.0, 11.0]);
        assert_ne!(head[..8], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    }

    #[test]
    fn yarn_keeps_fast_dimensions_and_stretches_slow_ones() {
        let yarn =
            RopeScaling::Yarn { factor: 4.0, original: 2048, beta_fast: 32.0, beta_slow: 1.0, attention_factor: 1.1386, truncate: true };
        let (plain, yarn) = (rope(Pairing::Halves, 64, RopeScaling::None), rope(Pairing::Halves, 64, yarn));
        let (plain, yarn) = (rotation(&plain, 1), rotation(&yarn, 1));
        assert_eq!(plain.frequencies()[0], yarn.frequencies()[0]);
        assert!((plain.frequencies()[31] / yarn.frequencies()[31] - 4.0).abs() < 1e-12);
        assert_eq!(yarn.table([0].into_iter()).turns[0], 1.1386);
    }

    #[test]
    fn dynamic_ntk_changes_nothing_inside_the_trained_length() {
        let dynamic = rope(Pairing::Halves, 64, RopeScaling::DynamicNtk { factor: 2.0, original: 1000 });
        let plain = rope(Pairing::Halves, 64, RopeScaling::None);
        assert_eq!(rotation(&dynamic, 1000).frequencies(), rotation(&plain, 1000).frequencies());
        assert!(rotation(&dynamic, 2000).frequencies()[31] < rotation(&plain, 2000).frequencies()[31]);
    }
}
