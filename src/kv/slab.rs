//! Memory for the pages of caches, cut from slabs that the system is asked to keep in huge pages: a long cache is read from end to end for
//! every token, and pages of 4 KB miss the TLB 500 times as often. Slabs belong to the process, and a place that one session gives back
//! is another's next one, so that what sessions leave behind is no more than the ends of a few slabs. One of the `unsafe` doors.

use memmap2::{MmapMut, MmapRaw};
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// Bytes of a slab, unless one place is larger: some huge pages. Only what has been written takes memory.
const SLAB: usize = 8 << 20;

/// Bytes of a huge page, at whose multiples alone there can be one.
const HUGE: usize = 2 << 20;

/// All slabs that have places in use, by the size of their places.
static SLABS: LazyLock<Mutex<HashMap<usize, Vec<Slab>>>> = LazyLock::new(Mutex::default);

fn slabs() -> MutexGuard<'static, HashMap<usize, Vec<Slab>>> {
    // No panic can leave the lists half changed.
    SLABS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A slab and its places.
struct Slab {
    map: Arc<MmapRaw>,
    places: Vec<Place>,
    free: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Never taken: zeros.
    Fresh,
    /// Given back.
    Used,
    Taken,
}

/// Bytes that nobody else has, from the beginning of a cache line on.
#[derive(Debug)]
pub(super) struct Memory {
    map: Arc<MmapRaw>,
    place: usize,
    len: usize,
}

/// Whether the system gives us what these places need, `(how many, bytes of one)`, beside what is free: asked for in one piece and given
/// back, before it is taken in many.
pub(super) fn can_take(wanted: &[(usize, usize)]) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let all = slabs();
    let mut short: HashMap<usize, usize> = HashMap::new();
    wanted.iter().for_each(|&(places, len)| *short.entry(len).or_default() += places);
    let bytes = short.into_iter().map(|(len, places)| {
        let free: usize = all.get(&len).iter().flat_map(|slabs| slabs.iter()).map(|slab| slab.free).sum();
        let in_slab = places_in_slab(len);
        places.saturating_sub(free).div_ceil(in_slab).saturating_mul(mapped(in_slab, len))
    });
    let bytes = bytes.fold(0, usize::saturating_add);
    bytes == 0 || MmapMut::map_anon(bytes).is_ok()
}

/// How many places of `len` bytes a slab has.
fn places_in_slab(len: usize) -> usize {
    (SLAB / len).max(1)
}

/// Bytes that are mapped for them. Where a mapping begins, and whether a huge page fits in before it ends, is the system's choice: there is
/// room for both.
fn mapped(places: usize, len: usize) -> usize {
    (places * len).next_multiple_of(HUGE).saturating_add(HUGE)
}

impl Memory {
    /// `len` zeros, a whole number of cache lines: behind `before`, where that is free, else where `room` of them fit side by side, else
    /// anywhere. What is read one after the other had better lie so: under a hypervisor, one token's way through 190 MB of pages that lie
    /// apart takes a third longer.
    pub fn zeros(len: usize, before: Option<&Memory>, room: usize) -> Memory {
        let (mut memory, zero) = Memory::take(len, before, room);
        if !zero {
            memory.fill(0);
        }
        memory
    }

    /// `len` bytes, and whether they are zeros; else they are what somebody left.
    fn take(len: usize, before: Option<&Memory>, room: usize) -> (Memory, bool) {
        assert!(len > 0 && len.is_multiple_of(64), "{len} bytes are no whole lines");
        let mut all = slabs();
        let slabs = all.entry(len).or_default();
        let behind = before.and_then(|memory| {
            let slab = slabs.iter().position(|slab| Arc::ptr_eq(&slab.map, &memory.map))?;
            slabs[slab].has_room(memory.place + 1, 1).then_some((slab, memory.place + 1))
        });
        let (slab, place) = behind.unwrap_or_else(|| {
            let find = |room| slabs.iter().enumerate().find_map(|(index, slab)| Some((index, slab.find(room)?)));
            find(room).or_else(|| find(1)).unwrap_or_else(|| {
                slabs.push(Slab::new(len));
                (slabs.len() - 1, 0)
            })
        });
        let slab = &mut slabs[slab];
        let was = std::mem::replace(&mut slab.places[place], Place::Taken);
        slab.free -= 1;
        (Memory { map: slab.map.clone(), place, len }, was == Place::Fresh)
    }

    /// Where in `map` it lies: the first place begins with a huge page.
    fn at(&self) -> usize {
        self.map.as_ptr().addr().wrapping_neg() % HUGE + self.place * self.len
    }
}

impl Slab {
    /// For places of `len` bytes.
    fn new(len: usize) -> Slab {
        let places = places_in_slab(len);
        let map = MmapMut::map_anon(mapped(places, len)).unwrap_or_else(|error| {
            // As a vector would, after the cache has asked whether there is enough.
            panic!("no memory for a page of the cache: {error}")
        });
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Slab { map: Arc::new(map.into()), places: vec![Place::Fresh; places], free: places }
    }

