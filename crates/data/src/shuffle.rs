//! Deterministic shuffling.

use crate::Draws;

/// The numbers below `len` in an order that is a function of `seed` and `epoch` alone (Fisher–Yates).
///
/// ```
/// use bespoke_data::permutation;
///
/// let order = permutation(5, 42, 0);
/// assert_eq!(order, permutation(5, 42, 0));
/// let mut sorted = order.clone();
/// sorted.sort();
/// assert_eq!(sorted, [0, 1, 2, 3, 4]);
/// ```
pub fn permutation(len: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    let mut draws = Draws::of_epoch(seed, epoch);
    for i in (1..len).rev() {
        order.swap(i, draws.below(i + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_orders_are_equally_likely() {
        let mut counts = std::collections::BTreeMap::new();
        for epoch in 0..24_000 {
            *counts.entry(permutation(4, 7, epoch)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 24);
        for (order, count) in counts {
            assert!((850..1150).contains(&count), "{order:?} came {count} times of 1000 expected");
        }
    }

    #[test]
    fn seeds_and_epochs_give_different_orders() {
        let orders: HashSet<_> = (0..20).flat_map(|s| (0..20).map(move |e| permutation(50, s, e))).collect();
        assert_eq!(orders.len(), 400);
        assert_eq!(permutation(0, 1, 1), []);
        assert_eq!(permutation(1, 1, 1), [0]);
    }

    #[test]
    fn the_order_is_the_same_on_every_machine() {
        // Computed by an independent program; a change here changes every training run.
        assert_eq!(permutation(10, 42, 3), [8, 1, 5, 9, 7, 3, 6, 0, 2, 4]);
    }
}
