//! The kernels of every level that this machine has, for every format: against the order of accumulation written down plainly, against
//! f64, and against themselves with other batches and cuts.

use half::f16;
use kinglet_quant::format::unpack;
use kinglet_quant::kernel::{Block, quantize};
use kinglet_quant::{Activations, Batch, ColumnsMut, Input, InputKind, Level, Matrix, Scratch, Type, Write};
use kinglet_quant::{dequantize, multiply, multiply_reference, wants};
use std::ops::Range;

/// A small generator of test numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between −1 and 1.
    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Where a block has half floats, which must not be random bits.
fn half_floats(ty: Type) -> &'static [usize] {
    match ty {
        Type::F32 | Type::F16 | Type::BF16 | Type::MXFP4 => &[],
        Type::Q4_1 | Type::Q5_1 | Type::Q4_K | Type::Q5_K => &[0, 2],
        Type::Q2_K => &[80, 82],
        Type::Q3_K => &[108],
        Type::Q6_K => &[208],
        Type::Q4_0 | Type::Q5_0 | Type::Q8_0 | Type::IQ4_NL | Type::IQ4_XS => &[0],
    }
}

/// Bytes of `[rows, cols]` weights: random fields, and now and then a block of extreme ones.
fn random_weights(ty: Type, rows: usize, cols: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = vec![0; ty.bytes_for(rows * cols).unwrap()];
    for block in bytes.chunks_exact_mut(ty.block_bytes()) {
        match ty {
            Type::F32 => block.copy_from_slice(&random.float().to_le_bytes()),
            Type::F16 => block.copy_from_slice(&f16::from_f32(random.float()).to_le_bytes()),
            Type::BF16 => block.copy_from_slice(&half::bf16::from_f32(random.float()).to_le_bytes()),
            _ => {
                let extreme = random.next() % 5;
                block.fill_with(|| [random.next() as u8, 0xff, 0x00][if extreme < 2 { extreme as usize + 1 } else { 0 }]);
                for &at in half_floats(ty) {
                    block[at..at + 2].copy_from_slice(&f16::from_f32(random.float() * 0.1).to_le_bytes());
                }
                if ty == Type::MXFP4 {
                    block[0] = if extreme == 0 { (random.next() % 3) as u8 } else { 120 + (random.next() % 8) as u8 };
                }
            }
        }
    }
    bytes
}

fn random_activations(rows: usize, cols: usize, random: &mut Random) -> Vec<f32> {
    (0..rows * cols).map(|i| random.float() * if (i / 32) % 7 == 3 { 50.0 } else { 1.0 }).collect()
}

fn levels() -> Vec<Level> {
    Level::available()
}

fn formats() -> impl Iterator<Item = Type> {
    Type::ALL.iter().copied().filter(|&ty| wants(ty) == InputKind::Quantised)
}

/// The documented order, one operation after the other.
fn plain_order(w: &Matrix<'_>, row: usize, activations: &[Block]) -> f32 {
    let has_min = matches!(w.ty(), Type::Q4_1 | Type::Q5_1 | Type::Q2_K | Type::Q4_K | Type::Q5_K);
    let two_parts = matches!(w.ty(), Type::Q2_K | Type::Q3_K | Type::Q6_K);
    let mut acc = 0f32;
    for (b, a) in activations.iter().enumerate() {
        let weights = unpack(w.ty(), w.row(row), b).unwrap();
        let sum = |of: Range<usize>| of.map(|i| i32::from(a.q(i))).sum::<i32>();
        let products = |of: Range<usize>| of.map(|i| weights.int(i) * i32::from(a.q(i))).sum::<i32>();
        if two_parts {
            let total = weights.sub_scale[0] * products(0..16) + weights.sub_scale[1] * products(16..32);
            let mut scaled = total as f32 * weights.scale;
            if has_min {
                let mins = weights.sub_min[0] * sum(0..16) + weights.sub_min[1] * sum(16..32);
                scaled = (mins as f32).mul_add(weights.min, scaled);
            }
            acc = scaled.mul_add(a.scale(), acc);
        } else {
            let scale = weights.scale * weights.sub_scale[0] as f32;
            acc = (products(0..32) as f32).mul_add(scale * a.scale(), acc);
            if has_min {
                // Q4_1 and Q5_1 store the minimum itself.
                let min = if w.ty().block_len() == 32 { weights.min } else { weights.min * weights.sub_min[0] as f32 };
                acc = min.mul_add(a.scale() * sum(0..32) as f32, acc);
            }
        }
    }
    acc
}

