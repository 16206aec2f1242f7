//! LeNet-5 (LeCun, Bottou, Bengio, Haffner, *Gradient-based learning applied to document recognition*, 1998) with today's
//! parts: ReLU and max pooling, all feature maps connected, cross-entropy.

use bespoke_nn::{Conv, F32, Graph, I32, Init, Module, Pool, Sgd, Value};

use crate::{Architecture, Options, Parts, Task};

/// The network for images of 28×28 in one channel, under gradient descent with momentum.
pub const LENET5: Architecture = Architecture {
    name: "lenet5",
    about: "LeNet-5 (LeCun et al. 1998): two convolutions of 5×5 with max pooling, 120-84-10, ReLU, cross-entropy",
    task: Task::Images,
    defaults: Options { batch: 128, size: 28, channels: 1, classes: 10, width: 1.0 },
    small: Options { batch: 2, size: 28, channels: 1, classes: 10, width: 1.0 },
    build,
    optimizer: || Box::new(Sgd::new(0.05).momentum(0.9)),
};

/// The layers, for images of at least 12×12.
#[derive(Clone, Copy, Debug)]
pub struct LeNet5 {
    /// Features of the two convolutions and of the two hidden dense layers: 6, 16, 120, 84.
    pub features: [usize; 4],
    /// Classes to tell apart.
    pub classes: usize,
}

impl Module for LeNet5 {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let [conv1, conv2, fc1, fc2] = self.features;
        let g = x.graph();
        let conv = Conv::new().init(Init::HeNormal);
        // Maximum and ReLU commute: pooled first, there is a quarter left to do.
        let h = g
            .named("conv1", || x.conv2d(conv1, 5, conv.clone().padding(2)))
            .max_pool2d(2, Pool::new())
            .relu();
        let h = g.named("conv2", || h.conv2d(conv2, 5, conv)).max_pool2d(2, Pool::new()).relu().flatten();
        let h = g.named("fc1", || h.dense_with(fc1, Init::HeNormal, true)).relu();
        let h = g.named("fc2", || h.dense_with(fc2, Init::HeNormal, true)).relu();
        g.named("fc3", || h.dense(self.classes))
    }
}

fn build<'g>(g: &'g Graph, options: &Options) -> Parts<'g> {
    let Options { batch, size, channels, classes, .. } = *options;
    let image = g.input("image", F32, [batch, channels, size, size]);
    let label = g.input("label", I32, [batch]);
    let features = [6, 16, 120, 84].map(|n| options.features(n));
    Parts::classifier(image.apply(&LeNet5 { features, classes }), label)
}
