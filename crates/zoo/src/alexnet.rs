//! AlexNet twice: as published, in two halves (Krizhevsky, Sutskever & Hinton, *ImageNet classification with deep convolutional
//! neural networks*, 2012), and in one stream (Krizhevsky, *One weird trick for parallelizing convolutional neural networks*,
//! 2014) as torchvision has it.

use bespoke_nn::{Conv, Init, Module, Optimizer, Pool, Sgd, Value};

use crate::{
    Architecture, Options, Parts, Task,
    vision::{self, by_fan_in, channels},
};

/// In one stream.
pub const ALEXNET: Architecture = Architecture {
    name: "alexnet",
    about: "AlexNet in one stream (Krizhevsky 2014): five convolutions, three dense layers, dropout",
    task: Task::Images,
    defaults: Options { batch: 128, size: 224, channels: 3, classes: 1000, width: 1.0 },
    small: Options { batch: 4, size: 64, channels: 3, classes: 10, width: 0.125 },
    build: |g, options| {
        let (image, label) = vision::inputs(g, options);
        let net = AlexNet {
            features: [64, 192, 384, 256, 256].map(|n| options.features(n)),
            hidden: options.features(4096),
            classes: options.classes,
        };
        Parts::classifier(image.apply(&net), label)
    },
    optimizer,
};

/// In two halves, with local response normalisation. The paper says 224×224, its sizes behind that are those of 227×227.
pub const ALEXNET_GROUPED: Architecture = Architecture {
    name: "alexnet-grouped",
    about: "AlexNet of two halves (Krizhevsky et al. 2012): five convolutions, response normalisation, three dense layers",
    defaults: Options { size: 227, ..ALEXNET.defaults },
    small: Options { size: 67, ..ALEXNET.small },
    build: |g, options| {
        let (image, label) = vision::inputs(g, options);
        let net = GroupedAlexNet {
            features: [96, 256, 384, 384, 256].map(|n| options.features(n)),
            hidden: options.features(4096),
            classes: options.classes,
        };
        Parts::classifier(image.apply(&net), label)
    },
    ..ALEXNET
};

/// The network in one stream, for images of at least 63×63.
#[derive(Clone, Copy, Debug)]
pub struct AlexNet {
    /// Features of the convolutions: 64, 192, 384, 256, 256.
    pub features: [usize; 5],
    /// Units of the two hidden dense layers: 4096.
    pub hidden: usize,
    /// Classes to tell apart.
    pub classes: usize,
}

impl Module for AlexNet {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let conv = |name: &str, features: usize, kernel: usize, conv: Conv, x: Value<'g>| {
            let fan_in = channels(x).saturating_mul(kernel * kernel);
            g.named(name, || x.conv2d(features, kernel, conv.init(by_fan_in(fan_in)))).relu()
        };
        let pool = || Pool::new().stride(2);
        let x = vision::at_least("alexnet", 63, x);
        let [first, second, third, fourth, fifth] = self.features;
        let h = g.scope("features", || {
            let h = conv("0", first, 11, Conv::new().stride(4).padding(2), x).max_pool2d(3, pool());
            let h = conv("3", second, 5, Conv::new().padding(2), h).max_pool2d(3, pool());
            let h = conv("6", third, 3, Conv::new().padding(1), h);
            let h = conv("8", fourth, 3, Conv::new().padding(1), h);
            conv("10", fifth, 3, Conv::new().padding(1), h).max_pool2d(3, pool())
        });
        g.scope("classifier", || {
            let h = h.adaptive_avg_pool2d(6).flatten().dropout(0.5);
            let h = vision::dense("1", self.hidden, h).relu().dropout(0.5);
            vision::dense("6", self.classes, vision::dense("4", self.hidden, h).relu())
        })
    }
}

/// The network in two halves, which see each other in the third convolution and the dense layers, for images of at least 67×67.
#[derive(Clone, Copy, Debug)]
pub struct GroupedAlexNet {
    /// Features of the convolutions: 96, 256, 384, 384, 256; even but for the third.
    pub features: [usize; 5],
    /// Units of the two hidden dense layers: 4096.
    pub hidden: usize,
    /// Classes to tell apart.
    pub classes: usize,
}

impl Module for GroupedAlexNet {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let start = Init::Normal(0.01);
        let conv = |name: &str, features: usize, kernel: usize, conv: Conv, x: Value<'g>| {
            g.named(name, || x.conv2d(features, kernel, conv.init(start))).relu()
        };
        let dense =
            |name: &str, units: usize, x: Value<'g>| g.named(name, || x.dense_with(units, start, true));
        // α = 10⁻⁴ is not divided by the size in the paper.
        let normalised = |x: Value<'g>| x.local_response_norm(5, 5.0 * 1e-4, 0.75, 2.0);
        let pool = || Pool::new().stride(2);
        let x = vision::at_least("alexnet-grouped", 67, x);
        let [first, second, third, fourth, fifth] = self.features;
        let h = normalised(conv("conv1", first, 11, Conv::new().stride(4), x)).max_pool2d(3, pool());
        let h =
            normalised(conv("conv2", second, 5, Conv::new().padding(2).groups(2), h)).max_pool2d(3, pool());
        let h = conv("conv3", third, 3, Conv::new().padding(1), h);
        let h = conv("conv4", fourth, 3, Conv::new().padding(1).groups(2), h);
        let h = conv("conv5", fifth, 3, Conv::new().padding(1).groups(2), h).max_pool2d(3, pool());
        let h = dense("fc6", self.hidden, h.flatten()).relu().dropout_classic(0.5);
        let h = dense("fc7", self.hidden, h).relu().dropout_classic(0.5);
        let logits = dense("fc8", self.classes, h);
        // ReLUs of the first steps are to be positive.
        for layer in ["conv2", "conv4", "conv5", "fc6", "fc7"] {
            g.initialize(&format!("{layer}/bias"), Init::Constant(1.0));
        }
        logits
    }
}

fn optimizer() -> Box<dyn Optimizer> {
    Box::new(Sgd::new(0.01).momentum(0.9).weight_decay(5e-4))
}
