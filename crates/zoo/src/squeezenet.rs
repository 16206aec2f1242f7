//! SqueezeNet (Iandola et al., *SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size*, 2016) as
//! torchvision has it.

use bespoke_nn::{Conv, Graph, Init, Module, Pool, Sgd, Value};

use crate::{
    Architecture, Options, Parts, Task, features,
    vision::{self, join},
};

/// As published.
pub const SQUEEZENET1_0: Architecture = Architecture {
    name: "squeezenet1.0",
    about: "SqueezeNet 1.0 (Iandola et al. 2016): modules that squeeze features and expand them again",
    task: Task::Images,
    defaults: Options { batch: 32, size: 224, channels: 3, classes: 1000, width: 1.0 },
    small: Options { batch: 4, size: 32, channels: 3, classes: 10, width: 0.25 },
    build: |g, options| build(g, options, Version::V1_0),
    optimizer: || Box::new(Sgd::new(0.01).momentum(0.9).weight_decay(2e-4)),
};

/// The authors' later version, with 2.4 times less work.
pub const SQUEEZENET1_1: Architecture = Architecture {
    name: "squeezenet1.1",
    about: "SqueezeNet 1.1 (Iandola et al. 2016): 2.4 times less work than 1.0",
    build: |g, options| build(g, options, Version::V1_1),
    ..SQUEEZENET1_0
};

/// The network, for images of at least 29×29 (1.0) or 25×25 (1.1).
#[derive(Clone, Copy, Debug)]
pub struct SqueezeNet {
    /// Which of the two.
    pub version: Version,
    /// A factor of all features: 1 as published.
    pub width: f64,
    /// Classes to tell apart.
    pub classes: usize,
}

/// The two versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// As published: a first convolution of 7×7, poolings behind modules 1, 4 and 8 (the convolution counted).
    V1_0,
    /// A first convolution of 3×3, and poolings earlier on.
    V1_1,
}

impl Module for SqueezeNet {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let (name, least, first, kernel, pools) = match self.version {
            Version::V1_0 => ("squeezenet1.0", 29, 96, 7, [2, 6, 11]),
            Version::V1_1 => ("squeezenet1.1", 25, 64, 3, [2, 5, 8]),
        };
        let x = vision::at_least(name, least, x);
        let h = g.scope("features", || {
            let mut h = self.conv("0", first, kernel, Conv::new().stride(2), x);
            let mut modules =
                [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)].iter();
            // Numbered as torchvision numbers them: modules and poolings in one row.
            for i in 2..13 {
                h = match pools.contains(&i) {
                    true => h.max_pool2d(3, Pool::new().stride(2).ceil_mode()),
                    false => match modules.next() {
                        Some(&(squeeze, expand)) => self.fire(&i.to_string(), squeeze, expand, h),
                        None => h,
                    },
                };
            }
            h
        });
        g.scope("classifier", || {
            let conv = Conv::new().init(Init::Normal(0.01));
            g.named("1", || h.dropout(0.5).conv2d(self.classes, 1, conv)).relu().global_avg_pool()
        })
    }
}

impl SqueezeNet {
    #[track_caller]
    fn conv<'g>(&self, name: &str, published: usize, kernel: usize, conv: Conv, x: Value<'g>) -> Value<'g> {
        let features = features(published, self.width);
        x.graph().named(name, || x.conv2d(features, kernel, conv.init(Init::HeUniform))).relu()
    }

    /// Squeezed by 1×1, then expanded by 1×1 and 3×3 side by side.
    #[track_caller]
    fn fire<'g>(&self, name: &str, squeeze: usize, expand: usize, x: Value<'g>) -> Value<'g> {
        x.graph().scope(name, || {
            let h = self.conv("squeeze", squeeze, 1, Conv::new(), x);
            join(&[
                self.conv("expand1x1", expand, 1, Conv::new(), h),
                self.conv("expand3x3", expand, 3, Conv::new().padding(1), h),
            ])
        })
    }
}

fn build<'g>(g: &'g Graph, options: &Options, version: Version) -> Parts<'g> {
    let (image, label) = vision::inputs(g, options);
    let net = SqueezeNet { version, width: options.width, classes: options.classes };
    Parts::classifier(image.apply(&net), label)
}
