//! Small operations on one row.

/// `x += scale · y`.
pub fn add_scaled(x: &mut [f32], y: &[f32], scale: f32) {
    if scale == 1.0 {
        x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
    } else {
        x.iter_mut().zip(y).for_each(|(x, y)| *x += scale * y);
    }
}

/// `x = cap · tanh(x / cap)` for each number.
pub fn softcap(x: &mut [f32], cap: f32) {
    x.iter_mut().for_each(|x| *x = cap * (*x / cap).tanh());
}
