//! How fast every format multiplies on one thread, beside what the machine can do at most, measured in the same run.
//!
//! ```text
//! cargo bench -p kinglet-quant -- [level …] [format …]        as in: -- avx2 Q4_1 Q8_0
//! ```
//!
//! *Prefill* is a batch of 512 rows through a [1536, 576] matrix (768 columns where blocks are of 256), in 10⁹ multiply-accumulates per
//! second with the activations' quantisation included. *Decode* is one row through a matrix that no cache holds, in 10⁹ bytes of
//! weights per second; *cached* is the same through one of 160 to 560 KB again and again, the fastest time of 3000: what decode would
//! reach with a memory that costs nothing.

use kinglet_quant::isa::Level;
use kinglet_quant::{Activations, Batch, ColumnsMut, Input, InputKind, Matrix, Scratch, Type, Write, limits, multiply, wants};
use std::time::Instant;

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let named = |name: &str| asked.iter().any(|asked| asked.eq_ignore_ascii_case(name));
    let levels: Vec<Level> = Level::available().into_iter().filter(|level| named(level.name())).collect();
    let levels = if levels.is_empty() { vec![Level::detect().expect("a level of this CPU")] } else { levels };
    let types: Vec<Type> = Type::ALL.iter().copied().filter(|ty| named(ty.name())).collect();
    let types = if types.is_empty() { Type::ALL.to_vec() } else { types };
    for level in levels {
        let bandwidth = limits::read_bandwidth(level, 1) / 1e9;
        let (integer, float) = (limits::integer_peak(level) / 1e9, limits::f32_peak(level) / 1e9);
        println!("{level}, one thread: {integer:.0} GMAC/s of 4-bit integers, {float:.0} of f32; reads {bandwidth:.1} GB/s");
        println!("{:8} {:>16} {:>6} {:>14} {:>6} {:>14}", "", "prefill GMAC/s", "", "decode GB/s", "", "cached GB/s");
        for &ty in &types {
            let peak = if wants(ty) == InputKind::Dense { float } else { integer };
            let (prefill, decode, cached) = (prefill(level, ty), decode(level, ty), cached(level, ty));
            let part = |x: f64, of: f64| format!("{:.0} %", 100.0 * x / of);
            let (of_peak, of_bandwidth) = (part(prefill, peak), part(decode, bandwidth));
            println!("{:8} {prefill:16.1} {of_peak:>6} {decode:14.1} {of_bandwidth:>6} {cached:14.1}", ty.name());
        }
    }
}

fn prefill(level: Level, ty: Type) -> f64 {
    let (rows, cols, batch) = (1536, columns(ty), 512);
    let slice = rows / 8;
    let bytes = weights(ty, slice * cols);
    let w = Matrix::new(ty, slice, cols, &bytes).expect("whole blocks");
    let x: Vec<f32> = (0..batch * cols).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    let (mut activations, mut scratch) = (Activations::new(), Scratch::new());
    let quantise = median((0..50).map(|_| seconds(|| activations.quantize(level, &x, cols))));
    let mut out = vec![0.0; batch * rows];
    let batch_of = Batch { input: input(ty, &activations, &x), rows: None };
    let multiply = median((0..100).map(|i| {
        let (_, out) = ColumnsMut::new(&mut out, rows).split_at(i % 8 * slice);
        let (mut out, _) = out.split_at(slice);
        seconds(|| multiply(level, &w, batch_of, Write::Set, &mut out, &mut scratch))
    }));
    let quantise = if wants(ty) == InputKind::Dense { 0.0 } else { quantise };
    (rows * cols * batch) as f64 / (quantise + 8.0 * multiply) / 1e9
}

fn decode(level: Level, ty: Type) -> f64 {
    let cols = columns(ty);
    let row_bytes = ty.bytes_for(cols).expect("whole blocks");
    let (rows, pieces) = ((1 << 20) / row_bytes, 128);
    let bytes = weights(ty, pieces * rows * cols);
    let x: Vec<f32> = (0..cols).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    let (mut activations, mut scratch) = (Activations::new(), Scratch::new());
    activations.quantize(level, &x, cols);
    let batch = Batch { input: input(ty, &activations, &x), rows: None };
    let mut out = vec![0.0; rows];
    let seconds = median(bytes.chunks_exact(rows * row_bytes).map(|piece| {
        let w = Matrix::new(ty, rows, cols, piece).expect("whole blocks");
        seconds(|| multiply(level, &w, batch, Write::Set, &mut ColumnsMut::new(&mut out, rows), &mut scratch))
    }));
    (rows * row_bytes) as f64 / seconds / 1e9
}

fn cached(level: Level, ty: Type) -> f64 {
    let (rows, cols) = (512, if ty.block_len() == 256 { 1024 } else { 576 });
    let bytes = weights(ty, rows * cols);
    let w = Matrix::new(ty, rows, cols, &bytes).expect("whole blocks");
    let x: Vec<f32> = (0..cols).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    let (mut activations, mut scratch) = (Activations::new(), Scratch::new());
    activations.quantize(level, &x, cols);
    let batch = Batch { input: input(ty, &activations, &x), rows: None };
    let mut out = vec![0.0; rows];
    let runs = (0..3000).map(|_| seconds(|| multiply(level, &w, batch, Write::Set, &mut ColumnsMut::new(&mut out, rows), &mut scratch)));
    bytes.len() as f64 / runs.fold(f64::INFINITY, f64::min) / 1e9
}

/// Columns of the test matrices.
fn columns(ty: Type) -> usize {
    if ty.block_len() == 256 { 768 } else { 576 }
}

/// How long `run` takes.
fn seconds(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

/// The median of many short pieces: what a piece takes undisturbed, also on a machine that others use.
fn median(pieces: impl Iterator<Item = f64>) -> f64 {
    let mut pieces: Vec<f64> = pieces.collect();
    pieces.sort_by(f64::total_cmp);
    pieces[pieces.len() / 2]
}

fn input<'a>(ty: Type, activations: &'a Activations, x: &'a [f32]) -> Input<'a> {
    if wants(ty) == InputKind::Dense { Input::Dense(x) } else { Input::Quantised(activations) }
}

/// Bytes that are small numbers in every format. MXFP4's exponents are moved up: subnormal products would be what is measured.
fn weights(ty: Type, weights: usize) -> Vec<u8> {
    let lowest = if ty == Type::MXFP4 { 64 } else { 0 };
    (0..ty.bytes_for(weights).expect("whole blocks")).map(|i| lowest + (i * 7 % 59) as u8).collect()
}
