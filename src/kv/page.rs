//! Keys and values of all heads for 128 tokens, in the types the cache was asked for, and the writing of a token into them. What the
//! tile reads is described at [`Part`]. A page is one piece of memory in the order in which decoding reads it: head after head, of each
//! the keys' scales, the keys, the values' scales, the values.

use super::slab::Memory;
use crate::attention::{BLOCK, CacheType, Numbers, PAGE, Part, TILE};
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::io::{self, Read, Write};
use std::ops::Range;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Keys and values of one page.
#[derive(Debug, Clone)]
pub struct Page {
    memory: Memory,
    head: HeadPlan,
    n_heads: usize,
}

/// What lies where in the memory of a head.
#[derive(Debug, Clone, Copy)]
struct HeadPlan {
    keys: CacheType,
    values: CacheType,
    /// Bytes of the keys' scales, the keys, the values' scales and the values: whole lines each.
    lens: [usize; 4],
}

/// One head's part of a side, to be written.
#[derive(Debug)]
struct PartMut<'a> {
    scales: &'a mut [f16],
    numbers: NumbersMut<'a>,
}

#[derive(Debug)]
enum NumbersMut<'a> {
    F16(&'a mut [f16]),
    F32(&'a mut [f32]),
    Q8_0(&'a mut [i8]),
    Q4_0(&'a mut [u8]),
}

/// One head's part of one page, to be written.
#[derive(Debug)]
pub struct PageSlot<'a> {
    /// The head.
    pub kv_head: usize,
    /// Position of the page's first token.
    pub start: usize,
    keys: PartMut<'a>,
    values: PartMut<'a>,
}

impl Page {
    /// Zeros for `n_heads` heads of `width` numbers, whole blocks where a side is quantised.
    pub fn new((keys, values): (CacheType, CacheType), n_heads: usize, width: usize) -> Page {
        let head = HeadPlan::new(keys, values, width * PAGE);
        Page { memory: Memory::zeros(n_heads * head.bytes(), None, 1), head, n_heads }
    }

    /// A page of the same make for the tokens after this one's, beside it in memory where that is free, else where `room` pages fit.
    pub fn next(&self, room: usize) -> Page {
        Page { memory: Memory::zeros(self.memory.len(), Some(&self.memory), room), ..*self }
    }

    /// Keys and values of head `head`. Nothing is known of what is read after them.
    pub fn parts(&self, head: usize) -> (Part<'_>, Part<'_>) {
        self.head.parts(&self.memory[head * self.head.bytes()..][..self.head.bytes()])
    }

    /// The same, as bytes with their scales.
    pub fn bytes_of(&self, head: usize) -> (&[u8], &[u8]) {
        let [key_scales, keys, ..] = self.head.lens;
        self.memory[head * self.head.bytes()..][..self.head.bytes()].split_at(key_scales + keys)
    }

    /// The bytes that the page's token `token` is stored in, but for scales: head by head its tile of keys, and its value in each block.
    pub fn places(&self, token: usize) -> impl Iterator<Item = &[u8]> {
        let [key_scales, keys, value_scales, values] = self.head.lens;
        let (of_tile, of_block) = (keys / (PAGE / TILE), self.head.values.number_bytes(BLOCK));
        self.memory.chunks_exact(self.head.bytes()).flat_map(move |head| {
            let (of_keys, rest) = head[key_scales..].split_at(keys);
            let blocks = rest[value_scales..][..values].chunks_exact(PAGE * of_block);
            let values = blocks.map(move |block| &block[token * of_block..][..of_block]);
            std::iter::once(&of_keys[token / TILE * of_tile..][..of_tile]).chain(values)
        })
    }

    /// Writes all numbers, little-endian.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        self.runs().try_for_each(|run| out.write_all(&self.memory[run]))
    }

    /// Fills all numbers with what [`Page::write_to`] wrote of a page of the same make.
    ///
    /// # Errors
    /// Those of `from`.
    pub fn read_from(&mut self, from: &mut impl Read) -> io::Result<()> {
        self.runs().try_for_each(|run| from.read_exact(&mut self.memory[run]))
    }

    /// The runs of bytes in a file's order: all heads' scales of keys, all their keys, then the same of values.
    fn runs(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (plan, n_heads) = (self.head, self.n_heads);
        (0..4).flat_map(move |run| {
            let start = plan.lens[..run].iter().sum::<usize>();
            (0..n_heads).map(move |head| head * plan.bytes() + start..head * plan.bytes() + start + plan.lens[run])
        })
    }

    /// All heads, to be written; the page's first token is at position `start`.
    pub fn slots_mut(&mut self, start: usize) -> impl Iterator<Item = PageSlot<'_>> {
        let plan = self.head;
        let heads = self.memory.chunks_exact_mut(plan.bytes());
        heads.enumerate().map(move |(kv_head, bytes)| {
            let (keys, values) = plan.parts_mut(bytes);
            PageSlot { kv_head, start, keys, values }
        })
    }
}

