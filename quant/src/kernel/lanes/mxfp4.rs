//! MXFP4 (layout: `format/mxfp4.rs`).

use super::{Lanes, Sink, Symmetric, look_up, nibbles, symmetric};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Mxfp4;

/// The doubled values, plus 16.
const TABLE: [u8; 16] = [16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4];

impl Lanes for Mxfp4 {
    const TYPE: Type = Type::MXFP4;
    type Kind = Symmetric<5, 4>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let e = isa.and(rows.quads(isa, 0)[0], isa.splat_i32(255));
        let q = look_up(isa, &TABLE, nibbles(isa, rows.quads(isa, 1)));
        sink.take(isa, symmetric(isa, q, half_power(isa, e)));
    }
}

/// `2^(e − 128)`; the two smallest are subnormal.
#[inline(always)]
fn half_power<I: Isa>(isa: I, e: I::I) -> I::F {
    let normal = isa.bits_to_f32(isa.shl(isa.add_i32(e, isa.splat_i32(-1)), 23));
    let subnormal = isa.bits_to_f32(isa.add_i32(isa.splat_i32(0x0020_0000), isa.shl(e, 21)));
    isa.select(isa.less(isa.to_f32(e), isa.splat(2.0)), subnormal, normal)
}
