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
        let ([a, b, c, d], [e, f, g, h], [i, j, k, p]) = (rows.quads(isa, 0), rows.quads(isa, 16), rows.quads(isa, 32));
        for block in two(isa, [a, b, c, d, e, f, g, h, i, j, k]) {
            sink.take(isa, block);
        }
        // The last sixteen bytes end with the group; the last eight of them are wanted.
        let ([q, r, s, t], [u, v, w, x], [_, _, y, z]) = (rows.quads(isa, 48), rows.quads(isa, 64), rows.quads(isa, 72));
        for block in two(isa, [p, q, r, s, t, u, v, w, x, y, z]) {
            sink.take(isa, block);
        }
    }
}

/// Two blocks. Eleven dwords of a row: the first block's bits begin in the middle of a dword, the second one's with a dword.
#[inline(always)]
fn two<I: Isa>(isa: I, [a, b, c, d, e, f, g, h, i, j, k]: [I::I; 11]) -> [Lanes32<I>; 2] {
    let packed = [isa.across(b, c), isa.across(c, d), isa.across(d, e), isa.across(e, f)];
    [block(isa, a, isa.across(a, b), packed), block(isa, isa.shr(f, 16), g, [h, i, j, k])]
}

/// A block's scale (in the lower half of a lane), fifth bits, and nibbles.
#[inline(always)]
fn block<I: Isa>(isa: I, scale: I::I, high: I::I, packed: [I::I; 4]) -> Lanes32<I> {
    symmetric(isa, fifth_bits(isa, nibbles(isa, packed), high), isa.f16_to_f32(scale))
}
