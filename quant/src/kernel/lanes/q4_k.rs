//! Q4_K (layout: `format/q4_k.rs`).

use super::k_scales::scales_mins;
use super::{Lanes, Sink, WithMin, affine, low_byte, nibble};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Q4K;

impl Lanes for Q4K {
    const TYPE: Type = Type::Q4_K;
    type Kind = WithMin<4>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let [head, a, b, c] = rows.quads(isa, 0);
        let (d, dmin) = isa.f16s_to_f32(head);
        let neg_dmin = isa.sub(isa.splat(0.0), dmin);
        let (scales, mins) = scales_mins(isa, [a, b, c]);
        for half in 0..2 {
            let (mut scale, mut min) = (scales[half], mins[half]);
            for pair in 0..2 {
                let packed = rows.octets(isa, 16 + 64 * half + 32 * pair);
                written_out!(shift in 0 4 => {
                    let mut q = packed;
                    for q in &mut q {
                        *q = nibble(isa, *q, shift);
                    }
                    let (s, m) = (isa.mul(d, low_byte(isa, scale)), isa.mul(neg_dmin, low_byte(isa, min)));
                    sink.take(isa, affine(isa, q, s, m));
                    (scale, min) = (isa.shr(scale, 8), isa.shr(min, 8));
                });
            }
        }
    }
}
