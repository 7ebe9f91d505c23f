//! Schemes that are a function of distance (key minus query): ALiBi's slopes, and numbers or vectors that belong to distances (T5's
//! buckets, clipped and Swin-like tables, Shaw, Transformer-XL, DeBERTa), laid out so that a vector of neighbouring keys reads a
//! vector of neighbouring numbers. Beyond its ends a table goes on with its last number.

use std::ops::RangeInclusive;

/// Numbers that lie beyond each end of a table, so that a vector that reaches over it reads what belongs there: the widest vector.
const MARGIN: usize = 16;

/// What distance adds to a score.
#[derive(Debug, Clone, PartialEq)]
pub enum DistanceBias {
    /// `−slopes[head] · |distance|` (ALiBi).
    Linear {
        /// One for each query head.
        slopes: Vec<f32>,
    },
    /// `table[head][distance]`.
    Table(Relative),
}

/// Rows of numbers over distances.
#[derive(Debug, Clone, PartialEq)]
pub struct Relative {
    /// Numbers in a row, margins included.
    len: usize,
    /// Where distance 0 lies in a row.
    zero: isize,
    values: Vec<f32>,
}

impl Relative {
    /// `rows` rows over `distances`, which are key minus query; each row is filled by `number(row, distance)`.
    ///
    /// # Panics
    /// Where `distances` is empty.
    pub fn new(rows: usize, distances: RangeInclusive<isize>, number: impl Fn(usize, isize) -> f32) -> Relative {
        let (&low, &high) = (distances.start(), distances.end());
        assert!(low <= high, "a table needs a distance");
        let len = (high - low) as usize + 1 + 2 * MARGIN;
        let zero = MARGIN as isize - low;
        let at = |i: usize| (i as isize - zero).clamp(low, high);
        let values = (0..rows * len).map(|i| number(i / len, at(i % len))).collect();
        Relative { len, zero, values }
    }

    /// Row `row`, to be read from [`place`](Relative::place) on.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.len..(row + 1) * self.len]
    }

    /// Where a vector of distances from `distance` on lies in a row.
    #[inline(always)]
    pub fn place(&self, distance: isize) -> usize {
        (self.zero + distance).clamp(0, (self.len - MARGIN) as isize) as usize
    }

    /// Row `row` from `distance` on.
    #[inline(always)]
    pub fn from(&self, row: usize, distance: isize) -> &[f32] {
        &self.row(row)[self.place(distance)..]
    }
}

/// T5's bucket of a distance (Raffel et al. 2020, §2.1; the authors' mesh-tensorflow code): half of the buckets for one distance each, the
/// others growing with the logarithm up to `max_distance`. With `bidirectional` each direction has half of all.
pub fn t5_bucket(distance: isize, n_buckets: usize, max_distance: usize, bidirectional: bool) -> usize {
    let (first, n) = match bidirectional {
        true => (if distance > 0 { n_buckets / 2 } else { 0 }, n_buckets / 2),
        false => (0, n_buckets),
    };
    let far = if bidirectional { distance.unsigned_abs() } else { (-distance).max(0) as usize };
    let exact = n / 2;
    if far < exact {
        return first + far;
    }
    let (exact_f, growth) = (exact as f64, (max_distance as f64 / exact as f64).ln());
    // Powers of the growth fall on an edge exactly, which a logarithm may miss by a rounding.
    let beyond = ((far as f64 / exact_f).ln() / growth * (n - exact) as f64 + 1e-6) as usize;
    first + (exact + beyond).min(n - 1)
}

/// DeBERTa's bucket of a distance (He et al. 2021b, §2; transformers' `make_log_bucket_position`, whose arithmetic is in single precision):
/// one distance each below `span / 2`, the others growing with the logarithm up to `reach`, where they come to `span`; odd.
pub fn deberta_bucket(distance: isize, span: usize, reach: usize) -> isize {
    let (middle, far) = (span / 2, distance.unsigned_abs());
    if far <= middle {
        return distance;
    }
    let share = (far as f32 / middle as f32).ln() / ((reach - 1) as f32 / middle as f32).ln();
    distance.signum() * ((share * (middle - 1) as f32).ceil() as isize + middle as isize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_goes_on_with_its_last_numbers() {
        let table = Relative::new(2, -3..=2, |row, distance| (100 * row as isize + distance) as f32);
        let read = |row, distance: isize, n: usize| table.from(row, distance)[..n].to_vec();
        assert_eq!(read(1, -5, 10), [97., 97., 97., 98., 99., 100., 101., 102., 102., 102.]);
        assert_eq!(read(0, -1000, 16), [-3.0; 16]);
        assert_eq!(read(0, 1000, 16), [2.0; 16]);
    }

    #[test]
    fn buckets_are_those_of_deberta() {
        // transformers 5.24, make_log_bucket_position(query - key, 256, 512)
        for (distance, bucket) in [(0, 0), (127, 127), (-128, -128), (129, 129), (200, 169), (-300, -207), (511, 255), (600, 270)] {
            assert_eq!(deberta_bucket(distance, 256, 512), bucket, "{distance}");
        }
    }

    #[test]
    fn buckets_are_those_of_t5() {
        // transformers 5.24, T5Attention._relative_position_bucket(key - query, bidirectional, 32, 128)
        let causal = [(0, 0), (5, 0), (-1, 1), (-15, 15), (-16, 16), (-20, 17), (-32, 21), (-64, 26), (-127, 31), (-1000, 31)];
        let both = [(0, 0), (5, 21), (-1, 1), (-7, 7), (-8, 8), (8, 24), (-16, 10), (64, 30), (-127, 15), (1000, 31)];
        for (distance, bucket) in causal {
            assert_eq!(t5_bucket(distance, 32, 128, false), bucket, "{distance}");
        }
        for (distance, bucket) in both {
            assert_eq!(t5_bucket(distance, 32, 128, true), bucket, "{distance}");
        }
    }
}
