//! Which worker begins with what, and in which pieces: decided before the work begins, from its cost alone.

use std::ops::Range;

/// `n` items in `parts` ranges whose lengths are multiples of `grain` (but for the last) and, where nobody is late, differ by at most one
/// grain; for `late`, in items, see [`share`].
pub fn cut_evenly(n: usize, parts: usize, grain: usize, late: usize) -> impl Iterator<Item = Range<usize>> {
    (0..parts).map(move |i| {
        let edge = |i: usize| {
            let items = share(n as u64, late as u64, i, parts) as usize;
            if i == parts { n } else { ((items + grain / 2) / grain * grain).min(n) }
        };
        edge(i)..edge(i + 1)
    })
}

/// How much of `total` the first `i` of `parts` workers take, who are to end together, where all but the first one begin later by what
/// takes them `late`.
pub fn share(total: u64, late: u64, i: usize, parts: usize) -> u64 {
    match i {
        0 => 0,
        _ if i == parts => total,
        _ => total.min(late + total.saturating_sub(late) * i as u64 / parts as u64),
    }
}

/// The items, each of some cost, in `parts` ranges of nearly equal cost; for `late` see [`share`]. An item goes to the side that holds its
/// middle.
pub fn cut_by_cost(costs: impl Iterator<Item = u64> + Clone, late: u64, parts: usize) -> impl Iterator<Item = Range<usize>> {
    let total: u64 = costs.clone().sum();
    let (mut costs, mut item, mut spent) = (costs.peekable(), 0, 0);
    (1..=parts).map(move |part| {
        let (first, goal) = (item, share(total, late, part, parts));
        while let Some(cost) = costs.next_if(|cost| spent + cost / 2 < goal || part == parts) {
            spent += cost;
            item += 1;
        }
        first..item
    })
}

/// A worker's items in pieces: each is half of what is left, rounded to `grain`, as others take over from the end; but for the last
/// one none is shorter than `least`, and none is longer than `most`, which is a multiple of the grain.
pub fn taper(items: Range<usize>, grain: usize, least: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let mut first = items.start;
    std::iter::from_fn(move || {
        let left = items.end - first;
        let half = (left / 2).next_multiple_of(grain);
        let n = if left < 2 * least.max(grain) { left } else { half }.min(most);
        first += n;
        (n > 0).then(|| first - n..first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn even_cuts_cover_everything_once(n in 0usize..5000, parts in 1usize..9, grain in 1usize..70, late in 0usize..300) {
            let mut next = 0;
            for range in cut_evenly(n, parts, grain, late) {
                prop_assert_eq!(range.start, next);
                prop_assert!(range.end == n || range.end % grain == 0);
                next = range.end;
            }
            prop_assert_eq!(next, n);
        }

        #[test]
        fn pieces_cover_everything_once_and_none_but_the_last_is_too_short(
            (first, n) in (0usize..100, 0usize..5000),
            grain in 1usize..70,
            least in 1usize..200,
            most in 1usize..9,
        ) {
            let (mut next, most) = (first, most * grain);
            for range in taper(first..first + n, grain, least, most) {
                prop_assert_eq!(range.start, next);
                prop_assert!(!range.is_empty() && range.len() <= most);
                let last = range.end == first + n;
                prop_assert!(last || range.len().is_multiple_of(grain) && range.len() >= least.min(most));
                next = range.end;
            }
            prop_assert_eq!(next, first + n);
        }

        #[test]
        fn cuts_by_cost_cover_everything_once_and_are_balanced(
            costs in proptest::collection::vec(0u64..100, 0..60),
            late in 0u64..200,
            parts in 1usize..9,
        ) {
            let total: u64 = costs.iter().sum();
            let mut next = 0;
            for (i, range) in cut_by_cost(costs.iter().copied(), late, parts).enumerate() {
                prop_assert_eq!(range.start, next);
                next = range.end;
                let cost: u64 = costs[range.clone()].iter().sum();
                let (begins, all_end) = (if i > 0 && cost > 0 { late } else { 0 }, total.saturating_sub(late) / parts as u64 + late);
                prop_assert!(begins + cost <= all_end + 101, "{} of {}, late {}", cost, total, late);
            }
            prop_assert_eq!(next, costs.len());
        }

        #[test]
        fn shares_grow_from_nothing_to_all_and_the_first_one_is_larger_by_what_the_others_are_late(
            total in 0u64..10_000,
            late in 0u64..1000,
            parts in 1usize..9,
        ) {
            let edges: Vec<u64> = (0..=parts).map(|i| share(total, late, i, parts)).collect();
            prop_assert_eq!((edges[0], edges[parts]), (0, total));
            prop_assert!(edges.is_sorted());
            for i in 1..parts {
                let (first, this) = (edges[1], edges[i + 1] - edges[i]);
                prop_assert!(total < late || first.abs_diff(this + late) <= 1, "{:?}", edges);
            }
        }
    }
}
