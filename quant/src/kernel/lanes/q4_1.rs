//! Q4_1 (layout: `format/q4_1.rs`).

use super::{Lanes, Lanes32, Rows, Sink, WithMin, nibbles};
use crate::format::Type;
use crate::isa::Isa;

pub(in super::super) struct Q4_1;

impl Lanes for Q4_1 {
    const TYPE: Type = Type::Q4_1;
    type Kind = WithMin<4>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let head = rows.quads(isa, 0)[0];
        let (scale, min) = (isa.f16_to_f32(head), isa.f16_to_f32(isa.shr(head, 16)));
        let q = nibbles(isa, rows.quads(isa, 4));
        sink.take(isa, Lanes32 { q, scale: [scale; 2], min: [min; 2] });
    }
}
