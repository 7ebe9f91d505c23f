//! Q5_1 (layout: `format/q5_1.rs`).

use super::{Lanes, Lanes32, Sink, WithMin, fifth_bits, nibbles};
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
        let words = rows.many::<I, 3>(isa);
        for [head, high, packed @ ..] in words.as_flattened().as_chunks::<6>().0 {
            sink.take(isa, block(isa, *head, *high, *packed));
        }
    }
}

/// A block's 24 bytes.
#[inline(always)]
fn block<I: Isa>(isa: I, head: I::I, high: I::I, packed: [I::I; 4]) -> Lanes32<I> {
    let (scale, min) = (isa.f16_to_f32(head), isa.f16_to_f32(isa.shr(head, 16)));
    Lanes32 { q: fifth_bits(isa, nibbles(isa, packed), high), scale: [scale; 2], min: [min; 2] }
}