fn product(level: Level, w: &Matrix<'_>, batch: Batch<'_>, rows: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; rows * w.rows()];
    multiply(level, w, batch, Write::Set, &mut ColumnsMut::new(&mut out, w.rows()), &mut Scratch::new());
    out
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn every_format_level_and_batch_gives_the_bits_of_the_plain_order() {
    let mut random = Random(1);
    for ty in formats() {
        for (rows, cols) in [(1, 256), (7, 512), (16, 2048 + 256), (37, 1536), (64, 768), (81, 5120)] {
            let bytes = random_weights(ty, rows, cols, &mut random);
            let w = Matrix::new(ty, rows, cols, &bytes).unwrap();
            for batch in [1, 2, 3, 4, 5, 11, 37] {
                let x = random_activations(batch, cols, &mut random);
                let mut activations = Activations::new();
                activations.quantize(Level::Scalar, &x, cols);
                let want: Vec<f32> = (0..batch * rows).map(|i| plain_order(&w, i % rows, activations.row(i / rows))).collect();
                for level in levels() {
                    let got = product(level, &w, (&activations).into(), batch);
                    assert_eq!(bits(&got), bits(&want), "{ty:?} [{rows}, {cols}] × {batch} on {level}");
                }
            }
        }
    }
}

#[test]
fn formats_of_32_take_any_number_of_blocks() {
    let mut random = Random(2);
    for ty in formats().filter(|ty| ty.block_len() == 32) {
        for cols in [32, 64, 96, 288, 576, 640, 2048 + 32, 14336] {
            let rows = 19;
            let bytes = random_weights(ty, rows, cols, &mut random);
            let w = Matrix::new(ty, rows, cols, &bytes).unwrap();
            for batch in [1, 6] {
                let x = random_activations(batch, cols, &mut random);
                let mut activations = Activations::new();
                activations.quantize(Level::Scalar, &x, cols);
                let want: Vec<f32> = (0..batch * rows).map(|i| plain_order(&w, i % rows, activations.row(i / rows))).collect();
                for level in levels() {
                    let got = product(level, &w, (&activations).into(), batch);
                    assert_eq!(bits(&got), bits(&want), "{ty:?} [{rows}, {cols}] × {batch} on {level}");
                }
            }
        }
    }
}

/// |got − want| may be this part of Σ |w·a|: one rounding of 2⁻²⁴ for each sub-block and a few for the scales.
fn bound(cols: usize) -> f64 {
    (cols as f64 / 16.0 * 2.0 + 8.0) * 2f64.powi(-24)
}

#[test]
fn products_are_near_those_in_f64_with_the_quantised_activations() {
    let mut random = Random(3);
    for ty in formats() {
        let (rows, cols, batch) = (24, 1024, 6);
        let bytes = random_weights(ty, rows, cols, &mut random);
        let w = Matrix::new(ty, rows, cols, &bytes).unwrap();
        let mut activations = Activations::new();
        activations.quantize(Level::Scalar, &random_activations(batch, cols, &mut random), cols);
        let mut weights = vec![0.0; rows * cols];
        dequantize(ty, &bytes, &mut weights).unwrap();
        for level in levels() {
            let got = product(level, &w, (&activations).into(), batch);
            for (i, &got) in got.iter().enumerate() {
                let (mut sum, mut magnitude) = (0f64, 0f64);
                for (k, &weight) in weights[i % rows * cols..][..cols].iter().enumerate() {
                    let block = &activations.row(i / rows)[k / 32];
                    let product = f64::from(weight) * f64::from(block.q(k % 32)) * f64::from(block.scale());
                    // A minimum and a scale may cancel in a weight, but not in the order of the sum.
                    let unpacked = unpack(ty, w.row(i % rows), k / 32).unwrap();
                    let parts = f64::from(unpacked.scale * unpacked.sub_scale[k % 32 / 16] as f32).abs()
                        * f64::from(unpacked.int(k % 32)).abs()
                        + f64::from(unpacked.min).abs() * f64::from(unpacked.sub_min[k % 32 / 16].max(1));
                    sum += product;
                    magnitude += parts * f64::from(block.q(k % 32)).abs() * f64::from(block.scale());
                }
                let error = (f64::from(got) - sum).abs();
                assert!(error <= bound(cols) * magnitude + 1e-40, "{ty:?} on {level}: {got} for {sum}");
            }
        }
    }
}

