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

/// Root mean square error, in percent of σ, that docs/quantisation.md states for normally distributed weights.
const DOCUMENTED_ERROR: [(Type, f64); 11] = [
    (Type::F32, 0.0),
    (Type::F16, 0.021),
    (Type::BF16, 0.166),
    (Type::Q8_0, 0.536),
    (Type::Q6_K, 1.77),
    (Type::Q5_K, 3.61),
    (Type::Q5_1, 3.78),
    (Type::Q5_0, 4.28),
    (Type::Q4_K, 7.14),
    (Type::Q4_1, 7.82),
    (Type::Q4_0, 8.60),
];

/// `n` numbers with mean 0 and σ 1, by Box and Muller's method over a linear congruence; the same ones each time.
fn gaussian(n: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    (0..n).map(|_| ((-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()) as f32).collect()
}

#[test]
fn the_error_on_gaussian_weights_is_the_documented_one() {
    let weights = gaussian(64 * 1024);
    for (ty, documented) in DOCUMENTED_ERROR {
        let back = weights_of(ty, &quantize(ty, &weights).unwrap());
        let percent = 100.0 * rms(back.iter().zip(&weights).map(|(back, w)| back - w));
        assert!((percent - documented).abs() <= 0.02 * documented, "{}: {percent:.4} %, documented {documented} %", ty.name());
    }
}

#[test]
fn a_row_may_be_quantised_in_parts() {
    let weights = gaussian(1024);
    for ty in writable() {
        let whole = quantize(ty, &weights).unwrap();
        let mut parts = vec![0; whole.len()];
        for (weights, out) in weights.chunks(256).zip(parts.chunks_mut(ty.bytes_for(256).unwrap())) {
            quantize_into(ty, weights, out).unwrap();
        }
        assert!(parts == whole, "{}", ty.name());
    }
}

#[test]
fn floats_survive_the_way_there_and_back() {
    for ty in [Type::F16, Type::BF16] {
        let finite = |bits: &u16| weights_of(ty, &bits.to_le_bytes())[0].is_finite();
        let all: Vec<u8> = (0..=u16::MAX).filter(finite).flat_map(u16::to_le_bytes).collect();
        assert!(quantize(ty, &weights_of(ty, &all)).unwrap() == all, "{}", ty.name());
    }
}

#[test]
fn unpacked_blocks_are_the_weights() {
    for &ty in Type::ALL.iter().filter(|ty| ty.block_len() > 1) {
        let bytes = fixture(&file(ty, "blocks"));
        let expected = weights_of(ty, &bytes);
        for (i, expected) in expected.chunks(32).enumerate() {
            let unpacked = unpack(ty, &bytes, i).unwrap();
            for (k, expected) in expected.iter().enumerate() {
                // Not by `weights()`: the documented formula, written out.
                let h = k / 16;
                let scale = unpacked.scale * unpacked.sub_scale[h] as f32;
                let min = unpacked.min * unpacked.sub_min[h] as f32;
                let weight = scale * (i32::from(unpacked.q[k]) - unpacked.offset) as f32 + min;
                assert_eq!(weight.to_bits(), expected.to_bits(), "{} block {i} weight {k}", ty.name());
            }
        }
        assert_eq!(unpack(ty, &bytes, expected.len() / 32), None, "{} ends", ty.name());
    }
    assert_eq!(unpack(Type::F16, &[0; 64], 0), None, "a float type has no blocks");
}

#[test]
fn wrong_sizes_are_refused() {
    for &ty in Type::ALL {
        let (weights, bytes) = (2 * ty.block_len(), 2 * ty.block_bytes());
        for found in [0, 1, bytes - 1, bytes + 1, 2 * bytes] {
            let error = dequantize(ty, &vec![0; found], &mut vec![0.0; weights]).unwrap_err();
            assert_eq!(error, FormatError::WrongSize { ty, weights, expected: bytes, found });
        }
        if ty.block_len() > 1 {
            let error = dequantize(ty, &vec![0; bytes], &mut vec![0.0; weights - 1]).unwrap_err();
            assert_eq!(error, FormatError::PartBlock { ty, weights: weights - 1 });
            assert!(quantize(ty, &vec![0.0; weights - 1]).is_err(), "{}", ty.name());
        }
        assert!(quantize_into(ty, &vec![0.0; weights], &mut vec![0; bytes + 1]).is_err(), "{}", ty.name());
        assert_eq!(dequantize(ty, &[], &mut []), Ok(()), "{}: nothing is fine", ty.name());
    }
}

#[test]
fn a_row_of_a_matrix_is_read_alone() {
    let bytes = fixture("q5_1.blocks");
    let matrix = Matrix::new(Type::Q5_1, bytes.len() / 24, 32, &bytes).unwrap();
    let mut row = [0.0; 32];
    matrix.dequantize_row(3, &mut row).unwrap();
    assert_eq!(row, floats("q5_1.f32")[96..128]);
    let error = matrix.dequantize_row(0, &mut [0.0; 64]).unwrap_err();
    assert_eq!(error.to_string(), "64 weights of type Q5_1 are 48 bytes, found 24");
}

#[test]
fn weights_that_are_no_numbers_are_refused_by_place() {
    for ty in writable() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut weights = [0.5; 256];
            weights[77] = bad;
            let error = quantize(ty, &weights).unwrap_err();
            assert!(matches!(error, FormatError::OutOfRange { index: 77, .. }), "{}: {error}", ty.name());
        }
    }
    let error = quantize(Type::F16, &[70000.0]).unwrap_err();
    assert_eq!(error.to_string(), "weight 0 is 70000; F16 holds finite numbers up to 6.5504e4");
}

