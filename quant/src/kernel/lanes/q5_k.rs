//! Q5_K (layout: `format/q5_k.rs`).

use super::k_scales::scales_mins;
use super::{Lanes, Sink, WithMin, affine, low_byte, moved, nibble};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Q5K;

impl Lanes for Q5K {
    const TYPE: Type = Type::Q5_K;
    type Kind = WithMin<5>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let [head, a, b, c] = rows.quads(isa, 0);
        let (d, dmin) = isa.f16s_to_f32(head);
        let neg_dmin = isa.sub(isa.splat(0.0), dmin);
        let (scales, mins) = scales_mins(isa, [a, b, c]);
        let high = rows.octets(isa, 16); // bit j of byte l is the fifth of weight 32·j + l
        written_out!(half in 0 1 => {
            written_out!(pair in 0 1 => {
                let packed = rows.octets(isa, 48 + 64 * half + 32 * pair);
                written_out!(shift in 0 4 => {
                    let (mut q, sub) = (packed, (4 * half + 2 * pair) as u32 + shift / 4);
                    for (q, &high) in q.iter_mut().zip(&high) {
                        *q = isa.or(nibble(isa, *q, shift), moved(isa, high, sub, 4, 1 << 4));
                    }
                    let factor = |d, x: [_; 2]| isa.mul(d, low_byte(isa, isa.shr(x[half], sub % 4 * 8)));
                    sink.take(isa, affine(isa, q, factor(d, scales), factor(neg_dmin, mins)));
                });
            });
        });
    }
}
