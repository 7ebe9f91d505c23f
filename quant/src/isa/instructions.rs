//! Instructions of 64-bit ARM that are written out: those for which Rust has no stable intrinsic, and those of whose intrinsic the compiler
//! makes two.
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

/// The lower half of `a`, and above it that of `b`. Of the intrinsic the compiler makes two instructions, a copy and an insertion.
#[inline(always)]
pub(super) fn lower_halves(a: int64x2_t, b: int64x2_t) -> int64x2_t {
    let halves: int64x2_t;
    unsafe {
        asm!(
            "trn1 {halves:v}.2d, {a:v}.2d, {b:v}.2d",
            halves = lateout(vreg) halves,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    halves
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