#[test]
fn a_cut_of_the_rows_changes_no_bit() {
    let mut random = Random(4);
    for ty in Type::ALL.iter().copied() {
        let (rows, cols) = (96, 768);
        let bytes = random_weights(ty, rows, cols, &mut random);
        let w = Matrix::new(ty, rows, cols, &bytes).unwrap();
        for batch in [1, 3, 20] {
            let x = random_activations(batch, cols, &mut random);
            let mut activations = Activations::new();
            activations.quantize(Level::Scalar, &x, cols);
            let input = if wants(ty) == InputKind::Dense { x.as_slice().into() } else { (&activations).into() };
            for level in levels() {
                let whole = product(level, &w, input, batch);
                for cut in [1, 5, 16, 48, 95] {
                    let mut out = vec![0.0; batch * rows];
                    let (mut left, mut right) = ColumnsMut::new(&mut out, rows).split_at(cut);
                    multiply(level, &w.slice_rows(0..cut), input, Write::Set, &mut left, &mut Scratch::new());
                    multiply(level, &w.slice_rows(cut..rows), input, Write::Set, &mut right, &mut Scratch::new());
                    assert_eq!(bits(&whole), bits(&out), "{ty:?} × {batch} on {level}, cut at {cut}");
                }
            }
        }
    }
}

#[test]
fn a_row_alone_has_the_bits_it_has_in_a_batch_and_its_place_may_be_any() {
    let mut random = Random(5);
    for ty in Type::ALL.iter().copied() {
        let (rows, cols, batch) = (40, 512, 37);
        let bytes = random_weights(ty, rows, cols, &mut random);
        let w = Matrix::new(ty, rows, cols, &bytes).unwrap();
        let x = random_activations(batch, cols, &mut random);
        let mut activations = Activations::new();
        activations.quantize(Level::Scalar, &x, cols);
        let input = if wants(ty) == InputKind::Dense { Input::Dense(&x) } else { Input::Quantised(&activations) };
        for level in levels() {
            let whole = product(level, &w, Batch { input, rows: None }, batch);
            for some in [vec![0], vec![36, 0], vec![3, 3, 17, 2, 9, 11, 30]] {
                let got = product(level, &w, Batch { input, rows: Some(&some) }, some.len());
                let want: Vec<f32> = some.iter().flat_map(|&i| &whole[i as usize * rows..][..rows]).copied().collect();
                assert_eq!(bits(&got), bits(&want), "{ty:?} on {level}, rows {some:?}");
            }
        }
    }
}

#[test]
fn adding_rounds_the_sum_once() {
    let mut random = Random(6);
    for ty in Type::ALL.iter().copied() {
        for (rows, batch) in [(3, 1), (40, 1), (40, 9), (17, 9)] {
            let cols = 2304;
            let bytes = random_weights(ty, rows, cols, &mut random);
            let w = Matrix::new(ty, rows, cols, &bytes).unwrap();
            let x = random_activations(batch, cols, &mut random);
            let mut activations = Activations::new();
            activations.quantize(Level::Scalar, &x, cols);
            let input = if wants(ty) == InputKind::Dense { x.as_slice().into() } else { (&activations).into() };
            let residual = random_activations(batch, rows, &mut random);
            for level in levels() {
                let want: Vec<f32> = product(level, &w, input, batch).iter().zip(&residual).map(|(p, r)| r + p).collect();
                let mut out = residual.clone();
                multiply(level, &w, input, Write::Add, &mut ColumnsMut::new(&mut out, rows), &mut Scratch::new());
                assert_eq!(bits(&out), bits(&want), "{ty:?} [{rows}, {cols}] × {batch} on {level}");
            }
        }
    }
}

