//! Residual networks whose blocks begin with normalisation and ReLU (He, Zhang, Ren & Sun, *Identity mappings in deep residual
//! networks*, 2016), with stochastic depth (Huang, Sun, Liu, Sedra & Weinberger, *Deep networks with stochastic depth*, 2016).

use bespoke_nn::{Module, Sgd, Value};

use crate::{
    Architecture, Options, Parts, Task,
    vision::{self, batch_norm, channels, conv},
};

/// 18 layers for images of 32×32, as ResNet-18 without its first pooling. Of the last block, every second example is dropped.
pub const PREACT_RESNET18: Architecture = Architecture {
    name: "preact-resnet18",
    about: "pre-activation ResNet-18 (He et al. 2016) with stochastic depth (Huang et al. 2016), for small images",
    task: Task::Images,
    defaults: Options { batch: 128, size: 32, channels: 3, classes: 10, width: 1.0 },
    small: Options { batch: 4, size: 16, channels: 3, classes: 10, width: 0.125 },
    build: |g, options| {
        let (image, label) = vision::inputs(g, options);
        let net = PreActResNet {
            stem: options.features(64),
            stages: [64, 128, 256, 512].map(|n| (options.features(n), 2)).to_vec(),
            dropout: 0.0,
            drop_path: 0.5,
            classes: options.classes,
        };
        Parts::classifier(image.apply(&net), label)
    },
    optimizer: || Box::new(Sgd::new(0.1).momentum(0.9).weight_decay(1e-4)),
};

/// The network, for images of any size. Its first convolution keeps it.
#[derive(Clone, Debug)]
pub struct PreActResNet {
    /// Features of the first convolution.
    pub stem: usize,
    /// Features and blocks of each stage. Each but the first halves the size.
    pub stages: Vec<(usize, usize)>,
    /// The probability with which features between the convolutions of a block are dropped.
    pub dropout: f64,
    /// The probability with which the last block is dropped for an example; those before it are with linearly less.
    pub drop_path: f64,
    /// Classes to tell apart.
    pub classes: usize,
}

impl Module for PreActResNet {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let all: usize = self.stages.iter().map(|s| s.1).sum();
        let mut done = 0;
        let mut h = conv("conv1", self.stem, 3, 1, x);
        for (stage, &(features, blocks)) in self.stages.iter().enumerate() {
            g.scope(&format!("layer{}", stage + 1), || {
                for i in 0..blocks {
                    let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                    let first = done == 0;
                    done += 1;
                    let drop = self.drop_path * done as f64 / all as f64;
                    h = g.scope(&i.to_string(), || self.block(features, stride, first, drop, h));
                }
            });
        }
        vision::dense("fc", self.classes, batch_norm("bn1", h).relu().global_avg_pool())
    }
}

impl PreActResNet {
    /// shortcut(x) + body(x). The first block of all, and those where shapes change, activate the shortcut too.
    #[track_caller]
    fn block<'g>(&self, features: usize, stride: usize, first: bool, drop: f64, x: Value<'g>) -> Value<'g> {
        let active = batch_norm("bn1", x).relu();
        let h = batch_norm("bn2", conv("conv1", features, 3, stride, active)).relu().dropout(self.dropout);
        let body = conv("conv2", features, 3, 1, h).drop_path(drop);
        let shortcut = if stride > 1 || channels(x) != features {
            x.graph().scope("downsample", || conv("0", features, 1, stride, active))
        } else if first {
            active
        } else {
            x
        };
        shortcut + body
    }
}
