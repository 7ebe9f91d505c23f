//! How a level multiplies bytes: all that levels with equally wide vectors differ in.

use super::{Isa, Level, Op};

/// Proof that the CPU has a level's byte products, for vectors of type `V`; what the operations do says [`Isa`]. What is given here is
/// for products that are added up in 32 bits at once.
pub trait ByteProducts<V>: Copy + Send + Sync + 'static {
    /// The level.
    const LEVEL: Level;
    /// See [`Isa::SIGNED_BYTES`].
    const SIGNED_BYTES: bool = false;
    /// See [`Isa::COLUMNS`].
    const COLUMNS: usize;

    /// See [`Isa::CHAINS`]; `vpdpbusd` takes four cycles (Zen 4).
    const CHAINS: usize = 2;

    /// The token, where the CPU has the byte products; that it has the vectors is for the caller to see.
    fn new() -> Option<Self>;
    /// Runs `op` with the level's instructions switched on; `isa` is the proof that the CPU has them all.
    fn vectorize<I: Isa, O: Op>(self, isa: I, op: O) -> O::Output;

    /// See [`Isa::steps`].
    #[inline(always)]
    fn steps(_bits: u32) -> usize {
        8
    }

    /// See [`Isa::start`].
    #[inline(always)]
    fn start(self, _bits: u32, total: V) -> V {
        total
    }

    /// See [`Isa::dot`].
    fn dot(self, bits: u32, sum: V, weights: V, activations: i32) -> V;

    /// See [`Isa::finish`].
    #[inline(always)]
    fn finish(self, _bits: u32, _total: V, sum: V) -> V {
        sum
    }

    /// See [`Isa::WIDE`].
    #[cfg(target_arch = "x86_64")]
    const WIDE: bool = true;

    /// See [`Isa::weigh`]; on ARM all levels' is the same.
    #[cfg(target_arch = "x86_64")]
    fn weigh(self, bits: u32, total: V, sum: V, factors: V, part: usize) -> V;

    /// See [`Isa::PAIRS`].
    const PAIRS: bool = false;

    /// See [`Isa::join`].
    #[inline(always)]
    fn join(self, first: V, second: V) -> [V; 2] {
        [first, second]
    }

    /// See [`Isa::dot_pair`]; weights of 8 bits are meant.
    #[inline(always)]
    fn dot_pair(self, sum: [V; 2], weights: [V; 2], activations: [[i32; 2]; 2]) -> [V; 2]
    where
        V: Copy,
    {
        let of = |c: usize| self.dot(8, self.dot(8, sum[c], weights[0], activations[c][0]), weights[1], activations[c][1]);
        [of(0), of(1)]
    }

    /// See [`Isa::apart`].
    #[inline(always)]
    fn apart(self, sum: [V; 2]) -> [V; 2] {
        sum
    }
}

/// [`Isa::steps`] where weights of up to 6 bits are added up in 16 bits: a lane of `maddubs` is at most 2 × 127 × (2^bits − 1), so that
/// 8, 4 or 2 of them stay below 2^15. Those of 8 bits are widened at once.
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub(super) fn steps_in_16_bits(bits: u32) -> usize {
    match bits {
        5 => 4,
        6 => 2,
        _ => 8,
    }
}

/// What `vpshufb` takes to the places of sixteen bytes: of each dword the two lower or the two upper bytes, with a zero above each.
#[cfg(target_arch = "x86_64")]
pub(super) const APART: [[u8; 16]; 2] = [each_dword([0, 0x80, 1, 0x80]), each_dword([2, 0x80, 3, 0x80])];

/// The same: of each dword the lower or the upper 16 bits, twice.
#[cfg(target_arch = "x86_64")]
pub(super) const TWICE: [[u8; 16]; 2] = [each_dword([0, 1, 0, 1]), each_dword([2, 3, 2, 3])];

/// `bytes`, counted from each of four dwords on; what is above 127 stays, and is a zero.
#[cfg(target_arch = "x86_64")]
const fn each_dword(bytes: [u8; 4]) -> [u8; 16] {
    let mut all = [0; 16];
    let mut i = 0;
    while i < 16 {
        all[i] = bytes[i % 4] | (i / 4 * 4) as u8;
        i += 1;
    }
    all
}
