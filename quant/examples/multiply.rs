//! Multiplies one matrix and does little else: for an emulator that counts instructions (`benches/arm_instructions`).
//!
//! ```text
//! cargo run --release -p kinglet-quant --example multiply -- FORMAT COLUMNS ROWS        at the level that KINGLET_ISA names
//! ```

use kinglet_quant::{Activations, Batch, ColumnsMut, Input, InputKind, Level, Matrix, Scratch, Type, Write, multiply, wants};

/// How long a row is: as in an 8B model.
const LENGTH: usize = 4096;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [ty, columns, rows] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("three arguments are wanted: FORMAT COLUMNS ROWS".into());
    };
    let (ty, columns, rows) = (Type::from_name(ty)?, columns.parse()?, rows.parse()?);
    let level = Level::detect()?;
    let weights = vec![0; ty.bytes_for(rows * LENGTH).expect("whole blocks")];
    let w = Matrix::new(ty, rows, LENGTH, &weights).expect("whole blocks");
    // All columns are the same, so that more of them mean more multiplications alone.
    let (x, same) = ([0.0; LENGTH], vec![0; columns]);
    let mut quantised = Activations::new();
    quantised.quantize(level, &x, LENGTH);
    let input = if wants(ty) == InputKind::Dense { Input::Dense(&x) } else { Input::Quantised(&quantised) };
    let batch = Batch { input, rows: Some(&same) };
    let mut out = vec![0.0; columns * rows];
    multiply(level, &w, batch, Write::Set, &mut ColumnsMut::new(&mut out, rows), &mut Scratch::new());
    Ok(())
}
