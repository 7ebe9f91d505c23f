//! Keys and values of all heads for 128 tokens, in the types the cache was asked for, and the writing of a token into them. What the
//! tile reads is described at [`Part`].

use crate::attention::{BLOCK, CacheType, Numbers, PAGE, Part, TILE};
use half::f16;
use std::io::{self, Read, Write};

/// Keys and values of one page.
#[derive(Debug, Clone)]
pub struct Page {
    keys: Side,
    values: Side,
}

/// Keys or values of all heads, one head after the other.
#[derive(Debug, Clone)]
struct Side {
    scales: Vec<f16>,
    numbers: Stored,
}

/// Numbers in their type, owned.
#[derive(Debug, Clone)]
enum Stored {
    F16(Vec<f16>),
    F32(Vec<f32>),
    Q8_0(Vec<i8>),
    Q4_0(Vec<u8>),
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
    /// Zeros for `n_heads` heads of `d_head`.
    pub fn new((keys, values): (CacheType, CacheType), n_heads: usize, d_head: usize) -> Page {
        Page {
            keys: Side::new(keys, n_heads * keys.width(d_head) * PAGE),
            values: Side::new(values, n_heads * values.width(d_head) * PAGE),
        }
    }

    /// Keys and values of head `head` of `n_heads`.
    pub fn parts(&self, head: usize, n_heads: usize) -> (Part<'_>, Part<'_>) {
        (self.keys.part(head, n_heads), self.values.part(head, n_heads))
    }

    /// Writes all numbers, little-endian.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        [&self.keys, &self.values].into_iter().try_for_each(|side| side.write_to(out))
    }

    /// Fills all numbers with what [`Page::write_to`] wrote of a page of the same make.
    ///
    /// # Errors
    /// Those of `from`.
    pub fn read_from(&mut self, from: &mut impl Read) -> io::Result<()> {
        [&mut self.keys, &mut self.values].into_iter().try_for_each(|side| side.read_from(from))
    }

    /// All heads, to be written; the page's first token is at position `start`.
    pub fn slots_mut(&mut self, n_heads: usize, start: usize) -> impl Iterator<Item = PageSlot<'_>> {
        let sides = self.keys.parts_mut(n_heads).into_iter().zip(self.values.parts_mut(n_heads));
        sides.enumerate().map(move |(kv_head, (keys, values))| PageSlot { kv_head, start, keys, values })
    }
}

impl PageSlot<'_> {
    /// Stores the key and the value, as wide as the cache stores heads, of the token at `position`.
    pub fn write(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let token = position - self.start;
        // Keys lie by dimension, 16 tokens side by side; values by token.
        let by_dimension = |n: usize| Line { first: token / TILE * n * TILE + token % TILE, step: TILE };
        self.keys.write(key, by_dimension, by_dimension);
        self.values.write(value, |n| Line { first: token * n, step: 1 }, |_| Line { first: token, step: PAGE });
    }
}

/// Where a token's numbers lie.
#[derive(Debug, Clone, Copy)]
struct Line {
    first: usize,
    step: usize,
}

impl Side {
    fn new(kind: CacheType, n: usize) -> Side {
        let scales = vec![f16::ZERO; if kind.is_quantised() { n / BLOCK } else { 0 }];
        let numbers = match kind {
            CacheType::F16 => Stored::F16(vec![f16::ZERO; n]),
            CacheType::F32 => Stored::F32(vec![0.0; n]),
            CacheType::Q8_0 => Stored::Q8_0(vec![0; n]),
            CacheType::Q4_0 => Stored::Q4_0(vec![0; n / 2]),
        };
        Side { scales, numbers }
    }

    fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let f16s = |numbers: &[f16]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        out.write_all(&f16s(&self.scales))?;
        out.write_all(&match &self.numbers {
            Stored::F16(numbers) => f16s(numbers),
            Stored::F32(numbers) => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Stored::Q8_0(numbers) => numbers.iter().map(|&x| x as u8).collect(),
            Stored::Q4_0(numbers) => numbers.clone(),
        })
    }

    fn read_from(&mut self, from: &mut impl Read) -> io::Result<()> {
        fill(&mut self.scales, from, f16::from_le_bytes)?;
        match &mut self.numbers {
            Stored::F16(numbers) => fill(numbers, from, f16::from_le_bytes),
            Stored::F32(numbers) => fill(numbers, from, f32::from_le_bytes),
            Stored::Q8_0(numbers) => fill(numbers, from, i8::from_le_bytes),
            Stored::Q4_0(numbers) => from.read_exact(numbers),
        }
    }

    fn part(&self, head: usize, n_heads: usize) -> Part<'_> {
        let numbers = match &self.numbers {
            Stored::F16(all) => Numbers::F16(nth(all, head, n_heads)),
            Stored::F32(all) => Numbers::F32(nth(all, head, n_heads)),
            Stored::Q8_0(all) => Numbers::Q8_0(nth(all, head, n_heads)),
            Stored::Q4_0(all) => Numbers::Q4_0(nth(all, head, n_heads)),
        };
        Part { scales: nth(&self.scales, head, n_heads), numbers }
    }

    fn parts_mut(&mut self, n_heads: usize) -> Vec<PartMut<'_>> {
        let mut scales = split(&mut self.scales, n_heads);
        let mut with_scales = |numbers| PartMut { scales: scales.next().unwrap_or_default(), numbers };
        match &mut self.numbers {
            Stored::F16(all) => split(all, n_heads).map(|part| with_scales(NumbersMut::F16(part))).collect(),
            Stored::F32(all) => split(all, n_heads).map(|part| with_scales(NumbersMut::F32(part))).collect(),
            Stored::Q8_0(all) => split(all, n_heads).map(|part| with_scales(NumbersMut::Q8_0(part))).collect(),
            Stored::Q4_0(all) => split(all, n_heads).map(|part| with_scales(NumbersMut::Q4_0(part))).collect(),
        }
    }
}

