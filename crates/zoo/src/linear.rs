//! A linear unit under the squared error (L01, L12): y = Σ wᵢxᵢ + b.

use bespoke_nn::{F32, Graph, Init, Sgd};

use crate::{Architecture, Options, Parts, Task};

/// The linear unit, of as many inputs as `channels` says, `x` and target `t`: its training step is the delta rule w ← w − ηδx.
pub const LINEAR: Architecture = Architecture {
    name: "linear",
    about: "a linear unit of 3 inputs under the squared error: the delta rule",
    task: Task::Other,
    defaults: Options { batch: 1, size: 1, channels: 3, classes: 1, width: 1.0 },
    small: Options { batch: 2, size: 1, channels: 3, classes: 1, width: 1.0 },
    build,
    optimizer: || Box::new(Sgd::new(0.1)),
};

fn build<'g>(g: &'g Graph, options: &Options) -> Parts<'g> {
    let Options { batch, channels: inputs, .. } = *options;
    let x = g.input("x", F32, [batch, inputs]);
    let t = g.input("t", F32, [batch]);
    let w = g.parameter("w", F32, [inputs], Init::Uniform(0.5));
    let b = g.parameter("b", F32, [], Init::Constant(0.0));
    let y = x.matmul(w) + b;
    let loss = (y.squared_error(t) * 0.5).mean();
    Parts::new(y, loss)
}