impl HeadPlan {
    fn new(keys: CacheType, values: CacheType, n: usize) -> Self {
        HeadPlan { keys, values, lens: [keys.scale_bytes(n), keys.number_bytes(n), values.scale_bytes(n), values.number_bytes(n)] }
    }

    fn bytes(&self) -> usize {
        self.lens.iter().sum()
    }

    fn parts<'a>(&self, mut bytes: &'a [u8]) -> (Part<'a>, Part<'a>) {
        let [key_scales, keys, value_scales, values] = self.lens.map(|len| bytes.split_off(..len).unwrap_or_default());
        let part = |kind, scales, numbers| {
            let numbers = match kind {
                CacheType::F16 => Numbers::F16(typed(numbers)),
                CacheType::F32 => Numbers::F32(typed(numbers)),
                CacheType::Q8_0 => Numbers::Q8_0(typed(numbers)),
                CacheType::Q4_0 => Numbers::Q4_0(numbers),
            };
            Part { scales: typed(scales), numbers, then: &[] }
        };
        (part(self.keys, key_scales, keys), part(self.values, value_scales, values))
    }

    fn parts_mut<'a>(&self, mut bytes: &'a mut [u8]) -> (PartMut<'a>, PartMut<'a>) {
        let [key_scales, keys, value_scales, values] = self.lens.map(|len| bytes.split_off_mut(..len).unwrap_or_default());
        let part = |kind, scales, numbers| {
            let numbers = match kind {
                CacheType::F16 => NumbersMut::F16(typed_mut(numbers)),
                CacheType::F32 => NumbersMut::F32(typed_mut(numbers)),
                CacheType::Q8_0 => NumbersMut::Q8_0(typed_mut(numbers)),
                CacheType::Q4_0 => NumbersMut::Q4_0(numbers),
            };
            PartMut { scales: typed_mut(scales), numbers }
        };
        (part(self.keys, key_scales, keys), part(self.values, value_scales, values))
    }
}

/// A run of bytes as the numbers that it holds.
fn typed<T: FromBytes + Immutable>(run: &[u8]) -> &[T] {
    <[T]>::ref_from_bytes(run).expect("runs are whole lines")
}

fn typed_mut<T: FromBytes + IntoBytes>(run: &mut [u8]) -> &mut [T] {
    <[T]>::mut_from_bytes(run).expect("runs are whole lines")
}

impl PageSlot<'_> {
    /// Stores the key and the value, as wide as the cache stores heads, of the token at `position`.
    pub fn write(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let token = position - self.start;
        // Keys lie by dimension, 16 tokens side by side; values by token, block after block.
        self.keys.write(key, |of| Line { first: (token / TILE * of.all + of.before) * TILE + token % TILE, step: TILE });
        self.values.write(value, |of| Line { first: of.before * PAGE + token * of.n, step: 1 });
    }
}

/// Some of a token's numbers, or the scale that they share.
#[derive(Debug, Clone, Copy)]
struct Portion {
    /// How many of its numbers (or scales) come before.
    before: usize,
    n: usize,
    /// How many it has.
    all: usize,
}

/// Where a portion lies.
#[derive(Debug, Clone, Copy)]
struct Line {
    first: usize,
    step: usize,
}

impl PartMut<'_> {
    /// Stores a token's `x`, block by block, where `place` says.
    fn write(&mut self, all: &[f32], place: impl Fn(Portion) -> Line) {
        for (block, x) in all.chunks(BLOCK).enumerate() {
            let numbers = |per: usize| place(Portion { before: block * BLOCK / per, n: x.len() / per, all: all.len() / per });
            let scale = || place(Portion { before: block, n: 1, all: all.len() / BLOCK }).first;
            match &mut self.numbers {
                NumbersMut::F16(to) => {
                    let mut rounded = [f16::ZERO; BLOCK];
                    rounded[..x.len()].convert_from_f32_slice(x);
                    along(to, numbers(1)).zip(&rounded[..x.len()]).for_each(|(to, rounded)| *to = *rounded);
                }
                NumbersMut::F32(to) => along(to, numbers(1)).zip(x).for_each(|(to, &x)| *to = x),
                NumbersMut::Q8_0(to) => {
                    let unit = f16::from_f32(x.iter().fold(0f32, |most, x| most.max(x.abs())) / 127.0);
                    self.scales[scale()] = unit;
                    let levels = one_over(unit);
                    along(to, numbers(1)).zip(x).for_each(|(to, x)| *to = (x * levels).round_ties_even() as i8);
                }
                NumbersMut::Q4_0(to) => {
                    // As ggml: the number farthest from zero gets level 0, which is −8, so that all sixteen levels are used.
                    let far = x.iter().fold(0f32, |far, &x| if x.abs() > far.abs() { x } else { far });
                    let unit = f16::from_f32(far / -8.0);
                    self.scales[scale()] = unit;
                    let levels = one_over(unit);
                    let level = |x: f32| ((x * levels).round_ties_even() + 8.0).clamp(0.0, 15.0) as u8;
                    let (low, high) = x.split_at(BLOCK / 2);
                    along(to, numbers(2)).zip(low.iter().zip(high)).for_each(|(to, (&low, &high))| *to = level(low) | level(high) << 4);
                }
            }
        }
    }
}

