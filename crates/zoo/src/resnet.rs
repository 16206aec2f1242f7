//! Residual networks (He, Zhang, Ren & Sun, *Deep residual learning for image recognition*, 2016), as torchvision has them:
//! the stride of a bottleneck is that of its 3×3 convolution.

use bespoke_nn::{Graph, Module, Optimizer, Pool, Sgd, Value};

use crate::{
    Architecture, Options, Parts, Task,
    vision::{self, batch_norm, channels, conv},
};

/// 18 layers: two basic blocks a stage.
pub const RESNET18: Architecture = Architecture {
    name: "resnet18",
    about: "ResNet-18 (He et al. 2016): residual blocks of two 3×3 convolutions, batch norm",
    build: |g, options| build(g, options, Block::Basic, [2, 2, 2, 2]),
    ..RESNET
};

/// 34 layers.
pub const RESNET34: Architecture = Architecture {
    name: "resnet34",
    about: "ResNet-34 (He et al. 2016): residual blocks of two 3×3 convolutions, batch norm",
    build: |g, options| build(g, options, Block::Basic, [3, 4, 6, 3]),
    ..RESNET
};

/// 50 layers, of bottlenecks.
pub const RESNET50: Architecture = Architecture {
    name: "resnet50",
    about: "ResNet-50 (He et al. 2016): residual bottlenecks of 1×1, 3×3 and 1×1 convolutions, batch norm",
    build: |g, options| build(g, options, Block::Bottleneck, [3, 4, 6, 3]),
    ..RESNET
};

/// 101 layers, of bottlenecks.
pub const RESNET101: Architecture = Architecture {
    name: "resnet101",
    about: "ResNet-101 (He et al. 2016): residual bottlenecks of 1×1, 3×3 and 1×1 convolutions, batch norm",
    build: |g, options| build(g, options, Block::Bottleneck, [3, 4, 23, 3]),
    ..RESNET
};

/// 152 layers, of bottlenecks.
pub const RESNET152: Architecture = Architecture {
    name: "resnet152",
    about: "ResNet-152 (He et al. 2016): residual bottlenecks of 1×1, 3×3 and 1×1 convolutions, batch norm",
    build: |g, options| build(g, options, Block::Bottleneck, [3, 8, 36, 3]),
    ..RESNET
};

/// What all have in common.
const RESNET: Architecture = Architecture {
    name: "",
    about: "",
    task: Task::Images,
    defaults: Options { batch: 32, size: 224, channels: 3, classes: 1000, width: 1.0 },
    small: Options { batch: 4, size: 16, channels: 3, classes: 10, width: 0.125 },
    build: |g, options| build(g, options, Block::Basic, [1, 1, 1, 1]),
    optimizer,
};

/// The network, for images of any size.
#[derive(Clone, Copy, Debug)]
pub struct ResNet {
    /// What the stages are made of.
    pub block: Block,
    /// Blocks of each stage. Each but the first halves the size.
    pub blocks: [usize; 4],
    /// Features of each stage: 64, 128, 256, 512. Bottlenecks give four times as many.
    pub features: [usize; 4],
    /// What images of 32×32 need: a first convolution of 3×3 that keeps the size, rather than one of 7×7 and a pooling that
    /// quarter it.
    pub small_images: bool,
    /// Classes to tell apart.
    pub classes: usize,
}

/// The kinds of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Two convolutions of 3×3.
    Basic,
    /// A convolution of 3×3 between two of 1×1, the second of which gives four times the features.
    Bottleneck,
}

impl Module for ResNet {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let mut h = if self.small_images {
            batch_norm("bn1", conv("conv1", self.features[0], 3, 1, x)).relu()
        } else {
            let h = batch_norm("bn1", conv("conv1", self.features[0], 7, 2, x)).relu();
            h.max_pool2d(3, Pool::new().stride(2).padding(1))
        };
        for stage in 0..4 {
            h = g.scope(&format!("layer{}", stage + 1), || {
                (0..self.blocks[stage]).fold(h, |h, i| {
                    let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                    g.scope(&i.to_string(), || self.block.forward(self.features[stage], stride, h))
                })
            });
        }
        vision::dense("fc", self.classes, h.global_avg_pool())
    }
}

impl Block {
    /// relu(shortcut(x) + body(x)), the shortcut a convolution of 1×1 where shapes change.
    #[track_caller]
    fn forward<'g>(self, features: usize, stride: usize, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let (body, out) = match self {
            Block::Basic => {
                let h = batch_norm("bn1", conv("conv1", features, 3, stride, x)).relu();
                (batch_norm("bn2", conv("conv2", features, 3, 1, h)), features)
            }
            Block::Bottleneck => {
                let out = features.saturating_mul(4);
                let h = batch_norm("bn1", conv("conv1", features, 1, 1, x)).relu();
                let h = batch_norm("bn2", conv("conv2", features, 3, stride, h)).relu();
                (batch_norm("bn3", conv("conv3", out, 1, 1, h)), out)
            }
        };
        let shortcut = if stride > 1 || channels(x) != out {
            g.scope("downsample", || batch_norm("1", conv("0", out, 1, stride, x)))
        } else {
            x
        };
        (shortcut + body).relu()
    }
}

/// Images of less than 64×64 are taken as small ones.
fn build<'g>(g: &'g Graph, options: &Options, block: Block, blocks: [usize; 4]) -> Parts<'g> {
    let (image, label) = vision::inputs(g, options);
    let features = [64, 128, 256, 512].map(|n| options.features(n));
    let net = ResNet { block, blocks, features, small_images: options.size < 64, classes: options.classes };
    Parts::classifier(image.apply(&net), label)
}

/// The rate of 0.1 is for batches of 256 rows.
fn optimizer() -> Box<dyn Optimizer> {
    Box::new(Sgd::new(0.1 * 32.0 / 256.0).momentum(0.9).weight_decay(1e-4))
}
