//! Q3_K (layout: `format/q3_k.rs`).

use super::{Lanes, Sink, Symmetric16, halves, moved, nibble, pair};
use crate::format::Type;
use crate::isa::{Isa, Rows};

pub(in super::super) struct Q3K;

impl Lanes for Q3K {
    const TYPE: Type = Type::Q3_K;
    type Kind = Symmetric16<3, 2>;

    #[inline(always)]
    fn unpack<I: Isa, S: Sink<I>>(isa: I, rows: Rows<'_>, sink: &mut S) {
        let (scales, d) = scales(isa, rows);
        let high = rows.octets(isa, 0); // bit j of byte l is the third of weight 32·j + l
        written_out!(n in 0 1 => {
            let (mut even, mut odd) = (rows.octets(isa, 32 + 32 * n), rows.octets(isa, 32 + 32 * n));
            for t in 0..8 {
                // Of four weights of a byte the first and third, then the second and fourth, as three bits of a half each.
                let thirds = nibble(isa, high[t], 4 * n as u32);
                even[t] = isa.or(moved(isa, even[t], 0, 0, 0x33), isa.lookup(&EVEN, thirds));
                odd[t] = isa.or(moved(isa, odd[t], 2, 0, 0x33), isa.lookup(&ODD, thirds));
            }
            written_out!(k in 0 1 2 3 => {
                let mut q = [even, odd][k % 2];
                for q in &mut q {
                    *q = nibble(isa, *q, k as u32 / 2 * 4);
                }
                // Scales 2·sub and 2·sub + 1 are the lower or upper half of dword sub / 2.
                let factors = isa.pairs(scales[2 * n + k / 2], k % 2 == 1);
                sink.take(isa, halves(isa, q, d, isa.add_i16(factors, isa.splat_i32(pair(-32, -32)))));
            });
        });
    }
}

/// The first and third of four bits, as the third bit of each half of a byte.
const EVEN: [u8; 16] = thirds(0);

/// The second and fourth.
const ODD: [u8; 16] = thirds(1);

const fn thirds(from: usize) -> [u8; 16] {
    let mut table = [0; 16];
    let mut bits = 0;
    while bits < 16 {
        table[bits] = ((bits >> from & 1) << 2 | (bits >> (from + 2) & 1) << 6) as u8;
        bits += 1;
    }
    table
}

/// The sixteen stored scales, four in a dword, and their scale.
#[inline(always)]
fn scales<I: Isa>(isa: I, rows: Rows<'_>) -> ([I::I; 4], I::F) {
    // Sixteen bytes that end with the block, of which the first two are weights.
    let [first, second, third, last] = rows.quads(isa, 94);
    let [a, b, high] = [isa.across(first, second), isa.across(second, third), isa.across(third, last)];
    let with_top = |low, from| isa.or(low, moved(isa, high, from, 4, 0x30));
    let scales =
        [with_top(nibble(isa, a, 0), 0), with_top(nibble(isa, b, 0), 2), with_top(nibble(isa, a, 4), 4), with_top(nibble(isa, b, 4), 6)];
    (scales, isa.f16_to_f32(isa.shr(last, 16)))
}
