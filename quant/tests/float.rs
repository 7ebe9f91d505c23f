//! The f32 primitives and functions of every level this machine has: against plain Rust, against f64, and against each other.

use half::{bf16, f16};
use kinglet_quant::isa::{Isa, Level, Op};

/// Applies one of the vector functions to a whole slice.
struct Map<'a> {
    function: Function,
    x: &'a [f32],
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Exp,
    Exp2,
    Tanh,
    Sigmoid,
}

impl Op for Map<'_> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Vec<f32> {
        let mut out = vec![0.0; self.x.len()];
        for (x, out) in self.x.chunks(I::LANES).zip(out.chunks_mut(I::LANES)) {
            let x = isa.load_partial(x, 0.0);
            let y = match self.function {
                Function::Exp => isa.exp(x),
                Function::Exp2 => isa.exp2(x),
                Function::Tanh => isa.tanh(x),
                Function::Sigmoid => isa.sigmoid(x),
            };
            isa.store_partial(out, y);
        }
        out
    }
}

/// Distance in steps of f32 between neighbours of `want`.
fn ulps(got: f32, want: f64) -> f64 {
    if got as f64 == want || got == want as f32 {
        return 0.0;
    }
    let exponent = want.abs().log2().floor().max(-126.0);
    (got as f64 - want).abs() / 2f64.powf(exponent - 23.0)
}

fn grid(from: f32, to: f32, n: usize) -> Vec<f32> {
    (0..n).map(|i| from + (to - from) * (i as f32 / n as f32)).chain([0.0, -0.0, 1e-30, -1e-30, 1e-6]).collect()
}

#[test]
fn functions_keep_the_bounds_their_docs_state() {
    for level in Level::available() {
        for (function, x, bound) in [
            (Function::Exp, grid(-86.98, 88.7, 400_000), 1.0),
            (Function::Exp2, grid(-126.0, 127.0, 400_000), 1.0),
            (Function::Tanh, grid(-12.0, 12.0, 400_000), 2.0),
            (Function::Sigmoid, grid(-87.0, 30.0, 400_000), 3.0),
        ] {
            let exact = |x: f32| match function {
                Function::Exp => (x as f64).exp(),
                Function::Exp2 => (x as f64).exp2(),
                Function::Tanh => (x as f64).tanh(),
                Function::Sigmoid => 1.0 / (1.0 + (-x as f64).exp()),
            };
            let y = level.run(Map { function, x: &x });
            let (worst, at) =
                x.iter().zip(&y).map(|(&x, &y)| (ulps(y, exact(x)), x)).fold((0.0, 0.0), |a, b| if b.0 > a.0 { b } else { a });
            println!("{level} {function:?}: {worst:.3} ulp at {at}");
            assert!(worst <= bound, "{level} {function:?}: {worst} ulp at {at}");
        }
    }
}

#[test]
fn a_power_too_small_to_be_normal_is_zero() {
    for (function, from, below) in [(Function::Exp, -110.0, -86.99), (Function::Exp2, -1e9, -126.0), (Function::Exp2, -140.0, -126.0)] {
        let x = grid(from, below, 100_000).into_iter().filter(|&x| x < below).collect::<Vec<_>>();
        for level in Level::available() {
            let y = level.run(Map { function, x: &x });
            assert_eq!(y.iter().zip(&x).find(|&(&y, _)| y != 0.0), None, "{function:?} on {level}");
        }
    }
}

#[test]
fn functions_are_defined_at_the_ends() {
    let x = [f32::NEG_INFINITY, f32::INFINITY, f32::NAN, -200.0, 200.0, -104.0, 88.73];
    for level in Level::available() {
        let exp = level.run(Map { function: Function::Exp, x: &x });
        assert_eq!((exp[0], exp[1], exp[3], exp[4], exp[5], exp[6]), (0.0, f32::INFINITY, 0.0, f32::INFINITY, 0.0, f32::INFINITY));
        let exp2 = level.run(Map { function: Function::Exp2, x: &x });
        assert_eq!((exp2[0], exp2[3], exp2[5]), (0.0, 0.0, (-104f32).exp2()));
        let tanh = level.run(Map { function: Function::Tanh, x: &x });
        assert_eq!((tanh[0], tanh[1], tanh[3], tanh[4]), (-1.0, 1.0, -1.0, 1.0));
        let sigmoid = level.run(Map { function: Function::Sigmoid, x: &x });
        assert_eq!((sigmoid[0], sigmoid[1], sigmoid[3], sigmoid[4]), (0.0, 1.0, 0.0, 1.0));
        assert!(exp[2].is_nan() && exp2[2].is_nan() && tanh[2].is_nan() && sigmoid[2].is_nan(), "{level}");
    }
}

