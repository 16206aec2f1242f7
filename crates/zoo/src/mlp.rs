//! A fully connected network for digits (L06): 784-512-256-10 with ReLU.

use bespoke_nn::{F32, Graph, I32, Init, Sgd};

use crate::{Architecture, Parts};

/// The network, under cross-entropy and gradient descent with momentum.
pub const MLP: Architecture = Architecture {
    name: "mlp",
    about: "784-512-256-10 with ReLU, cross-entropy, gradient descent with momentum",
    batch: 128,
    build,
    optimizer: || Sgd::new(0.05).momentum(0.9),
};

fn build(g: &Graph, batch: usize) -> Parts<'_> {
    let x = g.input("image", F32, [batch, 784]);
    let labels = g.input("label", I32, [batch]);
    let hidden = x.dense_with(512, Init::HeNormal, true).relu().dense_with(256, Init::HeNormal, true).relu();
    let logits = hidden.dense(10);
    let loss = logits.cross_entropy(labels).mean();
    Parts { output: logits, loss, metrics: vec![("accuracy", logits.accuracy(labels))] }
}