/// Reads all of `numbers`, of `N` bytes each.
fn fill<T, const N: usize>(numbers: &mut [T], from: &mut impl Read, number: impl Fn([u8; N]) -> T) -> io::Result<()> {
    let mut bytes = vec![0; N * numbers.len()];
    from.read_exact(&mut bytes)?;
    numbers.iter_mut().zip(bytes.as_chunks().0).for_each(|(x, &bytes)| *x = number(bytes));
    Ok(())
}

/// Part `i` of `n` equal ones.
fn nth<T>(all: &[T], i: usize, n: usize) -> &[T] {
    let len = all.len() / n;
    &all[i * len..(i + 1) * len]
}

fn split<T>(all: &mut [T], n: usize) -> std::slice::ChunksExactMut<'_, T> {
    let len = all.len() / n;
    all.chunks_exact_mut(len.max(1))
}

impl PartMut<'_> {
    /// Stores a token's `x`; `numbers(n)` and `scales(n)` say where, for `n` of them a token.
    fn write(&mut self, x: &[f32], numbers: impl Fn(usize) -> Line, scales: impl Fn(usize) -> Line) {
        let scales = along(self.scales, scales(x.len() / BLOCK));
        match &mut self.numbers {
            NumbersMut::F16(to) => along(to, numbers(x.len())).zip(x).for_each(|(to, &x)| *to = f16::from_f32(x)),
            NumbersMut::F32(to) => along(to, numbers(x.len())).zip(x).for_each(|(to, &x)| *to = x),
            NumbersMut::Q8_0(to) => {
                let mut to = along(to, numbers(x.len()));
                for (scale, x) in scales.zip(x.chunks_exact(BLOCK)) {
                    *scale = f16::from_f32(x.iter().fold(0f32, |most, x| most.max(x.abs())) / 127.0);
                    let levels = one_over(*scale);
                    to.by_ref().zip(x).for_each(|(to, x)| *to = (x * levels).round_ties_even() as i8);
                }
            }
            NumbersMut::Q4_0(to) => {
                let mut to = along(to, numbers(x.len() / 2));
                for (scale, x) in scales.zip(x.chunks_exact(BLOCK)) {
                    // As ggml: the number farthest from zero gets level 0, which is −8, so that all sixteen levels are used.
                    let far = x.iter().fold(0f32, |far, &x| if x.abs() > far.abs() { x } else { far });
                    *scale = f16::from_f32(far / -8.0);
                    let levels = one_over(*scale);
                    let level = |x: f32| ((x * levels).round_ties_even() + 8.0).clamp(0.0, 15.0) as u8;
                    let (low, high) = x.split_at(BLOCK / 2);
                    to.by_ref().zip(low.iter().zip(high)).for_each(|(to, (&low, &high))| *to = level(low) | level(high) << 4);
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
        let (keys, values) = page.parts(1, 2);
        let part = if key { keys } else { values };
        let line = |n: usize, i: usize| if key { (token / TILE * n + i) * TILE + token % TILE } else { token * n + i };
        let scale = || {
            let block = i / BLOCK;
            part.scales[if key { line(width / BLOCK, block) } else { block * PAGE + token }].to_f32()
        };
        match part.numbers {
            Numbers::F16(numbers) => (numbers[line(width, i)].to_f32(), 0.0),
            Numbers::F32(numbers) => (numbers[line(width, i)], 0.0),
            Numbers::Q8_0(numbers) => (f32::from(numbers[line(width, i)]) * scale(), scale()),
            Numbers::Q4_0(numbers) => {
                let byte = numbers[line(width / 2, i / BLOCK * 16 + i % 16)];
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
                page.slots_mut(2, 256).nth(1).unwrap().write(position, &x, &y);
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
}