#[test]
fn functions_give_the_same_bits_on_every_level_from_end_to_end() {
    let x: Vec<f32> = grid(-110.0, 95.0, 400_000).into_iter().chain([f32::INFINITY, f32::NEG_INFINITY]).collect();
    for function in [Function::Exp, Function::Exp2, Function::Tanh, Function::Sigmoid] {
        let on = |level: Level| level.run(Map { function, x: &x }).iter().map(|y| y.to_bits()).collect::<Vec<_>>();
        let want = on(Level::Scalar);
        for level in Level::available() {
            let got = on(level);
            let differs = (0..x.len()).find(|&i| got[i] != want[i]);
            assert_eq!(differs.map(|i| (x[i], f32::from_bits(got[i]), f32::from_bits(want[i]))), None, "{function:?} on {level}");
        }
    }
}

/// Every operation once on 16 numbers, in the order of the trait; reductions over 16 lanes at a time.
struct Everything<'a>(&'a [f32; 16], &'a [f32; 16]);

impl Op for Everything<'_> {
    type Output = Vec<[f32; 16]>;
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Vec<[f32; 16]> {
        let mut all = vec![[0.0; 16]; 23];
        let halves: [f16; 16] = self.0.map(f16::from_f32);
        let brains: [bf16; 16] = self.0.map(bf16::from_f32);
        for at in (0..16).step_by(I::LANES) {
            let (a, b) = (isa.load(&self.0[at..]), isa.load(&self.1[at..]));
            let mut rounded = [f16::ZERO; 16];
            isa.store_f16(&mut rounded, a);
            let results = [
                isa.add(a, b),
                isa.sub(a, b),
                isa.mul(a, b),
                isa.div(a, b),
                isa.mul_add(a, b, a),
                isa.neg_mul_add(a, b, a),
                isa.max(a, b),
                isa.min(a, b),
                isa.abs(a),
                isa.copysign(a, b),
                isa.sqrt(isa.abs(a)),
                isa.round(a),
                isa.pow2i(isa.round(b)),
                isa.select(isa.less(a, b), isa.splat(1.0), isa.splat(0.0)),
                isa.load_f16(&halves[at..]),
                isa.load_bf16(&brains[at..]),
                isa.load_f16(&rounded),
                isa.exp(a),
                isa.exp2(b),
                isa.bits_to_f32(isa.to_bits(a)),
                isa.tanh(b),
                isa.sigmoid(a),
            ];
            for (out, result) in all.iter_mut().zip(results) {
                isa.store(&mut out[at..], result);
            }
        }
        let mut sum = isa.load(self.0);
        for at in (I::LANES..16).step_by(I::LANES) {
            sum = isa.add(sum, isa.load(&self.0[at..]));
        }
        all[22][0] = isa.reduce_add(sum);
        all[22][1] = isa.reduce_max(isa.load(self.0));
        all
    }
}

#[test]
fn every_level_gives_the_bits_of_the_scalar_one() {
    let a: [f32; 16] = std::array::from_fn(|i| (i as f32 * 1.37 - 9.5) * 1.1f32.powi(i as i32) + if i % 3 == 0 { 0.5 } else { 0.0 });
    let mut b: [f32; 16] = std::array::from_fn(|i| (i as f32 * 0.77).sin() * 20.0);
    b[3] = -0.0;
    let mut a_with_max_first = a;
    a_with_max_first[2] = 100.0;
    let want = Level::Scalar.run(Everything(&a_with_max_first, &b));
    for level in Level::available() {
        let got = level.run(Everything(&a_with_max_first, &b));
        for (operation, (got, want)) in got.iter().zip(&want).enumerate() {
            assert_eq!(got.map(f32::to_bits), want.map(f32::to_bits), "{level}, operation {operation}: {got:?} for {want:?}");
        }
    }
}
