//! The source of chance: SplitMix64, which is three lines, has the same numbers on every machine and passes BigCrush. A
//! library's generator would tie a seed's meaning to that library's version.

use std::hash::{BuildHasher, Hasher, RandomState};

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, figure 14).
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// A number in [0, 1): the upper 53 bits, as many as an f64 holds.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A seed that nobody chose: the standard library keys its hash maps with random numbers of the operating system.
pub(super) fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_published_generator() {
        let mut random = Random::new(1_234_567);
        let published = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423, 4_593_380_528_125_082_431];
        assert_eq!(std::array::from_fn(|_| random.next()), published);
    }

    #[test]
    fn unit_numbers_fill_the_interval_evenly() {
        let mut random = Random::new(1);
        let mut counts = [0usize; 16];
        for _ in 0..160_000 {
            counts[(random.unit() * 16.0) as usize] += 1;
        }
        let chi_square: f64 = counts.iter().map(|&n| (n as f64 - 1e4).powi(2) / 1e4).sum();
        assert!(chi_square < 37.7, "15 degrees of freedom, 1 in 1000: {chi_square}");
    }

    #[test]
    fn two_unchosen_seeds_differ() {
        assert_ne!(any_seed(), any_seed());
    }
}