/// The places of a line.
fn along<T>(all: &mut [T], line: Line) -> impl Iterator<Item = &mut T> {
    all.get_mut(line.first..).unwrap_or_default().iter_mut().step_by(line.step)
}

fn one_over(scale: f16) -> f32 {
    if scale == f16::ZERO { 0.0 } else { 1.0 / scale.to_f32() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number `i` of a token's key (or value), as it was stored for head 1 of 2.
    fn read(page: &Page, key: bool, width: usize, token: usize, i: usize) -> (f32, f32) {
        let (keys, values) = page.parts(1);
        let part = if key { keys } else { values };
        // Of `n` numbers a token, `each` a block.
        let line = |n: usize, each: usize, i: usize| match key {
            true => (token / TILE * n + i) * TILE + token % TILE,
            false => i / each * each * PAGE + token * each + i % each,
        };
        let scale = || part.scales[line(width / BLOCK, 1, i / BLOCK)].to_f32();
        match part.numbers {
            Numbers::F16(numbers) => (numbers[line(width, BLOCK, i)].to_f32(), 0.0),
            Numbers::F32(numbers) => (numbers[line(width, BLOCK, i)], 0.0),
            Numbers::Q8_0(numbers) => (f32::from(numbers[line(width, BLOCK, i)]) * scale(), scale()),
            Numbers::Q4_0(numbers) => {
                let byte = numbers[line(width / 2, 16, i / BLOCK * 16 + i % 16)];
                ((f32::from(byte >> (i % BLOCK / 16 * 4) & 15) - 8.0) * scale(), scale())
            }
        }
    }

    #[test]
    fn what_is_stored_is_within_half_a_level() {
        let x: Vec<f32> = (0..64).map(|i| (i as f32 * 1.3).sin() * (1.0 + i as f32)).collect();
        let y: Vec<f32> = x.iter().map(|x| 0.5 - x).collect();
        for (keys, values) in CacheType::ALL.into_iter().flat_map(|keys| CacheType::ALL.map(|values| (keys, values))) {
            let mut page = Page::new((keys, values), 2, 64);
            for position in [300, 317, 255 + 128] {
                page.slots_mut(256).nth(1).unwrap().write(position, &x, &y);
                for i in 0..64 {
                    for (key, want) in [(true, x[i]), (false, y[i])] {
                        let (got, level) = read(&page, key, 64, position - 256, i);
                        // The largest number on the side without a level of its own is off by one.
                        let within = if level == 0.0 { want.abs() / 1024.0 } else { 1.05 * level.abs() };
                        assert!((got - want).abs() <= within, "{keys:?}/{values:?} {position} {i}: {got} is not {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_token_is_stored_in_its_places() {
        let x = [1.5; 64];
        for kind in CacheType::ALL {
            let mut page = Page::new((kind, kind), 2, 64);
            for token in [0, 17, 127] {
                let before = page.memory.to_vec();
                page.slots_mut(0).for_each(|mut slot| slot.write(token, &x, &x));
                let start = page.memory.as_ptr().addr();
                let place = |bytes: &[u8]| bytes.as_ptr().addr() - start..bytes.as_ptr().addr() - start + bytes.len();
                let places: Vec<Range<usize>> = page.places(token).map(place).collect();
                let elsewhere = |at: &usize| before[*at] != page.memory[*at] && !places.iter().any(|place| place.contains(at));
                let scales = 2 * 2 * kind.scale_bytes(64);
                assert!((0..before.len()).filter(elsewhere).count() <= scales, "{kind:?} {token}");
                assert_ne!(before, *page.memory, "{kind:?} {token}");
            }
        }
    }
}
