//! The non-linearities of feed-forward blocks. SiLU and the tanh form of GELU are vectors; the exact GELU and ReLU are plain.

use kinglet_models::Activation;
use kinglet_quant::isa::{Isa, Level, Op};

/// `y = act(gate) · up`, all `[width]`: the gated feed-forward's middle.
#[derive(Debug)]
pub struct Gated<'a> {
    /// Which non-linearity.
    pub activation: Activation,
    /// What goes through it.
    pub gate: &'a [f32],
    /// What it is multiplied with.
    pub up: &'a [f32],
    /// The product.
    pub y: &'a mut [f32],
}

impl Gated<'_> {
    /// Computes it.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn run(self, level: Level) {
        assert!(self.gate.len() == self.up.len() && self.up.len() == self.y.len(), "gate, up and product differ in width");
        level.run_vectors(self);
    }
}

impl Op for Gated<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Gated { activation, gate, up, y } = self;
        match activation {
            Activation::Silu => sigmoid_like::<I, false>(isa, gate, up, y),
            Activation::GeluTanh => sigmoid_like::<I, true>(isa, gate, up, y),
            Activation::Gelu | Activation::Relu => {
                for ((y, &gate), &up) in y.iter_mut().zip(gate).zip(up) {
                    *y = activate(activation, gate) * up;
                }
            }
        }
    }
}

/// `y = x · σ(u) · up`, where `u` is `x` (SiLU), or `2 √(2/π) (x + 0.044715 x³)` (GELU: `0.5 (1 + tanh v) = σ(2 v)`).
#[inline(always)]
fn sigmoid_like<I: Isa, const GELU: bool>(isa: I, x: &[f32], up: &[f32], y: &mut [f32]) {
    let whole = x.len() / I::LANES * I::LANES;
    for at in (0..whole).step_by(I::LANES) {
        let gated = gate::<I, GELU>(isa, isa.load(&x[at..]), isa.load(&up[at..]));
        isa.store(&mut y[at..], gated);
    }
    if whole < x.len() {
        let gated = gate::<I, GELU>(isa, isa.load_partial(&x[whole..], 0.0), isa.load_partial(&up[whole..], 0.0));
        isa.store_partial(&mut y[whole..], gated);
    }
}

/// One vector of [`sigmoid_like`]. A function and not a closure, as only functions can be told to be inlined into the level's code.
#[inline(always)]
fn gate<I: Isa, const GELU: bool>(isa: I, x: I::F, up: I::F) -> I::F {
    const SLOPE: f32 = -2.0 * 0.797_884_6;
    let minus_u = if GELU {
        isa.mul(x, isa.mul_add(isa.mul(x, x), isa.splat(SLOPE * 0.044_715), isa.splat(SLOPE)))
    } else {
        isa.sub(isa.splat(0.0), x)
    };
    isa.mul(isa.div(x, isa.add(isa.splat(1.0), isa.exp(minus_u))), up)
}

/// The non-linearity of one number, as its equation says.
pub fn activate(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => 0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044_715 * x * x * x)).tanh()),
        Activation::Gelu => 0.5 * x * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2)),
        Activation::Relu => x.max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_agree_with_the_equations() {
        let x: Vec<f32> = (-400..=400).map(|i| i as f32 / 20.0).collect();
        let up: Vec<f32> = x.iter().map(|x| 1.0 + x.cos()).collect();
        for level in Level::available() {
            for activation in [Activation::Silu, Activation::GeluTanh, Activation::Gelu, Activation::Relu] {
                let mut y = vec![0.0; x.len()];
                Gated { activation, gate: &x, up: &up, y: &mut y }.run(level);
                for ((&x, &up), &y) in x.iter().zip(&up).zip(&y) {
                    let want = activate(activation, x) * up;
                    assert!((y - want).abs() <= 4e-6 * (1.0 + want.abs()), "{activation:?}({x}) · {up} gave {y}, not {want}, on {level:?}");
                }
            }
        }
    }
}
