//! Q4_0 (layout: `format/q4_0.rs`).

use super::{Lanes, Sink, Symmetric, nibbles, symmetric};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Q4_0;

impl Lanes for Q4_0 {
    const TYPE: Type = Type::Q4_0;
    type Kind = Symmetric<4, 3>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let scale = isa.f16_to_f32(rows.quads(isa, 0)[0]);
        sink.take(isa, symmetric(isa, nibbles(isa, rows.quads(isa, 2)), scale));
    }

    const GROUP: usize = 4;

    #[inline(always)]
    fn unpack_group<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let words = rows.many::<I, 4>(isa);
        let words = words.as_flattened();
        // Sixteen bytes that end with the group, of which the last eight are wanted.
        let [_, _, x, y] = rows.quads(isa, 56);
        let second = [words[9], words[10], words[11], words[12], words[13], words[14], words[15], x, y];
        // Two blocks are nine dwords: the first one's nibbles begin in the middle of a dword, the second one's with a dword.
        for [a, b, c, d, e, f, g, h, i] in [*words.first_chunk().expect("sixteen"), second] {
            let across = |low, high| isa.or(isa.shr(low, 16), isa.shl(high, 16));
            let packed = [across(a, b), across(b, c), across(c, d), across(d, e)];
            sink.take(isa, symmetric(isa, nibbles(isa, packed), isa.f16_to_f32(a)));
            sink.take(isa, symmetric(isa, nibbles(isa, [f, g, h, i]), isa.f16_to_f32(isa.shr(e, 16))));
        }
    }
}
