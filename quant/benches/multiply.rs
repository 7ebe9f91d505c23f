//! How fast every format multiplies, beside what the machine can do at most, measured in the same run: the tables of
//! `docs/formats-benchmark.md`.
//!
//! ```text
//! cargo bench -p kinglet-quant --bench multiply -- [level …] [format …]        as in: -- avx2 Q4_1 Q8_0
//! ```
//!
//! *Decode* is one row of activations, in 10⁹ bytes of weights per second: through weights that no cache holds, on one thread and on all,
//! where each thread multiplies with a piece and only reads the next one by turns, so that both meet the same machine; the share is
//! of that reading. *Cached* is the same through one matrix of some hundred KB again and again, the fastest time: what decode would
//! reach with a memory that costs nothing. *Prefill* is a batch of 512 rows on one thread, in 10⁹ multiply-accumulates per second with
//! the activations' quantisation included; the share is of the multiplier's peak, f32's for float weights.
//!
//! Each is measured with rows of two lengths: those of a small model (576, or 768 where blocks are of 256) and those of an 8B
//! model (4096).

use kinglet_quant::isa::{Isa, Level, Op};
use kinglet_quant::{Activations, Batch, ColumnsMut, Input, InputKind, Matrix, Scratch, Type, Write, limits, multiply, wants};
use std::hint::black_box;
use std::time::Instant;

/// Weights for decode: more than any cache holds.
const MEMORY: usize = 128 << 20;
/// Bytes that are timed together: so few that most of the time no other process comes between.
const PIECE: usize = 1 << 20;
/// Rows of a prefill.
const BATCH: usize = 512;

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let named = |name: &str| asked.iter().any(|asked| asked.eq_ignore_ascii_case(name));
    let levels: Vec<Level> = Level::available().into_iter().filter(|level| named(level.name())).collect();
    let levels = if levels.is_empty() { vec![Level::detect().expect("a level of this CPU")] } else { levels };
    let types: Vec<Type> = Type::ALL.iter().copied().filter(|ty| named(ty.name())).collect();
    let types = if types.is_empty() { Type::ALL.to_vec() } else { types };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    for level in levels {
        let (integer, float) = (limits::integer_peak(level) / 1e9, limits::f32_peak(level) / 1e9);
        let reads = [1, threads].map(|threads| limits::read_bandwidth(level, threads) / 1e9);
        println!(
            "\n`{level}`: {integer:.0} GMAC/s of 4-bit integers, {float:.0} of f32 on one thread; memory reads at {:.0} GB/s on one",
            reads[0]
        );
        println!("thread and {:.0} GB/s on {threads}.\n", reads[1]);
        println!(
            "| | decode, short rows, 1 thread | {threads} threads | long rows, 1 thread | {threads} threads | cached \
             | prefill, short | long |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        for &ty in &types {
            let peak = if wants(ty) == InputKind::Dense { float } else { integer };
            let memory = weights(ty, MEMORY);
            let short = if ty.block_len() == 256 { 768 } else { 576 };
            print!("| {} |", ty.name());
            for cols in [short, 4096] {
                for threads in [1, threads] {
                    let (multiplied, read) = decode(level, ty, cols, &memory, threads);
                    print!(" {multiplied:.1} ({:.0} %) |", 100.0 * multiplied / read);
                }
            }
            print!(" {:.1} |", cached(level, ty, short, &memory));
            for cols in [short, 4096] {
                let prefill = prefill(level, ty, cols, &memory);
                print!(" {prefill:.0} ({:.0} %) |", 100.0 * prefill / peak);
            }
            println!();
        }
    }
}

/// 10⁹ bytes per second of all threads together: multiplied with one row, and only read.
fn decode(level: Level, ty: Type, cols: usize, memory: &[u8], threads: usize) -> (f64, f64) {
    let row_bytes = ty.bytes_for(cols).expect("whole blocks");
    let rows = PIECE / row_bytes;
    let piece_bytes = rows * row_bytes;
    let part = |memory: &[u8]| {
        let x = activations(cols);
        let (mut quantised, mut scratch, mut out) = (Activations::new(), Scratch::new(), vec![0.0; rows]);
        quantised.quantize(level, &x, cols);
        let batch = Batch { input: input(ty, &quantised, &x), rows: None };
        let (mut multiplied, mut read) = (Vec::new(), Vec::new());
        for pass in 0..4 {
            for (i, piece) in memory.chunks_exact(piece_bytes).enumerate() {
                // Some pieces in a row of each kind, as what the first one finds in the caches is due to the kind before.
                if (i / 8 + pass) % 2 == 0 {
                    let w = Matrix::new(ty, rows, cols, piece).expect("whole blocks");
                    let out = &mut ColumnsMut::new(&mut out, rows);
                    multiplied.push(seconds(|| multiply(level, &w, batch, Write::Set, out, &mut scratch)));
                } else {
                    read.push(seconds(|| _ = black_box(level.run(Read(piece)))));
                }
            }
        }
        [multiplied, read].map(|times| piece_bytes as f64 / median(times) / 1e9)
    };
    std::thread::scope(|scope| {
        let parts = memory.chunks(memory.len().div_ceil(threads));
        let threads: Vec<_> = parts.map(|memory| scope.spawn(move || part(memory))).collect();
        let parts = threads.into_iter().map(|thread| thread.join().expect("multiplying does not panic"));
        parts.fold((0.0, 0.0), |all, part| (all.0 + part[0], all.1 + part[1]))
    })
}

