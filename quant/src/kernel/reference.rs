//! The obviously right product: weights to f32, dot products in f64. Everything else is compared with it.

use crate::format::dequantize;
use crate::matrix::Matrix;

/// `out[i, j] = Σ_k x[i, k] · w[j, k]` with unquantised activations `x: [rows, w.cols()]`; `out: [rows, w.rows()]`.
///
/// # Panics
/// Where the shapes don't fit.
pub fn multiply_reference(w: &Matrix<'_>, x: &[f32], out: &mut [f32]) {
    let (n, cols) = (w.rows(), w.cols());
    assert!(x.len() * n == out.len() * cols, "{} activations for {} results of a [{n}, {cols}] matrix", x.len(), out.len());
    let mut row = vec![0.0; cols];
    for j in 0..n {
        dequantize(w.ty(), w.row(j), &mut row).expect("a matrix has rows of whole blocks");
        for (x, out) in x.chunks_exact(cols).zip(out.chunks_exact_mut(n)) {
            out[j] = x.iter().zip(&row).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum::<f64>() as f32;
        }
    }
}
