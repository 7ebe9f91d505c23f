//! IQ4_XS (layout: `format/iq4_xs.rs`).

use super::iq4_nl::values;
use super::{Bytes, Lanes, Sink, nibbles, symmetric};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Iq4Xs;

impl Lanes for Iq4Xs {
    const TYPE: Type = Type::IQ4_XS;
    type Kind = Bytes;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let [head, mut low, ..] = rows.quads(isa, 0);
        let d = isa.f16_to_f32(head);
        let mut high = isa.shr(head, 16);
        for sub in 0..8 {
            let high_bits = isa.shl(isa.and(high, isa.splat_i32(3)), 4);
            let stored = isa.or(isa.and(low, isa.splat_i32(15)), high_bits);
            let scale = isa.mul(d, isa.to_f32(isa.add_i32(stored, isa.splat_i32(-32))));
            let q = values(isa, nibbles(isa, rows.quads(isa, 8 + 16 * sub)));
            sink.take(isa, symmetric(isa, q, scale));
            (low, high) = (isa.shr(low, 4), isa.shr(high, 2));
        }
    }
}
