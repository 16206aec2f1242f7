//! What networks for images have in common.

use bespoke_nn::{Conv, F32, Graph, I32, Init, Norm, PerAxis, Value};

use crate::{Options, Parts};

/// The inputs of a classifier: `image` f32 `[batch,channels,size,size]` and `label` i32 `[batch]`.
#[track_caller]
pub fn inputs<'g>(g: &'g Graph, options: &Options) -> (Value<'g>, Value<'g>) {
    let Options { batch, size, channels, .. } = *options;
    (g.input("image", F32, [batch, channels, size, size]), g.input("label", I32, [batch]))
}

/// A classifier with heads that only training has: their cross-entropies, times a weight, are added to its own. Measured on
/// held-out data, the loss is its own alone.
#[track_caller]
pub fn with_heads<'g>(logits: Value<'g>, heads: &[Value<'g>], weight: f64, label: Value<'g>) -> Parts<'g> {
    let own = logits.cross_entropy(label);
    let all = heads.iter().fold(own, |sum, head| sum + head.cross_entropy(label) * weight);
    let loss = label.graph().training().select(all, own).mean();
    Parts::new(logits, loss).metric("accuracy", logits.accuracy(label))
}

/// An image itself, if its sides are at least so long; else a mistake is kept.
#[track_caller]
pub fn at_least<'g>(what: &str, side: usize, x: Value<'g>) -> Value<'g> {
    let shape = x.shape();
    if x.node().is_some() && (shape.rank() != 4 || shape[2] < side || shape[3] < side) {
        let expected = format!("images [N,C,H,W] of at least {side}×{side} pixels");
        return x.graph().mistake(format!("{what}: expected {expected}, got {}", x.ty()));
    }
    x
}

/// The number of channels, axis 1.
pub fn channels(x: Value<'_>) -> usize {
    x.shape().get(1).copied().unwrap_or(1)
}

/// Normal with standard deviation √(2 / fan_out) (He et al. 2015), of a square kernel without groups.
pub fn he_fan_out(features: usize, kernel: usize) -> Init {
    Init::HeNormal.with_fans(features.saturating_mul(kernel * kernel), 1)
}

/// Uniform within ± 1/√fan_in: what weights of PyTorch's layers start as if nothing is said.
pub fn by_fan_in(fan_in: usize) -> Init {
    Init::Uniform((fan_in.max(1) as f64).sqrt().recip())
}

/// A dense layer of a name, whose weight starts as PyTorch's if nothing is said, and the bias at zero.
#[track_caller]
pub fn dense<'g>(name: &str, units: usize, x: Value<'g>) -> Value<'g> {
    x.graph().named(name, || x.dense_with(units, by_fan_in(channels(x)), true))
}

/// A square convolution of a name, without bias, that keeps the size but for its stride, and starts by its fan-out.
#[track_caller]
pub fn conv<'g>(name: &str, features: usize, kernel: usize, stride: usize, x: Value<'g>) -> Value<'g> {
    let conv = Conv::new().stride(stride).padding(kernel / 2).bias(false).init(he_fan_out(features, kernel));
    x.graph().named(name, || x.conv2d(features, kernel, conv))
}

/// Convolution without bias, batch normalisation with ε = 10⁻³ and ReLU, as GoogLeNet and its successors have them in
/// torchvision: `<name>/conv` and `<name>/bn`.
#[track_caller]
pub fn conv_bn_relu<'g>(
    name: &str,
    features: usize,
    kernel: impl Into<PerAxis>,
    conv: Conv,
    x: Value<'g>,
) -> Value<'g> {
    let g = x.graph();
    g.scope(name, || {
        let h = g.named("conv", || x.conv2d(features, kernel, conv.bias(false)));
        g.named("bn", || h.batch_norm(Norm::new().eps(1e-3))).relu()
    })
}

/// Values side by side along the features.
#[track_caller]
pub fn join<'g>(branches: &[Value<'g>]) -> Value<'g> {
    branches[0].concatenate(&branches[1..], 1)
}

/// Batch normalisation of a name.
#[track_caller]
pub fn batch_norm<'g>(name: &str, x: Value<'g>) -> Value<'g> {
    x.graph().named(name, || x.batch_norm(Norm::new()))
}
