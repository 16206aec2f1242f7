//! DenseNet (Huang, Liu, van der Maaten & Weinberger, *Densely connected convolutional networks*, 2017) as torchvision has it.

use bespoke_nn::{Conv, Init, Module, Pool, Sgd, Value};

use crate::{
    Architecture, Options, Parts, Task,
    vision::{self, batch_norm, channels, join},
};

/// 121 layers, bottlenecks, half of the features behind each block.
pub const DENSENET121: Architecture = Architecture {
    name: "densenet121",
    about: "DenseNet-121 (Huang et al. 2017): layers that see what all before them in a block gave, batch norm",
    task: Task::Images,
    defaults: Options { batch: 32, size: 224, channels: 3, classes: 1000, width: 1.0 },
    small: Options { batch: 4, size: 32, channels: 3, classes: 10, width: 0.125 },
    build: |g, options| {
        let (image, label) = vision::inputs(g, options);
        let net = DenseNet {
            layers: [6, 12, 24, 16],
            stem: options.features(64),
            growth: options.features(32),
            classes: options.classes,
        };
        Parts::classifier(image.apply(&net), label)
    },
    optimizer: || Box::new(Sgd::new(0.1 * 32.0 / 256.0).momentum(0.9).nesterov().weight_decay(1e-4)),
};

/// The network, for images of at least 29×29.
#[derive(Clone, Copy, Debug)]
pub struct DenseNet {
    /// Layers of each block: 6, 12, 24, 16 in DenseNet-121.
    pub layers: [usize; 4],
    /// Features of the first convolution: 64.
    pub stem: usize,
    /// Features that each layer adds: 32.
    pub growth: usize,
    /// Classes to tell apart.
    pub classes: usize,
}

impl Module for DenseNet {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let x = vision::at_least("densenet121", 29, x);
        let h = g.scope("features", || {
            let h = conv("conv0", self.stem, 7, Conv::new().stride(2).padding(3), x);
            let mut h = batch_norm("norm0", h).relu().max_pool2d(3, Pool::new().stride(2).padding(1));
            for (block, &layers) in self.layers.iter().enumerate() {
                if block > 0 {
                    h = g.scope(&format!("transition{block}"), || {
                        let half = channels(h) / 2;
                        conv("conv", half, 1, Conv::new(), batch_norm("norm", h).relu())
                            .avg_pool2d(2, Pool::new())
                    });
                }
                h = g.scope(&format!("denseblock{}", block + 1), || {
                    (1..=layers)
                        .fold(h, |h, i| join(&[h, g.scope(&format!("denselayer{i}"), || self.layer(h))]))
                });
            }
            batch_norm("norm5", h).relu()
        });
        vision::dense("classifier", self.classes, h.global_avg_pool())
    }
}

impl DenseNet {
    /// What a layer adds: a bottleneck of four times as many features, then a 3×3 convolution.
    #[track_caller]
    fn layer<'g>(&self, x: Value<'g>) -> Value<'g> {
        let inner = self.growth.saturating_mul(4);
        let h = conv("conv1", inner, 1, Conv::new(), batch_norm("norm1", x).relu());
        conv("conv2", self.growth, 3, Conv::new().padding(1), batch_norm("norm2", h).relu())
    }
}

#[track_caller]
fn conv<'g>(name: &str, features: usize, kernel: usize, conv: Conv, x: Value<'g>) -> Value<'g> {
    x.graph().named(name, || x.conv2d(features, kernel, conv.bias(false).init(Init::HeNormal)))
}