/// 10⁹ bytes per second from the second cache.
fn cached(level: Level, ty: Type, cols: usize, memory: &[u8]) -> f64 {
    let rows = 512;
    let bytes = &memory[..ty.bytes_for(rows * cols).expect("whole blocks")];
    let w = Matrix::new(ty, rows, cols, bytes).expect("whole blocks");
    let x = activations(cols);
    let (mut quantised, mut scratch, mut out) = (Activations::new(), Scratch::new(), vec![0.0; rows]);
    quantised.quantize(level, &x, cols);
    let batch = Batch { input: input(ty, &quantised, &x), rows: None };
    let runs = (0..3000).map(|_| seconds(|| multiply(level, &w, batch, Write::Set, &mut ColumnsMut::new(&mut out, rows), &mut scratch)));
    bytes.len() as f64 / runs.fold(f64::INFINITY, f64::min) / 1e9
}

/// 10⁹ multiply-accumulates per second of a batch through a matrix of 1536 rows, of which some at a time are timed.
fn prefill(level: Level, ty: Type, cols: usize, memory: &[u8]) -> f64 {
    // A piece takes about half a millisecond.
    let slice = if cols < 1024 { 192 } else { 32 } / if wants(ty) == InputKind::Dense { 4 } else { 1 };
    let rows = 1536;
    let w = Matrix::new(ty, slice, cols, &memory[..ty.bytes_for(slice * cols).expect("whole blocks")]).expect("whole blocks");
    let x = activations(BATCH * cols);
    let (mut quantised, mut scratch, mut out) = (Activations::new(), Scratch::new(), vec![0.0; BATCH * rows]);
    let quantise = median((0..20).map(|_| seconds(|| quantised.quantize(level, &x, cols))).collect());
    let batch = Batch { input: input(ty, &quantised, &x), rows: None };
    let multiply = median(
        (0..100)
            .map(|i| {
                let (_, out) = ColumnsMut::new(&mut out, rows).split_at(i % (rows / slice) * slice);
                let (mut out, _) = out.split_at(slice);
                seconds(|| multiply(level, &w, batch, Write::Set, &mut out, &mut scratch))
            })
            .collect(),
    );
    let quantise = if wants(ty) == InputKind::Dense { 0.0 } else { quantise };
    (rows * cols * BATCH) as f64 / (quantise + (rows / slice) as f64 * multiply) / 1e9
}

/// Reads bytes that may be weights: the same memory, so that it's only the multiplying that differs.
struct Read<'a>(&'a [u8]);

impl Op for Read<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> f32 {
        let mut largest = [isa.splat(0.0); 4];
        for part in self.0.chunks_exact(16 * I::LANES) {
            for (largest, part) in largest.iter_mut().zip(part.chunks_exact(4 * I::LANES)) {
                *largest = isa.max(isa.load_f32_bytes(part), *largest);
            }
        }
        largest.into_iter().fold(0.0, |all, one| all.max(isa.reduce_max(one)))
    }
}

/// How long `run` takes.
fn seconds(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

/// The median of many short pieces: what a piece takes undisturbed, also on a machine that others use.
fn median(mut pieces: Vec<f64>) -> f64 {
    pieces.sort_by(f64::total_cmp);
    pieces[pieces.len() / 2]
}

fn activations(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect()
}

fn input<'a>(ty: Type, activations: &'a Activations, x: &'a [f32]) -> Input<'a> {
    if wants(ty) == InputKind::Dense { Input::Dense(x) } else { Input::Quantised(activations) }
}

/// Bytes that are numbers in every format. Where they are exponents they are moved up: subnormal products would be what is measured,
/// which take an Intel CPU a hundred times as long.
fn weights(ty: Type, bytes: usize) -> Vec<u8> {
    let lowest = match ty {
        Type::MXFP4 => 64,
        Type::F32 | Type::F16 | Type::BF16 => 48,
        _ => 0,
    };
    (0..bytes).map(|i| lowest + (i * 7 % 59) as u8).collect()
}
