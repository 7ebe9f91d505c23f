//! Q5_0 (layout: `format/q5_0.rs`).

use super::{Lanes, Lanes32, Sink, Symmetric, fifth_bits, nibbles, symmetric};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Q5_0;

impl Lanes for Q5_0 {
    const TYPE: Type = Type::Q5_0;
    type Kind = Symmetric<5, 4>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        sink.take(isa, block(isa, rows.quads(isa, 0)[0], rows.quads(isa, 2)[0], rows.quads(isa, 6)));
    }

    const GROUP: usize = 4;

    #[inline(always)]
    fn unpack_group<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let words = rows.many::<I, 5>(isa);
        let words = words.as_flattened();
        // Sixteen bytes that end with the group, of which the last eight are wanted.
        let [_, _, x, y] = rows.quads(isa, 72);
        let [p, q, r, s, t, u, v, w, z] = *words.last_chunk().expect("twenty");
        // Two blocks are eleven dwords: the first one's bits begin in the middle of a dword, the second one's with a dword.
        for [a, b, c, d, e, f, g, h, i, j, k] in [*words.first_chunk().expect("twenty"), [p, q, r, s, t, u, v, w, z, x, y]] {
            let across = |low, high| isa.or(isa.shr(low, 16), isa.shl(high, 16));
            let packed = [across(b, c), across(c, d), across(d, e), across(e, f)];
            sink.take(isa, block(isa, a, across(a, b), packed));
            sink.take(isa, block(isa, isa.shr(f, 16), g, [h, i, j, k]));
        }
    }
}

/// A block's scale (in the lower half of a lane), fifth bits, and nibbles.
#[inline(always)]
fn block<I: Isa>(isa: I, scale: I::I, high: I::I, packed: [I::I; 4]) -> Lanes32<I> {
    symmetric(isa, fifth_bits(isa, nibbles(isa, packed), high), isa.f16_to_f32(scale))
}
