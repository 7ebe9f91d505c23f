//! Q4_1 (layout: `format/q4_1.rs`).

use super::{Lanes, Lanes32, Sink, WithMin, affine, nibbles};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Q4_1;

impl Lanes for Q4_1 {
    const TYPE: Type = Type::Q4_1;
    type Kind = WithMin<4>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        sink.take(isa, block(isa, rows.quads(isa, 0)[0], rows.quads(isa, 4)));
    }

    const GROUP: usize = 4;

    #[inline(always)]
    fn unpack_group<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let ([head, a, b, c], [d, next, e, f]) = (rows.quads(isa, 0), rows.quads(isa, 16));
        sink.take(isa, block(isa, head, [a, b, c, d]));
        let [g, h, head, i] = rows.quads(isa, 32);
        sink.take(isa, block(isa, next, [e, f, g, h]));
        let [j, k, l, next] = rows.quads(isa, 48);
        sink.take(isa, block(isa, head, [i, j, k, l]));
        sink.take(isa, block(isa, next, rows.quads(isa, 64)));
    }
}

/// A block's 20 bytes.
#[inline(always)]
fn block<I: Isa>(isa: I, head: I::I, packed: [I::I; 4]) -> Lanes32<I> {
    let (scale, min) = isa.f16s_to_f32(head);
    affine(isa, nibbles(isa, packed), scale, min)
}