#[test]
fn types_that_are_only_read_say_which_are_written() {
    let error = quantize(Type::Q2_K, &[0.0; 256]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Q2_K can be read but not written; choose one of F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K"
    );
}

#[test]
fn types_are_found_by_number_and_name() {
    for &ty in Type::ALL {
        assert_eq!(Type::from_id(ty.id()), Ok(ty));
        assert_eq!(Type::from_name(ty.name()), Ok(ty));
        assert_eq!(Type::from_name(&ty.name().to_lowercase()), Ok(ty));
    }
}

#[test]
fn unknown_types_are_named_with_what_would_help() {
    let by_id = |id| Type::from_id(id).unwrap_err().to_string();
    let by_name = |name| Type::from_name(name).unwrap_err().to_string();
    for (message, parts) in [
        (by_id(19), ["type 19 (IQ1_S) is an i-quant", "llama-quantize"]),
        (by_id(35), ["type 35 (TQ2_0) is a ternary type", "llama-quantize"]),
        (by_id(40), ["type 40 (NVFP4)", "MXFP4"]),
        (by_id(31), ["type 31 (Q4_0_4_4)", "take the model as Q4_0"]),
        (by_id(36), ["type 36 (IQ4_NL_4_4 or I2_S)", "BitNet"]),
        (by_id(42), ["type 42 (Q2_0)", "forks"]),
        (by_id(9), ["type 9 (Q8_1)", "no type for weights"]),
        (by_id(28), ["type 28 (F64)", "F16 or F32"]),
        (by_id(139), ["type 139 (IQ4_K)", "written by ik_llama.cpp"]),
        (by_id(212), ["type 212 (Q4_K_R4)", "without _R4"]),
        (by_id(u32::MAX), ["type 4294967295 is none", "Q4_K"]),
        (by_name("iq1_s"), ["type \"iq1_s\" is an i-quant", "llama-quantize"]),
        (by_name("I2_S"), ["type \"I2_S\"", "BitNet"]),
        (by_name("Q4_K_M"), ["type \"Q4_K_M\" is a mixture", "tensors are Q4_K"]),
        (by_name("nonsense"), ["type \"nonsense\" is unknown", "F32, F16"]),
        (by_name(""), ["is unknown", "F32, F16"]),
    ] {
        for part in parts {
            assert!(message.contains(part), "{message}");
        }
        assert!(!message.contains('\n') && !message.contains("  "), "{message}");
    }
}

/// How far a weight may be from what is read back, as a part of the largest magnitude in its block: a step, and the rounding of the
/// scales.
fn tolerance(ty: Type) -> f32 {
    match ty {
        Type::F32 => 0.0,
        Type::F16 => 0.0005,
        Type::BF16 => 0.004,
        Type::Q8_0 => 0.005,
        Type::Q6_K => 0.05,
        Type::Q5_0 | Type::Q5_1 | Type::Q5_K => 0.08,
        _ => 0.16,
    }
}

fn any_type() -> impl Strategy<Value = Type> {
    prop::sample::select(Type::ALL)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_reading_panic(ty in any_type(), bytes in prop::collection::vec(any::<u8>(), 0..700), weights in 0usize..700) {
        let _ = dequantize(ty, &bytes, &mut vec![0.0; weights]);
        let whole = bytes.len() / ty.block_bytes();
        let mut out = vec![0.0; whole * ty.block_len()];
        prop_assert_eq!(dequantize(ty, &bytes[..whole * ty.block_bytes()], &mut out), Ok(()));
        for block32 in 0..=bytes.len() / 16 {
            let _ = unpack(ty, &bytes, block32);
        }
    }

    #[test]
    fn no_weights_make_writing_panic_and_all_are_read_back_finite(
        ty in prop::sample::select(writable().collect::<Vec<_>>()),
        bits in prop::collection::vec(any::<u32>(), 256),
    ) {
        let weights: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
        let _ = quantize(ty, &weights);
        let fitting: Vec<f32> = weights.iter().map(|w| if w.abs() <= 65504.0 { *w } else { 0.0 }).collect();
        let back = weights_of(ty, &quantize(ty, &fitting).unwrap());
        prop_assert!(back.iter().all(|w| w.is_finite()), "{}", ty.name());
    }

    #[test]
    fn what_is_read_back_is_near(
        ty in prop::sample::select(writable().collect::<Vec<_>>()),
        weights in prop::collection::vec(-1.0f32..1.0, 256),
        // Half-float scales lose precision below: at 1e-5, Q6_K's scale of scales is among the smallest subnormals.
        exponent in -1i32..4,
    ) {
        let weights: Vec<f32> = weights.iter().map(|w| w * 10f32.powi(exponent)).collect();
        let back = weights_of(ty, &quantize(ty, &weights).unwrap());
        for (block, back) in weights.chunks(ty.block_len()).zip(back.chunks(ty.block_len())) {
            let largest = block.iter().fold(0.0f32, |m, w| m.max(w.abs()));
            let bound = tolerance(ty) * largest + 1e-5;
            for (w, back) in block.iter().zip(back) {
                prop_assert!((w - back).abs() <= bound, "{}: {w} came back as {back}, bound {bound}", ty.name());
            }
        }
    }
}
