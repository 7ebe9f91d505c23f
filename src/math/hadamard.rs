//! The Walsh–Hadamard transform of a head: an orthogonal mixing that spreads single large numbers over all dimensions, so that few
//! levels hold a head well (QuaRot, Ashkboos et al. 2024, arXiv:2404.00456, §3). It is its own inverse, and products of two mixed heads
//! are those of the heads themselves.

/// Mixes `x` in place, in runs of the largest power of two that divides its length.
pub fn hadamard(x: &mut [f32]) {
    if x.is_empty() {
        return;
    }
    let run = 1 << x.len().trailing_zeros();
    let scale = 1.0 / (run as f32).sqrt();
    for x in x.chunks_exact_mut(run) {
        let mut half = 1;
        while half < run {
            for pair in x.chunks_exact_mut(2 * half) {
                let (a, b) = pair.split_at_mut(half);
                for (a, b) in a.iter_mut().zip(b) {
                    (*a, *b) = (*a + *b, *a - *b);
                }
            }
            half *= 2;
        }
        x.iter_mut().for_each(|x| *x *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_its_own_inverse_and_keeps_products() {
        for n in [8, 24, 64, 96, 256] {
            let a: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
            let b: Vec<f32> = (0..n).map(|i| (i as f32 * 1.7).cos()).collect();
            let (mut mixed_a, mut mixed_b) = (a.clone(), b.clone());
            hadamard(&mut mixed_a);
            hadamard(&mut mixed_b);
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            assert!((dot(&mixed_a, &mixed_b) - dot(&a, &b)).abs() < 1e-4);
            assert!(mixed_a.iter().zip(&a).any(|(mixed, a)| (mixed - a).abs() > 0.1));
            hadamard(&mut mixed_a);
            assert!(mixed_a.iter().zip(&a).all(|(back, a)| (back - a).abs() < 1e-5));
        }
    }

    #[test]
    fn a_single_peak_is_spread_evenly() {
        let mut x = [0.0; 16];
        x[5] = 4.0;
        hadamard(&mut x);
        assert!(x.iter().all(|x| x.abs() == 1.0));
    }
}
