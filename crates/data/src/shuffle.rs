//! Deterministic shuffling.

/// The splitmix64 generator (Steele, Lea, Flood: *Fast splittable pseudorandom number generators*, 2014).
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (positive), each equally likely (Lemire: *Fast random integer generation in an
    /// interval*, 2019).
    fn below(&mut self, bound: u64) -> u64 {
        loop {
            let product = u128::from(self.next()) * u128::from(bound);
            if product as u64 >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }
}

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
    // Both pass through the generator, so that (seed, epoch + 1) and (seed + 1, epoch) have nothing in common.
    let mut generator = SplitMix64(SplitMix64(seed).next() ^ SplitMix64(!epoch).next().rotate_left(32));
    for i in (1..len).rev() {
        order.swap(i, generator.below(i as u64 + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_generator_gives_its_published_values() {
        // Of `splitmix64.c` by Sebastiano Vigna from state 1234567.
        let mut generator = SplitMix64(1234567);
        let expected = [
            6457827717110365317,
            3203168211198807973,
            9817491932198370423,
            4593380528125082431,
            16408922859458223821,
        ];
        assert_eq!(expected.map(|_| generator.next()), expected);
    }

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
