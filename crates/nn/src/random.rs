//! Random values of a graph.

use bespoke_graph::op;
use bespoke_tensor::{DType, Shape, Tensor};

use crate::{Dims, Graph, Value};

/// Each draw has a state `random<n>/counter` of `u32[2]`: how often it was drawn, and which draw it is. The key is the
/// graph's seed. A query, which changes no state, draws the same values at each run.
impl Graph {
    /// A fresh draw of random words at each run, or at each where `advances` is true: the key is the graph's seed, the counter a
    /// state that counts the draws.
    #[track_caller]
    fn random_bits<'g>(&'g self, shape: Shape, advances: Option<Value<'g>>) -> Value<'g> {
        let seed = self.inner.borrow().seed;
        let site = self.inner.borrow().starts.len() as u32;
        let key = Tensor::from_slice([2], &[seed as u32, (seed >> 32) as u32]).expect("two words");
        let start = Tensor::from_slice([2], &[0u32, site]).expect("two words");
        let counter = self.state(&format!("random{site}/counter"), &start);
        let step = self.tensor(&Tensor::from_slice([2], &[1u32, 0]).expect("two words"));
        let next = counter + step;
        self.set_next(counter, advances.map_or(next, |advances| advances.select(next, counter)));
        let key = self.tensor(&key);
        self.apply("random", op::RandomBits { shape }.into(), &[key, counter])
    }

    /// Uniform numbers of [0, 1), drawn anew at each run.
    #[track_caller]
    pub fn random_uniform<'g>(&'g self, dtype: DType, shape: impl Dims) -> Value<'g> {
        let Some(shape) = self.shape("random", shape) else { return self.spoiled() };
        self.uniform(dtype, self.random_bits(shape, None))
    }

    /// True with a probability, drawn anew at each run of a training step. Queries are not to use it.
    #[track_caller]
    pub(crate) fn bernoulli_in_training(&self, probability: f64, shape: Shape) -> Value<'_> {
        let bits = self.random_bits(shape, Some(self.training()));
        self.uniform(DType::F32, bits).lt(probability)
    }

    /// Uniform numbers of [0, 1), of random words.
    #[track_caller]
    fn uniform<'g>(&'g self, dtype: DType, bits: Value<'g>) -> Value<'g> {
        // 24 bits are exact in every float type, and 1 is never reached.
        let shift = self.constant(8u32);
        let shift = shift.broadcast_to(bits.shape());
        let top = self.apply("random", op::Binary::Shr.into(), &[bits, shift]);
        top.convert(dtype) * (1.0 / f64::from(1 << 24))
    }

    /// Standard normal numbers, drawn anew at each run (Box & Muller 1958).
    #[track_caller]
    pub fn random_normal<'g>(&'g self, dtype: DType, shape: impl Dims) -> Value<'g> {
        let Some(shape) = self.shape("random", shape) else { return self.spoiled() };
        // 1 − u lies in (0, 1].
        let radius = ((1.0 - self.random_uniform(dtype, shape)).log() * -2.0).sqrt();
        radius * (self.random_uniform(dtype, shape) * std::f64::consts::TAU).cos()
    }

    /// True with a probability, drawn anew at each run.
    #[track_caller]
    pub fn random_bernoulli<'g>(&'g self, probability: f64, shape: impl Dims) -> Value<'g> {
        self.random_uniform(DType::F32, shape).lt(probability)
    }
}
