//! Every block format against others' code: weights against the `gguf` Python package bit for bit, quantised bytes against
//! llama.cpp's. `reference/make_formats.py` made the fixtures.

use kinglet_quant::format::unpack;
use kinglet_quant::{FormatError, Matrix, Type, dequantize, quantize, quantize_into};
use proptest::prelude::*;
use std::path::Path;

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn floats(name: &str) -> Vec<f32> {
    fixture(name).as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn file(ty: Type, ending: &str) -> String {
    format!("{}.{ending}", ty.name().to_lowercase())
}

fn weights_of(ty: Type, bytes: &[u8]) -> Vec<f32> {
    let mut out = vec![0.0; bytes.len() / ty.block_bytes() * ty.block_len()];
    dequantize(ty, bytes, &mut out).unwrap();
    out
}

fn rms(errors: impl Iterator<Item = f32>) -> f64 {
    let (sum, n) = errors.fold((0.0, 0), |(sum, n), e| (sum + f64::from(e) * f64::from(e), n + 1));
    (sum / f64::from(n)).sqrt()
}

fn writable() -> impl Iterator<Item = Type> {
    Type::ALL.iter().copied().filter(|ty| ty.can_quantize())
}

#[test]
fn weights_are_bit_for_bit_those_of_the_gguf_package() {
    for &ty in Type::ALL {
        let (ours, theirs) = (weights_of(ty, &fixture(&file(ty, "blocks"))), floats(&file(ty, "f32")));
        assert_eq!(ours.len(), theirs.len(), "{}", ty.name());
        for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert_eq!(ours.to_bits(), theirs.to_bits(), "{} weight {i}: {ours:e}, expected {theirs:e}", ty.name());
        }
    }
}

#[test]
fn quantised_rows_are_those_of_llama_cpp() {
    let weights = floats("weights.f32");
    for ty in writable().filter(|&ty| ty != Type::F32) {
        let (ours, theirs) = (quantize(ty, &weights).unwrap(), fixture(&file(ty, "quantized")));
        assert_eq!(ours.len(), theirs.len(), "{}", ty.name());
        if ty.block_len() <= 32 {
            assert!(ours == theirs, "{}: other bytes", ty.name());
        }
        // K-quants: the same scales and the same weights. Integers that a zero scale multiplies may differ, and the zero's sign with them.
        assert_eq!(weights_of(ty, &ours), weights_of(ty, &theirs), "{}", ty.name());
    }
}
