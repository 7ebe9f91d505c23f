//! What this machine can do at most: integer and f32 multiply-accumulates of one thread, and reading memory. Measured in the same run as
//! a kernel or a model, they say how far from the limit it is, whatever else the machine is doing.

use crate::isa::{Isa, LINE, Level, Op};
use crate::kernel::AHEAD;
use std::hint::black_box;
use std::time::Instant;

/// Multiply-accumulates of small integers per second on one thread, with operands in registers: four-bit weights times signed bytes, as
/// the kernels do them.
pub fn integer_peak(level: Level) -> f64 {
    let lanes = level.run(LanesOf);
    let macs = (STEPS * CHAINS * 4 * lanes) as f64;
    macs / median_seconds((0..50).map(|_| || level.run(IntegerChains)))
}

/// f32 multiply-accumulates per second on one thread, with operands in registers.
pub fn f32_peak(level: Level) -> f64 {
    let lanes = level.run(LanesOf);
    let macs = (STEPS * CHAINS * lanes) as f64;
    macs / median_seconds((0..50).map(|_| || level.run(FloatChains)))
}

/// Bytes per second that `threads` threads read together from memory of small pages, beyond all caches.
pub fn read_bandwidth(level: Level, threads: usize) -> f64 {
    read_bandwidth_of(level, threads, &vec![1; BUFFER])
}

/// As [`read_bandwidth`], from memory of the caller's ([`BUFFER`] bytes in huge pages, say, or as many as a model's weights have, which a
/// large last cache may hold), again and again; at least a megabyte for each thread. The better of two ways to read counts: leaving what
/// comes next to the CPU, or asking for it as decode does.
pub fn read_bandwidth_of(level: Level, threads: usize, memory: &[u8]) -> f64 {
    let threads = threads.max(1);
    let read = |part: &[u8], fetched: bool| {
        let pieces = (0..ROUNDS).flat_map(|_| (0..part.len() / PIECE).map(|piece| Read { memory: part, at: piece * PIECE, fetched }));
        PIECE as f64 / median_seconds(pieces.map(|piece| || level.run_vectors(piece)))
    };
    std::thread::scope(|scope| {
        let parts = memory.chunks(memory.len().div_ceil(threads));
        let readers: Vec<_> = parts.map(|part| scope.spawn(move || read(part, false).max(read(part, true)))).collect();
        readers.into_iter().map(|reader| reader.join().expect("reading memory does not panic")).sum()
    })
}

/// How often all of it is read: some tens of milliseconds, so that the threads' beginning and end don't count.
const ROUNDS: usize = 2;
/// Bytes to read: more than a laptop's last cache.
pub const BUFFER: usize = 256 << 20;
/// Bytes that are timed together: too few for another process to come between most of the time.
pub const PIECE: usize = 1 << 20;
/// Sums that do not wait for each other; enough to hide the latency.
const CHAINS: usize = 10;
/// Products added to each, about a tenth of a millisecond's worth.
const STEPS: usize = 1 << 14;

/// The median of the pieces' times. On a machine that others use too, it is what a piece takes undisturbed, as long as it is short.
fn median_seconds<T>(pieces: impl Iterator<Item = impl FnOnce() -> T>) -> f64 {
    let mut seconds: Vec<f64> = pieces
        .map(|piece| {
            let start = Instant::now();
            black_box(piece());
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
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
        const ROWS: usize = 2;
        let operands = [0x0102_0304; 8 * ROWS * 16];
        let activations = [0x0101_01ff; 8 * (CHAINS / ROWS)];
        let mut totals = [isa.splat_i32(0); CHAINS];
        for _ in 0..STEPS / I::steps(BITS) {
            // As in a kernel's tile: two vectors of rows times five columns, from the first cache.
            let (operands, activations) = (black_box(&operands), black_box(&activations));
            let mut sums = [isa.start(BITS, totals[0]); CHAINS];
            for (sum, total) in sums.iter_mut().zip(totals) {
                *sum = isa.start(BITS, total);
            }
            for t in 0..I::steps(BITS) {
                for v in 0..ROWS {
                    let weights = isa.load_i32(&operands[(t * ROWS + v) * I::LANES..]);
                    for c in 0..CHAINS / ROWS {
                        let sum = &mut sums[c * ROWS + v];
                        *sum = isa.dot(BITS, *sum, weights, activations[8 * c + t]);
                    }
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

/// Adds up a piece of memory as if it were numbers, with several loads in flight.
struct Read<'a> {
    memory: &'a [u8],
    at: usize,
    /// Whether what comes next is asked for.
    fetched: bool,
}

impl Op for Read<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> f32 {
        const LINES: usize = 4;
        let Read { memory, at, fetched } = self;
        let vector = I::LANES * size_of::<f32>();
        let mut sums = [isa.splat(0.0); LINES * LINE / (8 * size_of::<f32>())];
        for from in (at..at + PIECE).step_by(LINES * LINE) {
            if fetched {
                isa.prefetch(memory, from + AHEAD, LINES, false);
            }
            let lines = &memory[from..from + LINES * LINE];
            for (sum, part) in sums.iter_mut().zip(lines.chunks_exact(vector)) {
                *sum = isa.add(*sum, isa.load_f32_bytes(part));
            }
        }
        sums.into_iter().fold(0.0, |all, sum| all + isa.reduce_add(sum))
    }
}
