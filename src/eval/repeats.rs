//! How much a text repeats itself: the mark of a model whose attention has collapsed.

use crate::types::TokenId;
use std::collections::HashSet;

/// The share of runs of `n` tokens that have been there before: 0 where all are new, almost 1 where a text says one thing over and over
/// (`seq-rep-n`, Welleck et al. 2019, arXiv:1908.04319). 0 for a text shorter than `n`.
pub fn repeated(tokens: &[TokenId], n: usize) -> f64 {
    let all = (tokens.len() + 1).saturating_sub(n.max(1));
    if all == 0 {
        return 0.0;
    }
    let different: HashSet<&[TokenId]> = tokens.windows(n.max(1)).collect();
    1.0 - different.len() as f64 / all as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_counted() {
        let tokens = |ids: &[u32]| ids.iter().map(|&id| TokenId(id)).collect::<Vec<_>>();
        assert_eq!(repeated(&tokens(&[1, 2, 3, 4, 5]), 2), 0.0);
        // Runs: 12, 21, 12, 21 of which two are different.
        assert_eq!(repeated(&tokens(&[1, 2, 1, 2, 1]), 2), 0.5);
        assert_eq!(repeated(&tokens(&[7; 100]), 4), 1.0 - 1.0 / 97.0);
        assert_eq!((repeated(&[], 4), repeated(&tokens(&[1]), 4)), (0.0, 0.0));
    }
}
