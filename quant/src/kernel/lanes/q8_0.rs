//! Q8_0 (layout: `format/q8_0.rs`).

use super::{Bytes, Lanes, Sink, bytes, symmetric};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Q8_0;

impl Lanes for Q8_0 {
    const TYPE: Type = Type::Q8_0;
    type Kind = Bytes;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let scale = isa.f16_to_f32(rows.quads(isa, 0)[0]);
        let mut q = rows.octets(isa, 2);
        if !I::SIGNED_BYTES {
            for q in &mut q {
                *q = isa.xor(*q, isa.splat_i32(bytes(0x80)));
            }
        }
        sink.take(isa, symmetric(isa, q, scale));
    }
}
