//! Random numbers that depend on the seed only.

use bespoke_graph::philox;

/// A counter-based generator.
///
/// ```
/// let (mut a, mut b) = (bespoke_testkit::Rng::new(7), bespoke_testkit::Rng::new(7));
/// assert_eq!(a.below(1000), b.below(1000));
/// ```
#[derive(Clone, Debug)]
pub struct Rng {
    seed: u64,
    count: u64,
}

impl Rng {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Rng {
        Rng { seed, count: 0 }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let counter = [self.count as u32, (self.count >> 32) as u32, 0, 0];
        self.count += 1;
        let words = philox::block(counter, [self.seed as u32, (self.seed >> 32) as u32]);
        u64::from(words[0]) << 32 | u64::from(words[1])
    }

    /// A number within `0..bound`.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "there is no number below 0");
        (self.bits() % bound as u64) as usize
    }

    /// A number within `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of several.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// The items in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}
