//! How fast every format multiplies on one thread, beside what the machine can do at most, measured in the same run.
//!
//! ```text
//! cargo bench -p kinglet-quant -- [level …] [format …]        as in: -- avx2 Q4_1 Q8_0
//! ```
//!
//! *Prefill* is a batch of 512 rows through a [1536, 576] matrix (768 columns where blocks are of 256), in 10⁹ multiply-accumulates per
//! second with the activations' quantisation included. *Decode* is one row through a matrix that no cache holds, in 10⁹ bytes of
//! weights per second.

use kinglet_quant::isa::Level;
use kinglet_quant::{Activations, Batch, ColumnsMut, Input, InputKind, Matrix, Scratch, Type, Write, limits, multiply, wants};

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
        println!("{:8} {:>16} {:>6} {:>14} {:>6}", "", "prefill GMAC/s", "", "decode GB/s", "");
        for &ty in &types {
            let peak = if wants(ty) == InputKind::Dense { float } else { integer };
            let (prefill, decode) = (prefill(level, ty), decode(level, ty));
            let part = |x: f64, of: f64| format!("{:.0} %", 100.0 * x / of);
            println!("{:8} {prefill:16.1} {:>6} {decode:14.1} {:>6}", ty.name(), part(prefill, peak), part(decode, bandwidth));
        }
    }
}

fn prefill(level: Level, ty: Type) -> f64 {
    let (rows, cols, batch) = (1536, if ty.block_len() == 256 { 768 } else { 576 }, 512);
    let bytes = weights(ty, rows * cols);
    let w = Matrix::new(ty, rows, cols, &bytes).expect("whole blocks");
    let x: Vec<f32> = (0..batch * cols).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    let (mut activations, mut scratch) = (Activations::new(), Scratch::new());
    let mut out = vec![0.0; batch * rows];
    let mut best = f64::INFINITY;
    for _ in 0..40 {
        best = best.min(limits::median_seconds(std::iter::once(|| {
            activations.quantize(level, &x, cols);
            let batch = Batch { input: input(ty, &activations, &x), rows: None };
            multiply(level, &w, batch, Write::Set, &mut ColumnsMut::new(&mut out, rows), &mut scratch);
        })));
    }
    (rows * cols * batch) as f64 / best / 1e9
}

fn decode(level: Level, ty: Type) -> f64 {
    let cols = if ty.block_len() == 256 { 768 } else { 576 };
    let row_bytes = ty.bytes_for(cols).expect("whole blocks");
    let (rows, pieces) = ((1 << 20) / row_bytes, 128);
    let bytes = weights(ty, pieces * rows * cols);
    let x: Vec<f32> = (0..cols).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    let (mut activations, mut scratch) = (Activations::new(), Scratch::new());
    activations.quantize(level, &x, cols);
    let batch = Batch { input: input(ty, &activations, &x), rows: None };
    let mut out = vec![0.0; rows];
    let mut best = f64::INFINITY;
    for _ in 0..2 {
        let mut pieces = bytes.chunks_exact(rows * row_bytes);
        let mut times = Vec::new();
        for piece in &mut pieces {
            let w = Matrix::new(ty, rows, cols, piece).expect("whole blocks");
            times.push(limits::median_seconds(std::iter::once(|| {
                multiply(level, &w, batch, Write::Set, &mut ColumnsMut::new(&mut out, rows), &mut scratch);
            })));
        }
        times.sort_by(f64::total_cmp);
        best = best.min(times[times.len() / 2]);
    }
    (rows * row_bytes) as f64 / best / 1e9
}

fn input<'a>(ty: Type, activations: &'a Activations, x: &'a [f32]) -> Input<'a> {
    if wants(ty) == InputKind::Dense { Input::Dense(x) } else { Input::Quantised(activations) }
}

/// Bytes that are small numbers in every format.
fn weights(ty: Type, weights: usize) -> Vec<u8> {
    (0..ty.bytes_for(weights).expect("whole blocks")).map(|i| (i * 7 % 59) as u8).collect()
}
