//! IQ4_NL (layout: `format/iq4_nl.rs`).

use super::{Bytes, Lanes, Lanes32, Sink, look_up, nibbles, symmetric, two_of_18};
use crate::format::Type;
use crate::format::iq4_nl::TABLE;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Iq4Nl;

impl Lanes for Iq4Nl {
    const TYPE: Type = Type::IQ4_NL;
    type Kind = Bytes;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        sink.take(isa, block(isa, rows.quads(isa, 0)[0], rows.quads(isa, 2)));
    }

    const GROUP: usize = 4;

    #[inline(always)]
    fn unpack_group<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        // As in `q4_0.rs`.
        let ([a, b, c, d], [e, f, g, h], [i, p, q, r]) = (rows.quads(isa, 0), rows.quads(isa, 16), rows.quads(isa, 32));
        for (scale, packed) in two_of_18(isa, [a, b, c, d, e, f, g, h, i]) {
            sink.take(isa, block(isa, scale, packed));
        }
        let ([s, t, u, v], [_, _, w, x]) = (rows.quads(isa, 48), rows.quads(isa, 56));
        for (scale, packed) in two_of_18(isa, [p, q, r, s, t, u, v, w, x]) {
            sink.take(isa, block(isa, scale, packed));
        }
    }
}

/// A block's scale (in the lower half of a lane) and indices.
#[inline(always)]
fn block<I: Isa>(isa: I, scale: I::I, packed: [I::I; 4]) -> Lanes32<I> {
    symmetric(isa, values(isa, nibbles(isa, packed)), isa.f16_to_f32(scale))
}

/// The table's values as the level takes bytes.
#[inline(always)]
pub(super) fn values<I: Isa>(isa: I, indices: [I::I; 8]) -> [I::I; 8] {
    look_up(isa, if I::SIGNED_BYTES { &SIGNED } else { &TABLE }, indices)
}

/// The format's table is moved up by 128; this is the table itself.
const SIGNED: [u8; 16] = {
    let mut table = TABLE;
    let mut i = 0;
    while i < table.len() {
        table[i] ^= 0x80;
        i += 1;
    }
    table
};
