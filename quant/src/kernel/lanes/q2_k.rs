//! Q2_K (layout: `format/q2_k.rs`).

use super::{Lanes, Lanes32, Sink, WithMin16, bytes, low_byte, nibble};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Q2K;

impl Lanes for Q2K {
    const TYPE: Type = Type::Q2_K;
    type Kind = WithMin16<2>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let packed = rows.quads(isa, 0);
        // Sixteen bytes that end with the block, of which the last four are wanted.
        let head = rows.quads(isa, 68)[3];
        let d = isa.f16_to_f32(head);
        let neg_dmin = isa.sub(isa.splat(0.0), isa.f16_to_f32(isa.shr(head, 16)));
        for n in 0..2 {
            let mut crumbs = rows.octets(isa, 16 + 32 * n);
            for k in 0..4 {
                let mut q = crumbs;
                for (q, crumbs) in q.iter_mut().zip(&mut crumbs) {
                    *q = isa.and(*q, isa.splat_i32(bytes(3)));
                    *crumbs = isa.shr(*crumbs, 2);
                }
                // Bytes 2·sub and 2·sub + 1 are the lower or upper half of dword sub / 2.
                let pair = isa.shr(packed[2 * n + k / 2], k as u32 % 2 * 16);
                let (scales, mins) = (nibble(isa, pair, 0), nibble(isa, pair, 4));
                let part = |d, x, shift| isa.mul(d, low_byte(isa, isa.shr(x, shift)));
                let scale = [part(d, scales, 0), part(d, scales, 8)];
                sink.take(isa, Lanes32 { q, scale, min: [part(neg_dmin, mins, 0), part(neg_dmin, mins, 8)] });
            }
        }
    }
}
