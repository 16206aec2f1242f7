//! LeNet-5 (LeCun, Bottou, Bengio, Haffner, *Gradient-based learning applied to document recognition*, 1998) with today's
//! parts: ReLU and max pooling, all feature maps connected, cross-entropy.

use bespoke_nn::{Conv, F32, Graph, I32, Init, Sgd, Value};

use crate::{Architecture, Parts};

/// The network for images of 28×28 in one channel, under gradient descent.
pub const LENET: Architecture = Architecture {
    name: "lenet",
    about: "LeNet-5 on 28×28: two convolutions of 5×5 with max pooling, 120-84-10, ReLU, cross-entropy",
    batch: 128,
    build,
    optimizer: || Sgd::new(0.05),
};

fn build(g: &Graph, batch: usize) -> Parts<'_> {
    let x = g.input("image", F32, [batch, 1, 28, 28]);
    let labels = g.input("label", I32, [batch]);
    let convolution = Conv::new().init(Init::HeNormal);
    // Maximum and ReLU commute: pooled first, there is a quarter left to do.
    let h = pool(x.conv2d(6, 5, convolution.clone().padding(2))).relu();
    let h = pool(h.conv2d(16, 5, convolution)).relu().flatten();
    let h = h.dense_with(120, Init::HeNormal, true).relu().dense_with(84, Init::HeNormal, true).relu();
    let logits = h.dense(10);
    let loss = logits.cross_entropy(labels).mean();
    Parts { output: logits, loss, metrics: vec![("accuracy", logits.accuracy(labels))] }
}

/// The maxima of squares of 2×2.
fn pool(x: Value<'_>) -> Value<'_> {
    let [n, c, h, w] = x.shape()[..] else { return x };
    x.reshape([n, c, h / 2, 2, w / 2, 2]).max_axes(&[3, 5])
}
