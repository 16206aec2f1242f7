//! MobileNet (Howard et al., *MobileNets: efficient convolutional neural networks for mobile vision applications*, 2017).

use bespoke_nn::{Conv, Init, Module, Sgd, Value};

use crate::{
    Architecture, Options, Parts, Task,
    vision::{self, batch_norm, channels, conv},
};

/// The first version, in full width. The paper's last depthwise convolution keeps its 7×7, in spite of the stride in its table.
pub const MOBILENET_V1: Architecture = Architecture {
    name: "mobilenet-v1",
    about: "MobileNet v1 (Howard et al. 2017): depthwise 3×3 and 1×1 convolutions in turn, batch norm",
    task: Task::Images,
    defaults: Options { batch: 32, size: 224, channels: 3, classes: 1000, width: 1.0 },
    small: Options { batch: 4, size: 32, channels: 3, classes: 10, width: 0.125 },
    build: |g, options| {
        let (image, label) = vision::inputs(g, options);
        let stages = [(64, 1), (128, 2), (256, 2), (512, 6), (1024, 2)];
        let net = MobileNet {
            stem: options.features(32),
            stages: stages.map(|(features, blocks)| (options.features(features), blocks)),
            classes: options.classes,
        };
        Parts::classifier(image.apply(&net), label)
    },
    optimizer: || Box::new(Sgd::new(0.045).momentum(0.9).weight_decay(4e-5)),
};

/// The network, for images of any size.
#[derive(Clone, Copy, Debug)]
pub struct MobileNet {
    /// Features of the first convolution: 32.
    pub stem: usize,
    /// Features of each stage, and its blocks of a depthwise and a 1×1 convolution. Each stage but the first halves the size.
    pub stages: [(usize, usize); 5],
    /// Classes to tell apart.
    pub classes: usize,
}

impl Module for MobileNet {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let mut h = batch_norm("bn1", conv("conv1", self.stem, 3, 2, x)).relu();
        for (stage, &(features, blocks)) in self.stages.iter().enumerate() {
            h = g.scope(&format!("layer{}", stage + 1), || {
                (0..blocks).fold(h, |h, i| {
                    let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                    g.scope(&i.to_string(), || block(features, stride, h))
                })
            });
        }
        vision::dense("fc", self.classes, h.global_avg_pool())
    }
}

/// Each channel by itself, then all at each position.
#[track_caller]
fn block<'g>(features: usize, stride: usize, x: Value<'g>) -> Value<'g> {
    let each = channels(x).max(1);
    let depthwise = Conv::new().stride(stride).padding(1).groups(each).bias(false).init(Init::HeNormal);
    let h = batch_norm("bn1", x.graph().named("depthwise", || x.conv2d(each, 3, depthwise))).relu();
    batch_norm("bn2", conv("pointwise", features, 1, 1, h)).relu()
}
