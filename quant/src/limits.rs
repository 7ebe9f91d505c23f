//! What this machine can do at most: integer and f32 multiply-accumulates of one thread, and reading memory. Measured in the same run as
//! a kernel or a model, they say how far from the limit it is, whatever else the machine is doing.

use crate::isa::{Isa, Level, Op};
use std::hint::black_box;
use std::time::Instant;

/// Multiply-accumulates of small integers per second on one thread, with operands in registers: four-bit weights times signed bytes, as
/// the kernels do them.
pub fn integer_peak(level: Level) -> f64 {
    let lanes = level.run(LanesOf);
    let macs = (STEPS * CHAINS * 4 * lanes) as f64;
    macs / best_seconds(20, || level.run(IntegerChains))
}

/// f32 multiply-accumulates per second on one thread, with operands in registers.
pub fn f32_peak(level: Level) -> f64 {
    let lanes = level.run(LanesOf);
    let macs = (STEPS * CHAINS * lanes) as f64;
    macs / best_seconds(20, || level.run(FloatChains))
}

/// Bytes per second that `threads` threads read together from memory, beyond all caches.
pub fn read_bandwidth(level: Level, threads: usize) -> f64 {
    let threads = threads.max(1);
    let memory = vec![1i32; BUFFER / size_of::<i32>()];
    let part = memory.len().div_ceil(threads);
    let seconds = best_seconds(5, || {
        std::thread::scope(|scope| {
            for part in memory.chunks(part) {
                scope.spawn(move || black_box(level.run(Read(part))));
            }
        });
    });
    size_of_val(memory.as_slice()) as f64 / seconds
}

/// Bytes to read: more than a laptop's last cache.
const BUFFER: usize = 256 << 20;
/// Sums that do not wait for each other; enough to hide the latency.
const CHAINS: usize = 10;
/// Products added to each, about a tenth of a millisecond's worth.
const STEPS: usize = 1 << 14;

/// The shortest of some runs: the one that was disturbed least.
fn best_seconds<T>(runs: usize, mut run: impl FnMut() -> T) -> f64 {
    let time = |_| {
        let start = Instant::now();
        black_box(run());
        start.elapsed().as_secs_f64()
    };
    (0..runs).map(time).fold(f64::INFINITY, f64::min)
}

struct LanesOf;

impl Op for LanesOf {
    type Output = usize;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> usize {
        I::LANES
    }
}

struct IntegerChains;

impl Op for IntegerChains {
    type Output = i32;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> i32 {
        const BITS: u32 = 4;
        let weights = isa.splat_i32(black_box(0x0102_0304));
        let activations = black_box(0x0101_01ff);
        let mut totals = [isa.splat_i32(0); CHAINS];
        for _ in 0..STEPS / I::steps(BITS) {
            let mut sums = [isa.start(BITS, totals[0]); CHAINS];
            for (sum, total) in sums.iter_mut().zip(totals) {
                *sum = isa.start(BITS, total);
            }
            for _ in 0..I::steps(BITS) {
                for sum in &mut sums {
                    *sum = isa.dot(BITS, *sum, weights, activations);
                }
            }
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = isa.finish(BITS, *total, sum);
            }
        }
        totals.into_iter().fold(0, |all, total| all ^ isa.reduce_i32(total))
    }
}

struct FloatChains;

impl Op for FloatChains {
    type Output = f32;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> f32 {
        let (a, b) = (isa.splat(black_box(0.999)), isa.splat(black_box(1e-3)));
        let mut sums = [b; CHAINS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = isa.mul_add(*sum, a, b);
            }
        }
        sums.into_iter().fold(0.0, |all, sum| all + isa.reduce_add(sum))
    }
}

/// Adds up all numbers, with several loads in flight.
struct Read<'a>(&'a [i32]);

impl Op for Read<'_> {
    type Output = i32;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> i32 {
        let mut sums = [isa.splat_i32(0); 4];
        for part in self.0.chunks_exact(4 * I::LANES) {
            for (sum, part) in sums.iter_mut().zip(part.chunks_exact(I::LANES)) {
                *sum = isa.add_i32(*sum, isa.load_i32(part));
            }
        }
        sums.into_iter().fold(0, |all, sum| all ^ isa.reduce_i32(sum))
    }
}
