//! A linear unit under the squared error (L01, L12): y = Σ wᵢxᵢ + b.

use bespoke_nn::{F32, Graph, Init, Sgd};

use crate::{Architecture, Parts};

/// Inputs of the unit.
const INPUTS: usize = 3;

/// The linear unit: its training step is the delta rule w ← w − ηδx.
pub const LINEAR: Architecture = Architecture {
    name: "linear",
    about: "a linear unit of 3 inputs under the squared error: the delta rule",
    batch: 1,
    build,
    optimizer: || Sgd::new(0.1),
};

fn build(g: &Graph, batch: usize) -> Parts<'_> {
    let x = g.input("x", F32, [batch, INPUTS]);
    let t = g.input("t", F32, [batch]);
    let w = g.parameter("w", F32, [INPUTS], Init::Uniform(0.5));
    let b = g.parameter("b", F32, [], Init::Constant(0.0));
    let y = x.matmul(w) + b;
    let loss = (y.squared_error(t) * 0.5).mean();
    Parts { output: y, loss, metrics: vec![] }
}
