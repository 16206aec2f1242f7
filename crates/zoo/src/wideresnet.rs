//! Wide residual networks (Zagoruyko & Komodakis 2016): few pre-activation blocks with many features.

use bespoke_nn::{Graph, Module, Sgd, Value};

use crate::{Architecture, Options, Parts, Task, features, preact::PreActResNet, vision};

/// 28 layers, ten times as wide, with dropout.
pub const WIDE_RESNET_28_10: Architecture = Architecture {
    name: "wide-resnet-28-10",
    about: "wide ResNet of 28 layers and factor 10 (Zagoruyko & Komodakis 2016): pre-activation blocks with dropout",
    task: Task::Images,
    defaults: Options { batch: 128, size: 32, channels: 3, classes: 10, width: 1.0 },
    small: Options { batch: 4, size: 16, channels: 3, classes: 10, width: 0.05 },
    build: |g, options| build(g, options, 28, 10, 0.3),
    optimizer: || Box::new(Sgd::new(0.1).momentum(0.9).nesterov().weight_decay(5e-4)),
};

/// 16 layers, four times as wide.
pub const WIDE_RESNET_16_4: Architecture = Architecture {
    name: "wide-resnet-16-4",
    about: "wide ResNet of 16 layers and factor 4 (Zagoruyko & Komodakis 2016): pre-activation blocks",
    small: Options { width: 0.125, ..WIDE_RESNET_28_10.small },
    build: |g, options| build(g, options, 16, 4, 0.0),
    ..WIDE_RESNET_28_10
};

/// The network, for images of any size.
#[derive(Clone, Copy, Debug)]
pub struct WideResNet {
    /// Layers: 4 more than a multiple of 6.
    pub depth: usize,
    /// The factor of features: stages have 16, 32 and 64 times it.
    pub factor: usize,
    /// The probability with which features between the convolutions of a block are dropped.
    pub dropout: f64,
    /// A factor of all features: 1 as published.
    pub width: f64,
    /// Classes to tell apart.
    pub classes: usize,
}

impl Module for WideResNet {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let blocks = self.depth.saturating_sub(4) / 6;
        if blocks == 0 || blocks * 6 + 4 != self.depth {
            return x
                .graph()
                .mistake(format!("wide-resnet: expected a depth of 10, 16, 22 …, got {}", self.depth));
        }
        let stage = |n: usize| (features(self.factor.saturating_mul(n), self.width), blocks);
        let net = PreActResNet {
            stem: features(16, self.width),
            stages: [16, 32, 64].map(stage).to_vec(),
            dropout: self.dropout,
            drop_path: 0.0,
            classes: self.classes,
        };
        net.forward(x)
    }
}

fn build<'g>(g: &'g Graph, options: &Options, depth: usize, factor: usize, dropout: f64) -> Parts<'g> {
    let (image, label) = vision::inputs(g, options);
    let net = WideResNet { depth, factor, dropout, width: options.width, classes: options.classes };
    Parts::classifier(image.apply(&net), label)
}
