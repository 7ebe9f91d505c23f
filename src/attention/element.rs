//! What a cache may store a number as, and how a vector of it becomes f32.

use half::f16;
use kinglet_quant::isa::Isa;

/// A stored number.
pub trait Element: Copy + Send + Sync + 'static {
    /// Rounded to nearest even.
    fn from_f32(x: f32) -> Self;
    /// Exactly.
    fn to_f32(self) -> f32;
    /// The first `I::LANES` of `from`.
    fn load<I: Isa>(isa: I, from: &[Self]) -> I::F;
}

impl Element for f32 {
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn load<I: Isa>(isa: I, from: &[Self]) -> I::F {
        isa.load(from)
    }
}

impl Element for f16 {
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        f16::from_f32(x)
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f16::to_f32(self)
    }

    #[inline(always)]
    fn load<I: Isa>(isa: I, from: &[Self]) -> I::F {
        isa.load_f16(from)
    }
}
