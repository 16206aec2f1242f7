//! VGG (Simonyan & Zisserman, *Very deep convolutional networks for large-scale image recognition*, 2015) as torchvision has it.

use bespoke_nn::{Conv, Init, Module, Pool, Sgd, Value};

use crate::{
    Architecture, Options, Parts, Task,
    vision::{self, he_fan_out},
};

/// 16 layers: configuration D.
pub const VGG16: Architecture = Architecture {
    name: "vgg16",
    about: "VGG-16 (Simonyan & Zisserman 2015): thirteen 3×3 convolutions, three dense layers, dropout",
    task: Task::Images,
    defaults: Options { batch: 32, size: 224, channels: 3, classes: 1000, width: 1.0 },
    small: Options { batch: 4, size: 32, channels: 3, classes: 10, width: 0.0625 },
    build: |g, options| {
        let (image, label) = vision::inputs(g, options);
        let net = Vgg {
            convolutions: [2, 2, 3, 3, 3],
            features: [64, 128, 256, 512, 512].map(|n| options.features(n)),
            hidden: options.features(4096),
            classes: options.classes,
        };
        Parts::classifier(image.apply(&net), label)
    },
    optimizer: || Box::new(Sgd::new(0.01).momentum(0.9).weight_decay(5e-4)),
};

/// The network, for images of at least 32×32.
#[derive(Clone, Copy, Debug)]
pub struct Vgg {
    /// Convolutions of each stage, behind which the size is halved: 2, 2, 3, 3, 3 in VGG-16.
    pub convolutions: [usize; 5],
    /// Features of each stage: 64, 128, 256, 512, 512.
    pub features: [usize; 5],
    /// Units of the two hidden dense layers: 4096.
    pub hidden: usize,
    /// Classes to tell apart.
    pub classes: usize,
}

impl Module for Vgg {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let mut h = vision::at_least("vgg16", 32, x);
        g.scope("features", || {
            // Numbered as torchvision numbers them: convolutions, ReLUs and poolings in one row.
            let mut i = 0;
            for (&features, &count) in self.features.iter().zip(&self.convolutions) {
                for _ in 0..count {
                    let conv = Conv::new().padding(1).init(he_fan_out(features, 3));
                    h = g.named(&i.to_string(), || h.conv2d(features, 3, conv)).relu();
                    i += 2;
                }
                h = h.max_pool2d(2, Pool::new());
                i += 1;
            }
        });
        g.scope("classifier", || {
            let dense = |name: &str, units: usize, h: Value<'g>| {
                g.named(name, || h.dense_with(units, Init::Normal(0.01), true))
            };
            let h = dense("0", self.hidden, h.adaptive_avg_pool2d(7).flatten()).relu().dropout(0.5);
            let h = dense("3", self.hidden, h).relu().dropout(0.5);
            dense("6", self.classes, h)
        })
    }
}
