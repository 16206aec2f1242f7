//! Network in Network (Lin, Chen & Yan 2014), as the authors published it for CIFAR-10.

use bespoke_nn::{Conv, Init, Module, Pool, Sgd, Value};

use crate::{Architecture, Options, Parts, Task, vision};

/// The network for images of 32×32.
pub const NIN: Architecture = Architecture {
    name: "nin",
    about: "Network in Network (Lin et al. 2014): convolutions with 1×1 convolutions behind them, no dense layer",
    task: Task::Images,
    defaults: Options { batch: 128, size: 32, channels: 3, classes: 10, width: 1.0 },
    small: Options { batch: 4, size: 16, channels: 3, classes: 10, width: 0.25 },
    build: |g, options| {
        let (image, label) = vision::inputs(g, options);
        let features =
            [[192, 160, 96], [192, 192, 192], [192, 192, 0]].map(|block| block.map(|n| options.features(n)));
        Parts::classifier(image.apply(&Nin { features, classes: options.classes }), label)
    },
    optimizer: || Box::new(Sgd::new(0.1).momentum(0.9).weight_decay(1e-4)),
};

/// The network, for images of at least 6×6.
#[derive(Clone, Copy, Debug)]
pub struct Nin {
    /// Features of the three convolutions of each of the three blocks; the last of all has as many as there are classes.
    pub features: [[usize; 3]; 3],
    /// Classes to tell apart.
    pub classes: usize,
}

impl Module for Nin {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let conv = |name: &str, features: usize, kernel: usize, x: Value<'g>| {
            let conv = Conv::new().padding(kernel / 2).init(Init::HeNormal);
            g.named(name, || x.conv2d(features, kernel, conv)).relu()
        };
        let block = |number: usize, kernel: usize, features: [usize; 3], x: Value<'g>| {
            let h = conv(&format!("conv{number}"), features[0], kernel, x);
            let h = conv(&format!("cccp{}", 2 * number - 1), features[1], 1, h);
            conv(&format!("cccp{}", 2 * number), features[2], 1, h)
        };
        let pool = || Pool::new().stride(2).ceil_mode();
        let [first, second, [third, fourth, _]] = self.features;
        let h = block(1, 5, first, vision::at_least("nin", 6, x)).max_pool2d(3, pool()).dropout(0.5);
        let h = block(2, 5, second, h).avg_pool2d(3, pool().count_include_pad(false)).dropout(0.5);
        block(3, 3, [third, fourth, self.classes], h).global_avg_pool()
    }
}
