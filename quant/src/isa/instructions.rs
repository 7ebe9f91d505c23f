//! Instructions of 64-bit ARM that are written out: those for which Rust has no stable intrinsic, and those whose intrinsics the compiler
//! mixes.
//!
//! SAFETY of every one here: NEON is part of the target, and they touch nothing but their operands. A prefetch reads nothing.

use std::arch::aarch64::*;
use std::arch::asm;

/// Four half floats as f32.
#[inline(always)]
pub(super) fn from_half(x: uint16x4_t) -> float32x4_t {
    let y: float32x4_t;
    unsafe { asm!("fcvtl {y:v}.4s, {x:v}.4h", x = in(vreg) x, y = lateout(vreg) y, options(pure, nomem, nostack, preserves_flags)) };
    y
}

/// The upper four of eight half floats as f32.
#[inline(always)]
pub(super) fn from_upper_half(x: uint16x8_t) -> float32x4_t {
    let y: float32x4_t;
    unsafe { asm!("fcvtl2 {y:v}.4s, {x:v}.8h", x = in(vreg) x, y = lateout(vreg) y, options(pure, nomem, nostack, preserves_flags)) };
    y
}

/// Four f32 as half floats, to nearest even.
#[inline(always)]
pub(super) fn to_half(x: float32x4_t) -> uint16x4_t {
    let y: uint16x4_t;
    unsafe { asm!("fcvtn {y:v}.4h, {x:v}.4s", x = in(vreg) x, y = lateout(vreg) y, options(pure, nomem, nostack, preserves_flags)) };
    y
}

/// Four rows of four numbers, turned. In one piece, or the compiler turns many at once and then has no registers for what is half done.
#[inline(always)]
pub(super) fn turned([mut a, mut b, mut c, mut d]: [int32x4_t; 4]) -> [int32x4_t; 4] {
    unsafe {
        asm!(
            "trn1 {e:v}.4s, {a:v}.4s, {b:v}.4s",
            "trn2 {f:v}.4s, {a:v}.4s, {b:v}.4s",
            "trn1 {g:v}.4s, {c:v}.4s, {d:v}.4s",
            "trn2 {h:v}.4s, {c:v}.4s, {d:v}.4s",
            "trn1 {a:v}.2d, {e:v}.2d, {g:v}.2d",
            "trn1 {b:v}.2d, {f:v}.2d, {h:v}.2d",
            "trn2 {c:v}.2d, {e:v}.2d, {g:v}.2d",
            "trn2 {d:v}.2d, {f:v}.2d, {h:v}.2d",
            a = inout(vreg) a,
            b = inout(vreg) b,
            c = inout(vreg) c,
            d = inout(vreg) d,
            e = out(vreg) _,
            f = out(vreg) _,
            g = out(vreg) _,
            h = out(vreg) _,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    [a, b, c, d]
}

/// `sum` by an instruction that is none, past which the compiler moves no other.
#[inline(always)]
pub(super) fn in_order(sum: float32x4x2_t) -> float32x4x2_t {
    let float32x4x2_t(mut low, mut high) = sum;
    unsafe { asm!("/* {0:v} {1:v} */", inout(vreg) low, inout(vreg) high, options(nomem, nostack, preserves_flags)) };
    float32x4x2_t(low, high)
}

/// Lines that are fetched with one address.
macro_rules! fetch {
    ($cache:literal, $line:ident, $($offset:literal)+) => {
        asm!($(concat!("prfm ", $cache, ", [{0}, #", $offset, "]")),+, in(reg) $line, options(nomem, nostack, preserves_flags))
    };
}

/// Up to four lines, into the first cache where `near`, else the second. A hint, which reads nothing: the address may be any.
#[inline(always)]
pub(super) fn fetch_lines(line: *const u8, lines: usize, near: bool) {
    let line = line.addr();
    unsafe {
        match (near, lines) {
            (_, 0) => {}
            (true, 1) => fetch!("pldl1keep", line, 0),
            (true, 2) => fetch!("pldl1keep", line, 0 64),
            (true, 3) => fetch!("pldl1keep", line, 0 64 128),
            (true, _) => fetch!("pldl1keep", line, 0 64 128 192),
            (false, 1) => fetch!("pldl2keep", line, 0),
            (false, 2) => fetch!("pldl2keep", line, 0 64),
            (false, 3) => fetch!("pldl2keep", line, 0 64 128),
            (false, _) => fetch!("pldl2keep", line, 0 64 128 192),
        }
    }
}
