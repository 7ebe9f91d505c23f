//! Q4_0 (layout: `format/q4_0.rs`).

use super::{Lanes, Lanes32, Sink, Symmetric, nibbles, symmetric, two_of_18};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Q4_0;

impl Lanes for Q4_0 {
    const TYPE: Type = Type::Q4_0;
    type Kind = Symmetric<4, 3>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        sink.take(isa, block(isa, rows.quads(isa, 0)[0], rows.quads(isa, 2)));
    }

    const GROUP: usize = 4;

    #[inline(always)]
    fn unpack_group<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let ([a, b, c, d], [e, f, g, h], [i, p, q, r]) = (rows.quads(isa, 0), rows.quads(isa, 16), rows.quads(isa, 32));
        for (scale, packed) in two_of_18(isa, [a, b, c, d, e, f, g, h, i]) {
            sink.take(isa, block(isa, scale, packed));
        }
        // The last sixteen bytes end with the group; the last eight of them are wanted.
        let ([s, t, u, v], [_, _, w, x]) = (rows.quads(isa, 48), rows.quads(isa, 56));
        for (scale, packed) in two_of_18(isa, [p, q, r, s, t, u, v, w, x]) {
            sink.take(isa, block(isa, scale, packed));
        }
    }
}

/// A block's scale (in the lower half of a lane) and nibbles.
#[inline(always)]
fn block<I: Isa>(isa: I, scale: I::I, packed: [I::I; 4]) -> Lanes32<I> {
    symmetric(isa, nibbles(isa, packed), isa.f16_to_f32(scale))
}
