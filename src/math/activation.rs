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
        level.run(self);
    }
}

impl Op for Gated<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Gated { activation, gate, up, y } = self;
        match activation {
            Activation::Silu => sigmoid_like(isa, gate, up, y, |isa, x| isa.sub(isa.splat(0.0), x)),
            Activation::GeluTanh => sigmoid_like(isa, gate, up, y, |isa, x| {
                // 0.5 (1 + tanh u) = σ(2u), with u = √(2/π) (x + 0.044715 x³).
                let cube = isa.mul(isa.mul(x, x), isa.splat(-2.0 * 0.797_884_6 * 0.044_715));
                isa.mul(x, isa.add(cube, isa.splat(-2.0 * 0.797_884_6)))
            }),
            Activation::Gelu | Activation::Relu => {
                for ((y, &gate), &up) in y.iter_mut().zip(gate).zip(up) {
                    *y = activate(activation, gate) * up;
                }
            }
        }
    }
}

/// `y = x / (1 + exp(minus_u(x))) · up`.
#[inline(always)]
fn sigmoid_like<I: Isa>(isa: I, x: &[f32], up: &[f32], y: &mut [f32], minus_u: impl Fn(I, I::F) -> I::F) {
    let lanes = |x: &[f32], up: &[f32], y: &mut [f32]| {
        let x = isa.load(x);
        let sigmoid = isa.div(x, isa.add(isa.splat(1.0), isa.exp(minus_u(isa, x))));
        isa.store(y, isa.mul(sigmoid, isa.load(up)));
    };
    let whole = x.len() / I::LANES * I::LANES;
    for at in (0..whole).step_by(I::LANES) {
        lanes(&x[at..], &up[at..], &mut y[at..]);
    }
    // The tail goes through the same vector, padded, so that a number's result does not depend on where it lies.
    let (mut a, mut b, mut c) = ([0f32; 16], [0f32; 16], [0f32; 16]);
    let rest = x.len() - whole;
    if rest > 0 {
        a[..rest].copy_from_slice(&x[whole..]);
        b[..rest].copy_from_slice(&up[whole..]);
        lanes(&a, &b, &mut c);
        y[whole..].copy_from_slice(&c[..rest]);
    }
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
