//! Q3_K (layout: `format/q3_k.rs`).

use super::{Lanes, Lanes32, Sink, Symmetric16, bytes, low_byte, moved, nibble};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Q3K;

impl Lanes for Q3K {
    const TYPE: Type = Type::Q3_K;
    type Kind = Symmetric16<3, 2>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let scales = scales(isa, rows);
        // Sixteen bytes that end with the block, of which the last two are wanted.
        let d = isa.f16_to_f32(isa.shr(rows.quads(isa, 94)[3], 16));
        let high = rows.octets(isa, 0); // bit j of byte l is the third of weight 32·j + l
        written_out!(n in 0 1 => {
            let crumbs = rows.octets(isa, 32 + 32 * n);
            written_out!(k in 0 1 2 3 => {
                let mut q = crumbs;
                for (q, &high) in q.iter_mut().zip(&high) {
                    let low = moved(isa, *q, 2 * k as u32, 0, 3);
                    *q = isa.or(low, moved(isa, high, (4 * n + k) as u32, 2, 1 << 2));
                }
                // Scales 2·sub and 2·sub + 1 are the lower or upper half of dword sub / 2.
                let pair = isa.shr(scales[2 * n + k / 2], k as u32 % 2 * 16);
                let scale = |shift| isa.mul(d, isa.sub(low_byte(isa, isa.shr(pair, shift)), isa.splat(32.0)));
                sink.take(isa, Lanes32 { q, scale: [scale(0), scale(8)], min: [isa.splat(0.0); 2] });
            });
        });
    }
}

/// The sixteen stored scales, four in a dword.
#[inline(always)]
fn scales<I: Isa>(isa: I, rows: Rows<'_>) -> [I::I; 4] {
    let [_, a, b, high] = rows.quads(isa, 92);
    let top = |shift| isa.shl(isa.and(isa.shr(high, shift), isa.splat_i32(bytes(3))), 4);
    [
        isa.or(nibble(isa, a, 0), top(0)),
        isa.or(nibble(isa, b, 0), top(2)),
        isa.or(nibble(isa, a, 4), top(4)),
        isa.or(nibble(isa, b, 4), top(6)),
    ]
}
