//! How a cache stores its numbers, one head's part of a page as the tile reads it, and how a vector of each kind becomes f32. A new
//! cache type is one more [`Element`], and an arm in `Part`'s dispatch.

use super::PAGE;
use half::f16;
use kinglet_quant::isa::Isa;

/// Numbers of a head that share a scale in the quantised types; heads are padded to whole blocks there.
pub const BLOCK: usize = 32;

/// How a cache stores keys or values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub enum CacheType {
    /// IEEE half precision: 2 bytes a number.
    #[default]
    F16,
    /// Single precision: 4 bytes; for the reference path.
    F32,
    /// 8 bits and an f16 scale for each block of 32: 1.06 bytes.
    Q8_0,
    /// 4 bits and an f16 scale for each block of 32: 0.56 bytes.
    Q4_0,
}

impl CacheType {
    /// All of them, in the order in which they are listed to people.
    pub const ALL: [CacheType; 4] = [CacheType::F16, CacheType::F32, CacheType::Q8_0, CacheType::Q4_0];

    /// `f16`, `f32`, `q8_0`, `q4_0`.
    pub fn name(self) -> &'static str {
        match self {
            CacheType::F16 => "f16",
            CacheType::F32 => "f32",
            CacheType::Q8_0 => "q8_0",
            CacheType::Q4_0 => "q4_0",
        }
    }

    /// Whether numbers are rounded to few levels, block by block.
    pub fn is_quantised(self) -> bool {
        matches!(self, CacheType::Q8_0 | CacheType::Q4_0)
    }

    /// Numbers stored for a head of `d_head`: whole blocks where they share scales.
    pub fn width(self, d_head: usize) -> usize {
        if self.is_quantised() { d_head.next_multiple_of(BLOCK) } else { d_head }
    }

    /// Bytes of the scales of `n` numbers, whole blocks.
    pub fn scale_bytes(self, n: usize) -> usize {
        if self.is_quantised() { n / BLOCK * size_of::<f16>() } else { 0 }
    }

    /// Bytes of `n` numbers, without their scales.
    pub fn number_bytes(self, n: usize) -> usize {
        match self {
            CacheType::F16 => n * size_of::<f16>(),
            CacheType::F32 => n * size_of::<f32>(),
            CacheType::Q8_0 => n,
            CacheType::Q4_0 => n / 2,
        }
    }

    /// Bytes of `n` numbers, whole blocks, and their scales.
    pub fn bytes(self, n: usize) -> usize {
        self.scale_bytes(n) + self.number_bytes(n)
    }
}

/// Keys or values of one head in one page, `width` numbers a token.
///
/// Keys lie dimension by dimension, `[tile][width][16 keys]`, their scales `[tile][width / 32][16 keys]`; values lie token by token
/// within a block of 32 dimensions, `[width / 32][128][32]` (the last block as wide as what is left), their scales `[width / 32][128]`:
/// a tile's sums take both from end to end. In a block of [`CacheType::Q4_0`] the dimensions `i` and `i + 16` share a byte, the lower
/// one in the lower half.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// One for each token and block of 32; empty where the type has none.
    pub scales: &'a [f16],
    /// The numbers.
    pub numbers: Numbers<'a>,
    /// What is read some time after them, asked for at the pace at which they are used: a long cache comes from memory. May be empty.
    pub then: &'a [u8],
}

/// The values of a page's tokens in a block of dimensions, token by token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    first: usize,
    /// Numbers of a token.
    pub width: usize,
}

impl Run {
    /// The block that holds dimension `dim` of values of `width` dimensions.
    #[inline(always)]
    pub fn of_values<E: Element>(dim: usize, width: usize) -> Run {
        let before = dim / BLOCK * BLOCK;
        Run { first: before * PAGE / E::PER_NUMBER, width: BLOCK.min(width - before) / E::PER_NUMBER }
    }

    /// Where the numbers of the page's token `token` begin.
    #[inline(always)]
    pub fn at(self, token: usize) -> usize {
        self.first + token * self.width
    }
}

/// Numbers in their type.
#[derive(Debug, Clone, Copy)]
pub enum Numbers<'a> {
    /// [`CacheType::F16`]
    F16(&'a [f16]),
    /// [`CacheType::F32`]
    F32(&'a [f32]),
    /// [`CacheType::Q8_0`]
    Q8_0(&'a [i8]),
    /// [`CacheType::Q4_0`]
    Q4_0(&'a [u8]),
}

/// A stored number, as the kernel needs it.
pub trait Element: Copy + 'static {
    /// What a slice of them is made of.
    type Number: Copy;
    /// Numbers in one of those.
    const PER_NUMBER: usize;
    /// Bytes of one of those.
    const BYTES: usize = size_of::<Self::Number>();
    /// Whether blocks have scales.
    const SCALED: bool;

    /// `I::LANES` numbers of the first half (0) or the second one (1) of a block, not scaled. Types of one number each have one half.
    fn load<I: Isa>(isa: I, from: &[Self::Number], half: usize) -> I::F;

    /// A number by itself, where heads are no whole vectors; quantised ones always are.
    fn one(number: Self::Number) -> f32;
}

impl Element for f32 {
    type Number = f32;
    const PER_NUMBER: usize = 1;
    const SCALED: bool = false;

    #[inline(always)]
    fn load<I: Isa>(isa: I, from: &[f32], _half: usize) -> I::F {
        isa.load(from)
    }

    #[inline(always)]
    fn one(number: f32) -> f32 {
        number
    }
}

impl Element for f16 {
    type Number = f16;
    const PER_NUMBER: usize = 1;
    const SCALED: bool = false;

    #[inline(always)]
    fn load<I: Isa>(isa: I, from: &[f16], _half: usize) -> I::F {
        isa.load_f16(from)
    }

    #[inline(always)]
    fn one(number: f16) -> f32 {
        number.to_f32()
    }
}

/// [`CacheType::Q8_0`]
#[derive(Debug, Clone, Copy)]
pub struct Q8;

impl Element for Q8 {
    type Number = i8;
    const PER_NUMBER: usize = 1;
    const SCALED: bool = true;

    #[inline(always)]
    fn load<I: Isa>(isa: I, from: &[i8], _half: usize) -> I::F {
        isa.to_f32(isa.load_i8(from))
    }

    #[inline(always)]
    fn one(number: i8) -> f32 {
        f32::from(number)
    }
}

/// [`CacheType::Q4_0`]
#[derive(Debug, Clone, Copy)]
pub struct Q4;

impl Element for Q4 {
    type Number = u8;
    const PER_NUMBER: usize = 2;
    const SCALED: bool = true;

    #[inline(always)]
    fn load<I: Isa>(isa: I, from: &[u8], half: usize) -> I::F {
        let levels = isa.and(isa.shr(isa.load_u8(from), 4 * half as u32), isa.splat_i32(15));
        isa.sub(isa.to_f32(levels), isa.splat(8.0))
    }

    #[inline(always)]
    fn one(number: u8) -> f32 {
        f32::from(number & 15) - 8.0
    }
}
