//! Q5_1 (layout: `format/q5_1.rs`).

use super::{Lanes, Lanes32, Sink, WithMin, affine, fifth_bits, nibbles};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Q5_1;

impl Lanes for Q5_1 {
    const TYPE: Type = Type::Q5_1;
    type Kind = WithMin<5>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let [head, high, ..] = rows.quads(isa, 0);
        sink.take(isa, block(isa, head, high, rows.quads(isa, 8)));
    }

    const GROUP: usize = 2;

    #[inline(always)]
    fn unpack_group<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let ([head, high, a, b], [c, d, next, next_high]) = (rows.quads(isa, 0), rows.quads(isa, 16));
        sink.take(isa, block(isa, head, high, [a, b, c, d]));
        sink.take(isa, block(isa, next, next_high, rows.quads(isa, 32)));
    }
}

/// A block's 24 bytes.
#[inline(always)]
fn block<I: Isa>(isa: I, head: I::I, high: I::I, packed: [I::I; 4]) -> Lanes32<I> {
    let (scale, min) = isa.f16s_to_f32(head);
    affine(isa, fifth_bits(isa, nibbles(isa, packed), high), scale, min)
}
