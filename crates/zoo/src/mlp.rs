//! Fully connected networks: one for digits (L06), 784-512-256-10 with ReLU, and one of any depth.

use bespoke_nn::{F32, Graph, I32, Init, Module, Sgd, Value};

use crate::{Architecture, Options, Parts, Task};

/// The network, under cross-entropy and gradient descent with momentum.
pub const MLP: Architecture = Architecture {
    name: "mlp",
    about: "784-512-256-10 with ReLU, cross-entropy, gradient descent with momentum",
    task: Task::Images,
    defaults: Options { batch: 128, size: 784, channels: 1, classes: 10, width: 1.0 },
    small: Options { batch: 2, size: 784, channels: 1, classes: 10, width: 1.0 },
    build,
    optimizer: || Box::new(Sgd::new(0.05).momentum(0.9)),
};

/// More layers are a mistake.
const DEEPEST: usize = 1000;

/// Ten layers of 500 tanh units (L17), of which `size` says the number, under the squared error: inputs `x` and targets `t`, f32
/// `[batch,channels]`, where `channels` is 500. `classes` does not matter.
pub const DEEP: Architecture = Architecture {
    name: "mlp-deep",
    about: "10 layers of 500 tanh units, mean squared error, gradient descent",
    task: Task::Other,
    defaults: Options { batch: 128, size: 10, channels: 500, classes: 1, width: 1.0 },
    small: Options { batch: 16, size: 10, channels: 20, classes: 1, width: 0.04 },
    build: build_deep,
    optimizer: || Box::new(Sgd::new(0.1)),
};

/// Dense layers of equal width with a function behind each.
#[derive(Clone, Copy, Debug)]
pub struct DeepMlp {
    /// The number of layers.
    pub depth: usize,
    /// Units of each layer but the last.
    pub hidden: usize,
    /// Units of the last layer.
    pub outputs: usize,
    /// How weights start.
    pub init: Init,
    /// The function of each layer.
    pub activation: for<'g> fn(Value<'g>) -> Value<'g>,
}

impl DeepMlp {
    /// What each layer gives, from the first to the last: how far a signal comes depends on how weights start (L17).
    #[track_caller]
    pub fn layers<'g>(&self, x: Value<'g>) -> Vec<Value<'g>> {
        let mut given: Vec<Value<'g>> = vec![];
        for layer in 1..=self.depth {
            let units = if layer == self.depth { self.outputs } else { self.hidden };
            let x = given.last().copied().unwrap_or(x);
            given.push((self.activation)(x.dense_with(units, self.init, true)));
        }
        given
    }
}

impl Module for DeepMlp {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        self.layers(x).last().copied().unwrap_or(x)
    }
}

fn build<'g>(g: &'g Graph, options: &Options) -> Parts<'g> {
    let Options { batch, size: pixels, classes, .. } = *options;
    let image = g.input("image", F32, [batch, pixels]);
    let label = g.input("label", I32, [batch]);
    let [first, second] = [512, 256].map(|n| options.features(n));
    let hidden =
        image.dense_with(first, Init::HeNormal, true).relu().dense_with(second, Init::HeNormal, true).relu();
    Parts::classifier(hidden.dense(classes), label)
}

fn build_deep<'g>(g: &'g Graph, options: &Options) -> Parts<'g> {
    let Options { batch, size: depth, channels, .. } = *options;
    if depth > DEEPEST {
        g.mistake(format!("mlp-deep: expected at most {DEEPEST} layers, got {depth}"));
    }
    let depth = depth.min(DEEPEST);
    let [x, t] = ["x", "t"].map(|name| g.input(name, F32, [batch, channels]));
    let (hidden, init) = (options.features(500), Init::LecunNormal);
    let y = x.apply(&DeepMlp { depth, hidden, outputs: channels, init, activation: |h| h.tanh() });
    Parts::new(y, y.mse(t))
}
