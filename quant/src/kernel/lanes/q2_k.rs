//! Q2_K (layout: `format/q2_k.rs`).

use super::{Lanes, Lanes32, Sink, WithMin16, low_byte, moved, nibble};
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
        let (d, dmin) = isa.f16s_to_f32(head);
        let neg_dmin = isa.sub(isa.splat(0.0), dmin);
        for n in 0..2 {
            let crumbs = rows.octets(isa, 16 + 32 * n);
            written_out!(k in 0 1 2 3 => {
                let mut q = crumbs;
                for q in &mut q {
                    *q = moved(isa, *q, 2 * k as u32, 0, 3);
                }
                // Bytes 2·sub and 2·sub + 1 are the lower or upper half of dword sub / 2.
                let pair = isa.shr(packed[2 * n + k / 2], k as u32 % 2 * 16);
                let (scales, mins) = (nibble(isa, pair, 0), nibble(isa, pair, 4));
                let part = |d, x, shift| isa.mul(d, low_byte(isa, isa.shr(x, shift)));
                let scale = [part(d, scales, 0), part(d, scales, 8)];
                sink.take(isa, Lanes32 { q, scale, min: [part(neg_dmin, mins, 0), part(neg_dmin, mins, 8)] });
            });
        }
    }
}
