//! Random numbers that are the same on every machine.

use std::ops::RangeInclusive;

/// Random numbers, a function of what they were made of alone: the splitmix64 generator (Steele, Lea, Flood: *Fast
/// splittable pseudorandom number generators*, 2014), which hashes a counter.
///
/// ```
/// use bespoke_data::Draws;
///
/// let mut draws = Draws::new(42, 0, 7);
/// let angle = draws.within(-10.0..=10.0);
/// assert!((-10.0..=10.0).contains(&angle));
/// assert_eq!(Draws::new(42, 0, 7).within(-10.0..=10.0), angle);
/// ```
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// The numbers for an example: a function of seed, epoch and the example's index.
    pub fn new(seed: u64, epoch: u64, index: u64) -> Draws {
        Draws(Draws::of_epoch(seed, epoch).bits() ^ Draws(!index).bits().rotate_left(32))
    }

    /// The numbers for all of an epoch.
    pub(crate) fn of_epoch(seed: u64, epoch: u64) -> Draws {
        // Both pass through the generator, so that (seed, epoch + 1) and (seed + 1, epoch) have nothing in common.
        Draws(Draws(seed).bits() ^ Draws(!epoch).bits().rotate_left(32))
    }

    /// 64 bits, each 0 or 1 with equal probability.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, each equally likely; 0 if `bound` is (Lemire: *Fast random integer generation in an interval*,
    /// 2019).
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        loop {
            let product = u128::from(self.bits()) * u128::from(bound);
            if bound == 0 || product as u64 >= bound.wrapping_neg() % bound {
                return (product >> 64) as usize;
            }
        }
    }

    /// A uniform number in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A uniform number within a range.
    pub fn within(&mut self, range: RangeInclusive<f64>) -> f64 {
        let (low, high) = range.into_inner();
        low + (high - low) * self.uniform()
    }

    /// Two independent standard normal numbers (Box & Muller 1958).
    pub fn normals(&mut self) -> [f64; 2] {
        // 1 − u is never 0.
        let (u, v) = (1.0 - self.uniform(), self.uniform());
        let (radius, (sin, cos)) = ((-2.0 * libm::log(u)).sqrt(), libm::sincos(std::f64::consts::TAU * v));
        [radius * cos, radius * sin]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_generator_gives_its_published_values() {
        // Of `splitmix64.c` by Sebastiano Vigna from state 1234567.
        let mut draws = Draws(1234567);
        let expected = [
            6457827717110365317,
            3203168211198807973,
            9817491932198370423,
            4593380528125082431,
            16408922859458223821,
        ];
        assert_eq!(expected.map(|_| draws.bits()), expected);
    }

    #[test]
    fn examples_have_draws_of_their_own() {
        let parts = || (0..10).flat_map(|s| (0..10).flat_map(move |e| (0..10).map(move |i| (s, e, i))));
        let first: HashSet<u64> = parts().map(|(s, e, i)| Draws::new(s, e, i).bits()).collect();
        assert_eq!(first.len(), 1000);
        // No stream is a later part of another.
        let second: HashSet<u64> = parts()
            .map(|(s, e, i)| {
                let mut draws = Draws::new(s, e, i);
                draws.bits();
                draws.bits()
            })
            .collect();
        assert!(first.is_disjoint(&second));
    }

    #[test]
    fn numbers_have_their_distributions() {
        let mut draws = Draws::new(1, 2, 3);
        let n = 40_000;
        let normals: Vec<f64> = (0..n / 2).flat_map(|_| draws.normals()).collect();
        let moment = |p: i32| normals.iter().map(|x| x.powi(p)).sum::<f64>() / n as f64;
        // Within four standard errors: 4·√(Var xᵖ / n).
        for (p, expected, tolerance) in [(1, 0.0, 0.02), (2, 1.0, 0.029), (3, 0.0, 0.078), (4, 3.0, 0.2)] {
            assert!((moment(p) - expected).abs() < tolerance, "moment {p} is {}", moment(p));
        }
        let uniforms: Vec<f64> = (0..n).map(|_| draws.within(2.0..=4.0)).collect();
        assert!(uniforms.iter().all(|u| (2.0..4.0).contains(u)));
        let mean = uniforms.iter().sum::<f64>() / n as f64;
        assert!((mean - 3.0).abs() < 0.012, "{mean}");
        let mut counts = [0; 3];
        (0..n).for_each(|_| counts[draws.below(3)] += 1);
        assert!(counts.iter().all(|c| (12_950..13_720).contains(c)), "{counts:?}");
        assert_eq!((draws.below(0), draws.below(1)), (0, 0));
    }
}
