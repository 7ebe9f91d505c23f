//! The twelve bytes of 6-bit scales and minima of Q4_K and Q5_K (layout: `format/k_scales.rs`).

use super::{bytes, nibble};
use crate::isa::Isa;

/// The bytes of scales 0–3 and 4–7, and those of minima 0–3 and 4–7.
#[inline(always)]
pub(super) fn scales_mins<I: Isa>(isa: I, [a, b, c]: [I::I; 3]) -> ([I::I; 2], [I::I; 2]) {
    let six = |x| isa.and(x, isa.splat_i32(bytes(63)));
    let high = |x| isa.and(isa.shr(x, 2), isa.splat_i32(bytes(0x30)));
    let scales = [six(a), isa.or(nibble(isa, c, 0), high(a))];
    let mins = [six(b), isa.or(nibble(isa, c, 4), high(b))];
    (scales, mins)
}
