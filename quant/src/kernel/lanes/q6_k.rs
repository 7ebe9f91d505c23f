//! Q6_K (layout: `format/q6_k.rs`).

use super::{Lanes, Lanes32, Sink, Symmetric16, moved, nibble};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Q6K;

impl Lanes for Q6K {
    const TYPE: Type = Type::Q6_K;
    type Kind = Symmetric16<6, 5>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let scales = rows.quads(isa, 192);
        // Sixteen bytes that end with the block, of which the last two are wanted.
        let d = isa.f16_to_f32(isa.shr(rows.quads(isa, 194)[3], 16));
        for n in 0..2 {
            let high = rows.octets(isa, 128 + 32 * n);
            let mut low = [rows.octets(isa, 64 * n); 2];
            written_out!(k in 0 1 2 3 => {
                // No sooner: all of a half are more vectors than there are registers.
                if k == 1 {
                    low[1] = rows.octets(isa, 64 * n + 32);
                }
                let mut q = low[k % 2];
                for (q, &high) in q.iter_mut().zip(&high) {
                    *q = isa.or(nibble(isa, *q, k as u32 / 2 * 4), moved(isa, high, 2 * k as u32, 4, 3 << 4));
                }
                // Scales 2·sub and 2·sub + 1 are the lower or upper half of dword sub / 2.
                let pair = isa.shr(scales[2 * n + k / 2], k as u32 % 2 * 16);
                let scale = |shift: u32| isa.mul(d, isa.to_f32(isa.sar(isa.shl(pair, 24 - shift), 24)));
                sink.take(isa, Lanes32 { q, scale: [scale(0), scale(8)], min: [isa.splat(0.0); 2] });
            });
        }
    }
}
