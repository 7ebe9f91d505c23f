//! Q5_1 (layout: `format/q5_1.rs`).

use super::{Lanes, Lanes32, Rows, Sink, WithMin, fifth_bits, nibbles};
use crate::format::Type;
use crate::isa::Isa;

pub(in super::super) struct Q5_1;

impl Lanes for Q5_1 {
    const TYPE: Type = Type::Q5_1;
    type Kind = WithMin<5>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let [head, high, ..] = rows.quads(isa, 0);
        let (scale, min) = (isa.f16_to_f32(head), isa.f16_to_f32(isa.shr(head, 16)));
        let q = fifth_bits(isa, nibbles(isa, rows.quads(isa, 8)), high);
        sink.take(isa, Lanes32 { q, scale: [scale; 2], min: [min; 2] });
    }
}
