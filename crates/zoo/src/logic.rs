//! Units with a threshold (L04): logic by hand, the perceptron rule, and what one unit cannot do.
//!
//! Truth is 1, falsehood 0. The architectures take points `x` f32 `[batch,channels]` and targets `t` f32 `[batch]` of 0 or 1, with
//! `channels` 2; `size` and `classes` do not matter.

use bespoke_nn::{Adam, F32, Graph, Init, Module, Sgd, Value};

use crate::{Architecture, Options, Parts, Task};

const SIZES: Options = Options { batch: 4, size: 1, channels: 2, classes: 1, width: 1.0 };

/// One unit under the perceptron rule w ← w + η(t − y)x, averaged over the batch (Rosenblatt, *The perceptron*, 1958). The
/// output is 0 or 1; the loss is the excitation of what is wrong, |e| (see [`perceptron_loss`]).
pub const PERCEPTRON: Architecture = Architecture {
    name: "perceptron",
    about: "a unit with a threshold under the perceptron rule: it tells apart what a line can",
    task: Task::Other,
    defaults: SIZES,
    small: SIZES,
    build: |g, options| {
        let (x, t) = inputs(g, options);
        let e = excitation(x);
        Parts::new(threshold(e), perceptron_loss(e, t).mean())
            .metric("accuracy", threshold(e).eq(t).convert(F32))
    },
    optimizer: || Box::new(Sgd::new(1.0)),
};

/// Two layers, 2-4-1 with tanh, which learn what one unit cannot. The output is the probability of 1.
pub const XOR: Architecture = Architecture {
    name: "xor",
    about: "two layers 2-4-1 with tanh under binary cross-entropy, which learn exclusive or",
    task: Task::Other,
    defaults: SIZES,
    small: SIZES,
    build: |g, options| {
        let (x, t) = inputs(g, options);
        // Large weights put the lines of the hidden units between the points from the start.
        let hidden = g.named("hidden", || x.dense_with(options.features(4), Init::Normal(1.5), true)).tanh();
        let logits = g.named("output", || hidden.dense(1)).squeeze(-1);
        let right = logits.gt(0.0).eq(t.gt(0.5)).convert(F32);
        Parts::new(logits.sigmoid(), logits.binary_cross_entropy(t).mean()).metric("accuracy", right)
    },
    optimizer: || Box::new(Adam::new(0.05)),
};

/// A unit with weights and a threshold that are not learned (McCulloch & Pitts, *A logical calculus of the ideas immanent in nervous
/// activity*, 1943): `[rows,inputs]` gives `[rows]`, 1 where Σ wᵢxᵢ reaches the threshold, else 0.
///
/// ```
/// use bespoke_nn::{F32, Graph};
/// use bespoke_tensor::Tensor;
/// use bespoke_zoo::logic::LogicUnit;
///
/// let g = Graph::new();
/// g.output("y", g.input("x", F32, [3, 2]).apply(&LogicUnit::and(2)));
/// let x = Tensor::from_vec([3, 2], vec![1.0f32, 1.0, 1.0, 0.0, 0.0, 0.0])?;
/// assert_eq!(g.compile()?.run(&[("x", &x)])?.get("y").unwrap().view::<f32>()?, [1.0, 0.0, 0.0]);
/// # Ok::<(), bespoke_nn::TrainError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LogicUnit {
    /// One for each input.
    pub weights: Vec<f64>,
    /// What the weighted sum must reach.
    pub threshold: f64,
}

impl LogicUnit {
    /// Are all inputs 1?
    pub fn and(inputs: usize) -> LogicUnit {
        LogicUnit { weights: vec![1.0; inputs], threshold: inputs as f64 - 0.5 }
    }

    /// Is any input 1?
    pub fn or(inputs: usize) -> LogicUnit {
        LogicUnit { weights: vec![1.0; inputs], threshold: 0.5 }
    }

    /// Is no input 1?
    pub fn nor(inputs: usize) -> LogicUnit {
        LogicUnit { weights: vec![-1.0; inputs], threshold: -0.5 }
    }
}

impl Module for LogicUnit {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let expected = self.weights.len();
        if x.shape().rank() != 2 || x.shape()[1] != expected {
            return g.mistake(format!("logic unit: expected [rows,{expected}], got {}", x.ty()));
        }
        let mut sum = g.full(F32, [x.shape()[0]], -self.threshold);
        for (i, &weight) in self.weights.iter().enumerate() {
            sum = sum + x.slice(1, i..i + 1).squeeze(1) * weight;
        }
        threshold(sum)
    }
}

/// Exclusive or of `[rows,2]` by two layers of units: neither both nor none.
#[track_caller]
pub fn exclusive_or(x: Value<'_>) -> Value<'_> {
    let hidden = [LogicUnit::and(2), LogicUnit::nor(2)].map(|unit| x.apply(&unit).expand_dims(1));
    hidden[0].concatenate(&hidden[1..], 1).apply(&LogicUnit::nor(2))
}

/// 1 where an excitation is at least 0, else 0. It has no slope.
#[track_caller]
pub fn threshold(e: Value<'_>) -> Value<'_> {
    e.ge(0.0).convert(F32)
}

/// (y − t)·e of excitations e `[rows]`, where y, 1 or 0, is what the threshold makes of e: |e| where that is wrong, else 0. Its
/// gradient is that of the perceptron rule, (y − t)x.
#[track_caller]
pub fn perceptron_loss<'g>(e: Value<'g>, t: Value<'g>) -> Value<'g> {
    (threshold(e) - t).stop_gradient() * e
}

/// Σ wᵢxᵢ + b of one unit, `[rows]`, with parameters `weight` and `bias`. They start at random, for from 0 the rule ends with points
/// on the line itself.
#[track_caller]
fn excitation(x: Value<'_>) -> Value<'_> {
    let g = x.graph();
    let weight =
        g.parameter("weight", F32, [x.shape().get(1).copied().unwrap_or_default()], Init::Uniform(0.5));
    x.matmul(weight) + g.parameter("bias", F32, [], Init::Uniform(0.5))
}

fn inputs<'g>(g: &'g Graph, options: &Options) -> (Value<'g>, Value<'g>) {
    (g.input("x", F32, [options.batch, options.channels]), g.input("t", F32, [options.batch]))
}
