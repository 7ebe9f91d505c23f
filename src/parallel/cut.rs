//! Static cuts: which worker does what is decided before the work begins, from its cost alone.

use std::ops::Range;

/// `n` items in `parts` ranges whose lengths are multiples of `grain` (but for the last) and differ by at most one grain.
pub fn cut_evenly(n: usize, parts: usize, grain: usize) -> impl Iterator<Item = Range<usize>> {
    let grains = n.div_ceil(grain);
    (0..parts).map(move |i| {
        let edge = |i: usize| (grains * i / parts * grain).min(n);
        edge(i)..edge(i + 1)
    })
}

/// The items in `parts` ranges of nearly equal summed cost.
pub fn cut_by_cost(costs: &[u64], parts: usize) -> Vec<Range<usize>> {
    let total: u64 = costs.iter().sum();
    let mut cuts = Vec::with_capacity(parts);
    let (mut start, mut item, mut spent) = (0, 0, 0u64);
    for part in 1..=parts as u64 {
        let goal = total * part / parts as u64;
        // An item goes to the side that holds its middle.
        while item < costs.len() && (spent + costs[item] / 2 < goal || part == parts as u64) {
            spent += costs[item];
            item += 1;
        }
        cuts.push(start..item);
        start = item;
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn even_cuts_cover_everything_once(n in 0usize..5000, parts in 1usize..9, grain in 1usize..70) {
            let mut next = 0;
            for range in cut_evenly(n, parts, grain) {
                prop_assert_eq!(range.start, next);
                prop_assert!(range.end == n || range.end % grain == 0);
                next = range.end;
            }
            prop_assert_eq!(next, n);
        }

        #[test]
        fn cuts_by_cost_cover_everything_once_and_are_balanced(costs in proptest::collection::vec(0u64..100, 0..60), parts in 1usize..9) {
            let cuts = cut_by_cost(&costs, parts);
            let total: u64 = costs.iter().sum();
            let mut next = 0;
            for range in &cuts {
                prop_assert_eq!(range.start, next);
                next = range.end;
                let cost: u64 = costs[range.clone()].iter().sum();
                prop_assert!(cost <= total / parts as u64 + 101, "{} of {}", cost, total);
            }
            prop_assert_eq!(next, costs.len());
        }
    }
}
