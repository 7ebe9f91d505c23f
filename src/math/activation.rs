//! The non-linearities of feed-forward blocks, each a few vector operations.

use kinglet_models::Activation;
use kinglet_quant::isa::{Isa, Level, Op};

/// `y = act(x) · up`, the gated feed-forward's middle, or `y = act(x)` where nothing is gated; all `[width]`.
#[derive(Debug)]
pub struct Activate<'a> {
    /// Which non-linearity.
    pub activation: Activation,
    /// What goes through it.
    pub x: &'a [f32],
    /// What it is multiplied with.
    pub up: Option<&'a [f32]>,
    /// The result.
    pub y: &'a mut [f32],
}

impl Activate<'_> {
    /// Computes it.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn run(self, level: Level) {
        let widths = [Some(self.x.len()), self.up.map(<[f32]>::len), Some(self.y.len())];
        assert!(widths.into_iter().flatten().all(|width| width == self.x.len()), "an activation's lengths differ: {widths:?}");
        level.run_vectors(self);
    }
}

impl Op for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        match self.activation {
            Activation::Silu => self.each::<I, SILU>(isa),
            Activation::GeluTanh => self.each::<I, GELU_TANH>(isa),
            Activation::Gelu => self.each::<I, GELU>(isa),
            Activation::Relu => self.each::<I, RELU>(isa),
            Activation::Tanh => self.each::<I, TANH>(isa),
        }
    }
}

const SILU: u8 = 0;
const GELU_TANH: u8 = 1;
const GELU: u8 = 2;
const RELU: u8 = 3;
const TANH: u8 = 4;

impl Activate<'_> {
    #[inline(always)]
    fn each<I: Isa, const KIND: u8>(self, isa: I) {
        let Activate { x, up, y, .. } = self;
        let whole = x.len() / I::LANES * I::LANES;
        for at in (0..whole).step_by(I::LANES) {
            let activated = vector::<I, KIND>(isa, isa.load(&x[at..]));
            let factor = up.map_or(isa.splat(1.0), |up| isa.load(&up[at..]));
            isa.store(&mut y[at..], isa.mul(activated, factor));
        }
        if whole < x.len() {
            let activated = vector::<I, KIND>(isa, isa.load_partial(&x[whole..], 0.0));
            let factor = up.map_or(isa.splat(1.0), |up| isa.load_partial(&up[whole..], 0.0));
            isa.store_partial(&mut y[whole..], isa.mul(activated, factor));
        }
    }
}

#[inline(always)]
fn vector<I: Isa, const KIND: u8>(isa: I, x: I::F) -> I::F {
    match KIND {
        SILU => sigmoid_gate(isa, x, isa.sub(isa.splat(0.0), x)),
        GELU_TANH => {
            // 0.5 (1 + tanh v) = σ(2 v), with v = √(2/π) (x + 0.044715 x³).
            const SLOPE: f32 = -2.0 * 0.797_884_6;
            sigmoid_gate(isa, x, isa.mul(x, isa.mul_add(isa.mul(x, x), isa.splat(SLOPE * 0.044_715), isa.splat(SLOPE))))
        }
        GELU => gelu(isa, x),
        TANH => isa.tanh(x),
        _ => isa.max(x, isa.splat(0.0)),
    }
}

/// `x · σ(u)`, of `−u`.
#[inline(always)]
fn sigmoid_gate<I: Isa>(isa: I, x: I::F, minus_u: I::F) -> I::F {
    isa.div(x, isa.add(isa.splat(1.0), isa.exp(minus_u)))
}

/// `x · Φ(x)`. Φ's tail beyond |x| is `0.5 erfc(|x|/√2)`, by the polynomial of Hastings (Abramowitz & Stegun 7.1.26), within 1.5e-7.
#[inline(always)]
fn gelu<I: Isa>(isa: I, x: I::F) -> I::F {
    const HALF_POLYNOMIAL: [f32; 5] = [0.530_702_7, -0.726_576, 0.710_706_9, -0.142_248_37, 0.127_414_8];
    let z = isa.mul(isa.abs(x), isa.splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = isa.div(isa.splat(1.0), isa.mul_add(z, isa.splat(0.327_591_1), isa.splat(1.0)));
    let mut sum = isa.splat(HALF_POLYNOMIAL[0]);
    sum = isa.mul_add(sum, t, isa.splat(HALF_POLYNOMIAL[1]));
    sum = isa.mul_add(sum, t, isa.splat(HALF_POLYNOMIAL[2]));
    sum = isa.mul_add(sum, t, isa.splat(HALF_POLYNOMIAL[3]));
    sum = isa.mul_add(sum, t, isa.splat(HALF_POLYNOMIAL[4]));
    let tail = isa.mul(isa.mul(sum, t), isa.exp(isa.neg_mul_add(z, z, isa.splat(0.0))));
    let below = isa.less(x, isa.splat(0.0));
    isa.mul(x, isa.select(below, tail, isa.sub(isa.splat(1.0), tail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One number's equation, in double precision.
    fn equation(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::GeluTanh => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh()),
            Activation::Gelu => 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
            Activation::Relu => x.max(0.0),
            Activation::Tanh => x.tanh(),
        }
    }

    #[test]
    fn vectors_agree_with_the_equations() {
        let x: Vec<f32> = (-400..=400).map(|i| i as f32 / 20.0).collect();
        let up: Vec<f32> = x.iter().map(|x| 1.0 + x.cos()).collect();
        for level in Level::available() {
            for activation in [Activation::Silu, Activation::GeluTanh, Activation::Gelu, Activation::Relu, Activation::Tanh] {
                for up in [Some(&up[..]), None] {
                    let mut y = vec![0.0; x.len()];
                    Activate { activation, x: &x, up, y: &mut y }.run(level);
                    for (i, (&x, &y)) in x.iter().zip(&y).enumerate() {
                        let want = equation(activation, x.into()) * up.map_or(1.0, |up| up[i].into());
                        let off = (f64::from(y) - want).abs();
                        assert!(off <= 1e-6 * (1.0 + want.abs()), "{activation:?}({x}) gave {y}, not {want}, on {level:?}");
                    }
                }
            }
        }
    }
}