#[test]
fn float_weights_are_near_the_reference_and_have_the_same_bits_on_every_level() {
    let mut random = Random(7);
    for ty in [Type::F32, Type::F16, Type::BF16] {
        for (rows, cols) in [(1, 1), (5, 33), (16, 576), (23, 640), (9, 2049)] {
            let bytes = random_weights(ty, rows, cols, &mut random);
            let w = Matrix::new(ty, rows, cols, &bytes).unwrap();
            for batch in [1, 2, 5, 37] {
                let x = random_activations(batch, cols, &mut random);
                let mut want = vec![0.0; batch * rows];
                multiply_reference(&w, &x, &mut want);
                let scalar = product(Level::Scalar, &w, x.as_slice().into(), batch);
                for level in levels() {
                    let got = product(level, &w, x.as_slice().into(), batch);
                    assert_eq!(bits(&got), bits(&scalar), "{ty:?} [{rows}, {cols}] × {batch} on {level}");
                    for (got, want) in got.iter().zip(&want) {
                        assert!((got - want).abs() <= 1e-5 * cols as f32, "{ty:?} [{rows}, {cols}] × {batch} on {level}: {got} for {want}");
                    }
                }
            }
        }
    }
}

#[test]
fn quantised_activations_are_within_half_a_step_and_the_same_on_every_level() {
    let mut random = Random(8);
    let x = random_activations(4, 96, &mut random);
    let mut scalar = Activations::new();
    scalar.quantize(Level::Scalar, &x, 96);
    for level in levels() {
        let mut activations = Activations::new();
        activations.quantize(level, &x, 96);
        for (i, &x) in x.iter().enumerate() {
            let (block, same) = (&activations.row(i / 96)[i % 96 / 32], &scalar.row(i / 96)[i % 96 / 32]);
            assert_eq!((block.q(i % 32), block.scale().to_bits()), (same.q(i % 32), same.scale().to_bits()), "{level}");
            let error = (f32::from(block.q(i % 32)) * block.scale() - x).abs();
            assert!(error <= block.scale() * 0.5001, "{level}: {x} became {}", f32::from(block.q(i % 32)) * block.scale());
        }
    }
}

#[test]
fn activations_that_are_no_numbers_poison_their_row_only() {
    let bytes = random_weights(Type::Q4_0, 20, 64, &mut Random(9));
    let w = Matrix::new(Type::Q4_0, 20, 64, &bytes).unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = random_activations(7, 64, &mut Random(10));
        x[2 * 64 + 40] = bad;
        for level in levels() {
            let mut activations = Activations::new();
            activations.quantize(level, &x, 64);
            let out = product(level, &w, (&activations).into(), 7);
            for (i, out) in out.iter().enumerate() {
                assert_eq!(out.is_nan(), i / 20 == 2, "{level}, {bad}: {out} at {i}");
            }
        }
    }
}

#[test]
fn the_smallest_and_largest_activations_are_numbers() {
    for (magnitude, keeps) in [(0.0, false), (1e-45, false), (1e-38, false), (1e-35, true), (1e38, true), (f32::MAX, true)] {
        let x: Vec<f32> = (0..32).map(|i| if i % 2 == 0 { magnitude } else { -magnitude }).collect();
        for level in levels() {
            let mut activations = Activations::new();
            activations.quantize(level, &x, 32);
            let block = &activations.row(0)[0];
            assert_eq!(block.q(0), if keeps { 127 } else { 0 }, "{level}, {magnitude}");
            assert_eq!(block.q(1), -block.q(0));
            assert!(block.scale().is_finite());
        }
    }
}

#[test]
fn rows_are_quantised_by_several_workers_as_by_one() {
    let x = random_activations(9, 64, &mut Random(11));
    let (mut one, mut cut) = (Activations::new(), Activations::new());
    one.quantize(Level::Scalar, &x, 64);
    cut.resize(9, 64);
    let (mut left, right) = cut.columns_mut().split(4, 2);
    let (mut middle, mut end) = right.split(5, 1);
    for (row, x) in x.chunks_exact(64).enumerate() {
        match row.checked_sub(4) {
            None => quantize(Level::Scalar, x, left.row_mut(row)),
            Some(row) => {
                quantize(Level::Scalar, &x[..32], middle.row_mut(row));
                quantize(Level::Scalar, &x[32..], end.row_mut(row));
            }
        }
    }
    for row in 0..9 {
        assert_eq!(format!("{:?}", one.row(row)), format!("{:?}", cut.row(row)));
    }
}
