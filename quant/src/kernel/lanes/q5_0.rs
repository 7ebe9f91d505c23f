//! Q5_0 (layout: `format/q5_0.rs`).

use super::{Lanes, Rows, Sink, Symmetric, fifth_bits, nibbles, symmetric};
use crate::format::Type;
use crate::isa::Isa;

pub(in super::super) struct Q5_0;

impl Lanes for Q5_0 {
    const TYPE: Type = Type::Q5_0;
    type Kind = Symmetric<5, 4>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let scale = isa.f16_to_f32(rows.quads(isa, 0)[0]);
        let high = rows.quads(isa, 2)[0];
        let q = fifth_bits(isa, nibbles(isa, rows.quads(isa, 6)), high);
        sink.take(isa, symmetric(isa, q, scale));
    }
}