    /// Whether `room` places from `first` on are free.
    fn has_room(&self, first: usize, room: usize) -> bool {
        self.places.get(first..first + room).is_some_and(|places| places.iter().all(|place| *place != Place::Taken))
    }

    /// The first of `room` free places that begin at a multiple of as many.
    fn find(&self, room: usize) -> Option<usize> {
        if self.free < room { None } else { (0..self.places.len()).step_by(room).find(|&first| self.has_room(first, room)) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut all = slabs();
        let Some(slabs) = all.get_mut(&self.len) else { return };
        let Some(at) = slabs.iter().position(|slab| Arc::ptr_eq(&slab.map, &self.map)) else { return };
        slabs[at].places[self.place] = Place::Used;
        slabs[at].free += 1;
        if slabs[at].free == slabs[at].places.len() {
            // Nothing in it is used any more: it goes back to the system when this place does.
            slabs.swap_remove(at);
        }
    }
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        let (mut copy, _) = Memory::take(self.len, None, 1);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the slab is mapped as long as its `Arc` lives and has room for this place from `at()` on (`Slab::new`, `Memory::take`).
        // The place is this value's alone: it is taken from the free ones under the lock, and goes back when the value is dropped; so
        // nobody writes to it while it is borrowed. Its bytes are initialised: the system's zeros, or what was written.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(self.at()), self.len) }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; the value is borrowed mutably, and with it the place.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(self.at()), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slabs of places of `len` bytes; each test has a size of its own, as slabs are the process's.
    fn count(len: usize) -> usize {
        slabs().get(&len).map_or(0, Vec::len)
    }

    #[test]
    fn places_are_apart_and_zero_even_when_used_again() {
        const LEN: usize = 3 << 20;
        let mut all: Vec<Memory> = (0..5).map(|_| Memory::zeros(LEN, None, 1)).collect();
        assert_eq!(count(LEN), 3);
        for (i, memory) in all.iter_mut().enumerate() {
            assert!(memory.iter().all(|&byte| byte == 0) && memory.as_ptr().align_offset(64) == 0);
            memory.fill(i as u8 + 1);
        }
        assert!(all.iter().enumerate().all(|(i, memory)| memory.iter().all(|&byte| byte == i as u8 + 1)));
        drop(all.remove(1));
        let again = Memory::zeros(LEN, None, 1);
        assert!(count(LEN) == 3 && again.iter().all(|&byte| byte == 0));
        assert!(all[2].clone().iter().all(|&byte| byte == 4));
        drop((all, again));
        assert_eq!(count(LEN), 0);
    }

    #[test]
    fn what_comes_after_lies_behind_or_where_there_is_room() {
        const LEN: usize = 65 << 10;
        let new = |before, room| Memory::zeros(LEN, before, room);
        let first = new(None, 1);
        assert!(first.as_ptr().addr().is_multiple_of(HUGE));
        let behind = new(Some(&first), 1);
        let other = new(None, 1);
        assert_eq!([&first, &behind, &other].map(|memory| memory.place), [0, 1, 2]);
        // Behind the second one is taken: the next four that are free together.
        let apart = new(Some(&behind), 4);
        let after_it = new(Some(&apart), 4);
        assert_eq!([apart.place, after_it.place, new(Some(&behind), 1).place], [4, 5, 3]);
        // Where no four lie together any more, a single one does before there is another slab.
        let all: Vec<Memory> = (6..SLAB / LEN).map(|_| new(None, 1)).collect();
        assert_eq!((new(Some(&behind), 4).place, count(LEN), all.len()), (SLAB / LEN - 1, 1, SLAB / LEN - 6));
    }

    #[test]
    fn a_place_larger_than_a_slab_has_its_own() {
        let memory = Memory::zeros(SLAB + 64, None, 1);
        assert_eq!((memory.len(), count(SLAB + 64)), (SLAB + 64, 1));
    }

    #[test]
    fn threads_take_and_give_back_at_once() {
        const LEN: usize = 192 << 10;
        std::thread::scope(|scope| {
            for thread in 1..=4u8 {
                scope.spawn(move || {
                    let mut held: Vec<Memory> = Vec::new();
                    for turn in 0..300usize {
                        let mut memory = Memory::zeros(LEN, None, 1);
                        assert!(memory.iter().all(|&byte| byte == 0));
                        memory.fill(thread);
                        held.push(memory);
                        if turn % 3 == 2 {
                            let given_back = held.swap_remove(turn * 7 % held.len());
                            assert!(given_back.iter().all(|&byte| byte == thread));
                            held.truncate(60);
                        }
                    }
                });
            }
        });
        assert_eq!(count(LEN), 0);
    }
}
