//! Whole rows from bytes to f32 and back: sizes are checked here, once, and each format's functions see whole blocks only.

use super::{Decode, FormatError, Type};

/// The weights in `bytes`, stored as `ty`, into `out`. Equal, bit for bit, to what ggml's scalar code and the `gguf` Python package
/// compute; this is the reference for every kernel.
///
/// ```
/// use kinglet_quant::{Type, dequantize};
/// let mut out = [0.0; 2];
/// dequantize(Type::BF16, &[0x80, 0x3f, 0x00, 0xc0], &mut out)?;
/// assert_eq!(out, [1.0, -2.0]);
/// # Ok::<(), kinglet_quant::FormatError>(())
/// ```
///
/// # Errors
/// Where `bytes` are not exactly `out.len()` weights.
pub fn dequantize(ty: Type, bytes: &[u8], out: &mut [f32]) -> Result<(), FormatError> {
    check_sizes(ty, out.len(), bytes.len())?;
    let format = ty.format();
    match format.decode {
        Decode::Floats(decode) => decode(bytes, out),
        Decode::Blocks(unpack) => {
            for (block, out) in bytes.chunks_exact(format.block_bytes).zip(out.chunks_exact_mut(format.block_len)) {
                for (sub, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
                    *out = unpack(block, sub).weights();
                }
            }
        }
    }
    Ok(())
}

/// `weights` stored as `ty`, with llama.cpp's method and (without an importance matrix) its bytes.
///
/// ```
/// use kinglet_quant::{Type, quantize};
/// let weights = [0.25; 256];
/// assert_eq!(quantize(Type::Q4_K, &weights)?.len(), 144);
/// # Ok::<(), kinglet_quant::FormatError>(())
/// ```
///
/// # Errors
/// As [`quantize_into`].
pub fn quantize(ty: Type, weights: &[f32]) -> Result<Vec<u8>, FormatError> {
    let mut out = vec![0; ty.bytes_for(weights.len()).ok_or(FormatError::PartBlock { ty, weights: weights.len() })?];
    quantize_into(ty, weights, &mut out)?;
    Ok(out)
}

/// [`quantize`] into memory that is there: blocks know nothing of one another, so rows (or any whole blocks) of one tensor may be
/// converted by several threads.
///
/// # Errors
/// Where `ty` is a type that kinglet only reads, the weights are no whole blocks, `out` has not exactly their bytes, or a weight is not
/// finite or larger than the type can hold (65504 for half floats and everything that has half-float scales).
pub fn quantize_into(ty: Type, weights: &[f32], out: &mut [u8]) -> Result<(), FormatError> {
    check_sizes(ty, weights.len(), out.len())?;
    let format = ty.format();
    let quantize = format.quantize.ok_or(FormatError::ReadOnly { ty })?;
    if let Some((index, &value)) = weights.iter().enumerate().find(|(_, w)| w.is_nan() || w.abs() > quantize.largest) {
        return Err(FormatError::OutOfRange { ty, index, value, largest: quantize.largest });
    }
    for (weights, block) in weights.chunks_exact(format.block_len).zip(out.chunks_exact_mut(format.block_bytes)) {
        (quantize.block)(weights, block);
    }
    Ok(())
}

fn check_sizes(ty: Type, weights: usize, found: usize) -> Result<(), FormatError> {
    let expected = ty.bytes_for(weights).ok_or(FormatError::PartBlock { ty, weights })?;
    if expected != found {
        return Err(FormatError::WrongSize { ty, weights, expected, found });
    }
    Ok(())
}
