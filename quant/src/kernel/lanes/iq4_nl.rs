//! IQ4_NL (layout: `format/iq4_nl.rs`).

use super::{Bytes, Lanes, Sink, look_up, nibbles, symmetric};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Iq4Nl;

/// The table's signed values.
pub(super) const TABLE: [u8; 16] = {
    const VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
    let mut table = [0; 16];
    let mut i = 0;
    while i < 16 {
        table[i] = VALUES[i] as u8;
        i += 1;
    }
    table
};

impl Lanes for Iq4Nl {
    const TYPE: Type = Type::IQ4_NL;
    type Kind = Bytes;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let scale = isa.f16_to_f32(rows.quads(isa, 0)[0]);
        let q = look_up(isa, &TABLE, nibbles(isa, rows.quads(isa, 2)));
        sink.take(isa, symmetric(isa, q, scale));
    }
}
