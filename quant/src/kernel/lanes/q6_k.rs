//! Q6_K (layout: `format/q6_k.rs`).

use super::{Lanes, Sink, Symmetric16, bytes, halves, moved, nibble, pair};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Q6K;

impl Lanes for Q6K {
    const TYPE: Type = Type::Q6_K;
    type Kind = Symmetric16<6, 5>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let mut scales = rows.quads(isa, 192);
        for scale in &mut scales {
            // 128 more than they are: not negative.
            *scale = isa.xor(*scale, isa.splat_i32(bytes(0x80)));
        }
        // Sixteen bytes that end with the block, of which the last two are wanted.
        let d = isa.f16_to_f32(isa.shr(rows.quads(isa, 194)[3], 16));
        macro_rules! half {
            ($n:expr) => {
                let high = rows.octets(isa, 128 + 32 * $n);
                let mut low = [rows.octets(isa, 64 * $n); 2];
                written_out!(k in 0 1 2 3 => {
                    // No sooner: all of a half are more vectors than there are registers.
                    if k == 1 {
                        low[1] = rows.octets(isa, 64 * $n + 32);
                    }
                    let mut q = low[k % 2];
                    for (q, &high) in q.iter_mut().zip(&high) {
                        *q = isa.or(nibble(isa, *q, k as u32 / 2 * 4), moved(isa, high, 2 * k as u32, 4, 3 << 4));
                    }
                    // Scales 2·sub and 2·sub + 1 are the lower or upper half of dword sub / 2.
                    let factors = isa.pairs(scales[2 * $n + k / 2], k % 2 == 1);
                    sink.take(isa, halves(isa, q, d, isa.add_i16(factors, isa.splat_i32(pair(-128, -128)))));
                });
            };
        }
        if I::LANES == 16 {
            half!(0);
            half!(1);
        } else {
            // A loop is 8 % faster on AVX2; with sixteen lanes it takes 20 % longer.
            for n in 0..2 {
                half!(n);
            }
        }
    }
}
