//! A fully connected network for digits (L06): 784-512-256-10 with ReLU.

use bespoke_nn::{F32, Graph, I32, Init, Sgd};

use crate::{Architecture, Options, Parts, Task};

/// The network, under cross-entropy and gradient descent with momentum.
pub const MLP: Architecture = Architecture {
    name: "mlp",
    about: "784-512-256-10 with ReLU, cross-entropy, gradient descent with momentum",
    task: Task::Images,
    defaults: Options { batch: 128, size: 784, channels: 1, classes: 10, width: 1.0 },
    build,
    optimizer: || Box::new(Sgd::new(0.05).momentum(0.9)),
};

fn build<'g>(g: &'g Graph, options: &Options) -> Parts<'g> {
    let Options { batch, size: pixels, classes, .. } = *options;
    let image = g.input("image", F32, [batch, pixels]);
    let label = g.input("label", I32, [batch]);
    let [first, second] = [512, 256].map(|n| options.features(n));
    let hidden =
        image.dense_with(first, Init::HeNormal, true).relu().dense_with(second, Init::HeNormal, true).relu();
    Parts::classifier(hidden.dense(classes), label)
}
