//! Q4_0 (layout: `format/q4_0.rs`).

use super::{Lanes, Rows, Sink, Symmetric, nibbles, symmetric};
use crate::format::Type;
use crate::isa::Isa;

pub(in super::super) struct Q4_0;

impl Lanes for Q4_0 {
    const TYPE: Type = Type::Q4_0;
    type Kind = Symmetric<4, 3>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let scale = isa.f16_to_f32(rows.quads(isa, 0)[0]);
        sink.take(isa, symmetric(isa, nibbles(isa, rows.quads(isa, 2)), scale));
    }
}
