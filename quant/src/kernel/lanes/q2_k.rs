//! Q2_K (layout: `format/q2_k.rs`).

use super::{Lanes, Lanes32, Sink, WithMin16, moved, pair};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Q2K;

impl Lanes for Q2K {
    const TYPE: Type = Type::Q2_K;
    type Kind = WithMin16<4>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let packed = rows.quads(isa, 0);
        // Sixteen bytes that end with the block, of which the last four are wanted.
        let head = rows.quads(isa, 68)[3];
        let (d, dmin) = isa.f16s_to_f32(head);
        // Of four weights of a byte the second and fourth are left two bits up, which a fourth of the scale makes good.
        let fourth = isa.mul(d, isa.splat(0.25));
        written_out!(n in 0 1 => {
            let crumbs = rows.octets(isa, 16 + 32 * n);
            written_out!(k in 0 1 2 3 => {
                let mut q = crumbs;
                for q in &mut q {
                    *q = moved(isa, *q, k as u32 / 2 * 4, 0, [0x03, 0x0c][k % 2]);
                }
                // Bytes 2·sub and 2·sub + 1 are the lower or upper half of dword sub / 2: a scale and, above it, a minimum each.
                let both = isa.pairs(packed[2 * n + k / 2], k % 2 == 1);
                let low = |x| isa.and(x, isa.splat_i32(pair(15, 15)));
                sink.take(isa, Lanes32 { q, scale: [d, fourth][k % 2], min: dmin, factors: low(both), min_factors: low(isa.shr(both, 4)) });
            });
        });
    }
}
