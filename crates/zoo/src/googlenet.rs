//! GoogLeNet (Szegedy et al., *Going deeper with convolutions*, 2015) as torchvision has it: with batch norm, and convolutions of
//! 3×3 where the paper has 5×5.

use bespoke_nn::{Conv, Graph, Init, Module, Pool, Sgd, Value};

use crate::{
    Architecture, Options, Parts, Task, features,
    vision::{self, conv_bn_relu, join},
};

/// With its two heads, each of which counts 0.3 in the loss.
pub const GOOGLENET: Architecture = Architecture {
    name: "googlenet",
    about: "GoogLeNet (Szegedy et al. 2015): inception modules, two heads for training, batch norm",
    task: Task::Images,
    defaults: Options { batch: 32, size: 224, channels: 3, classes: 1000, width: 1.0 },
    small: Options { batch: 4, size: 32, channels: 3, classes: 10, width: 0.125 },
    build,
    optimizer: || Box::new(Sgd::new(0.1 * 32.0 / 256.0).momentum(0.9).weight_decay(1e-4)),
};

/// The network, for images of at least 31×31. Called as a module, it has no heads.
#[derive(Clone, Copy, Debug)]
pub struct GoogLeNet {
    /// A factor of all features: 1 as published.
    pub width: f64,
    /// Classes to tell apart.
    pub classes: usize,
    /// The share that is dropped in training before the last layer, and within each head: 0.2 and 0.7.
    pub dropout: [f64; 2],
}

/// Features of an inception module: of the 1×1 convolution; of the 1×1 before a 3×3 and its own; of another such pair; of the
/// 1×1 behind the pooling.
type Widths = [usize; 6];

impl GoogLeNet {
    /// As published, but for this factor of all features.
    pub fn new(width: f64, classes: usize) -> GoogLeNet {
        GoogLeNet { width, classes, dropout: [0.2, 0.7] }
    }

    /// The logits, and those of the heads on the modules 4a and 4d.
    #[track_caller]
    pub fn with_heads<'g>(&self, x: Value<'g>) -> (Value<'g>, [Value<'g>; 2]) {
        let mut heads = vec![];
        let logits = self.logits(x, |module, h| match module {
            "inception4a" => heads.push(self.head("aux1", h)),
            "inception4d" => heads.push(self.head("aux2", h)),
            _ => {}
        });
        (logits, [heads[0], heads[1]])
    }

    /// The logits; `see` is shown what each module gives.
    #[track_caller]
    fn logits<'g>(&self, x: Value<'g>, mut see: impl FnMut(&str, Value<'g>)) -> Value<'g> {
        let x = vision::at_least("googlenet", 31, x);
        let pool = || Pool::new().stride(2).ceil_mode();
        let h = self.conv("conv1", 64, 7, Conv::new().stride(2).padding(3), x).max_pool2d(3, pool());
        let h = self.conv("conv2", 64, 1, Conv::new(), h);
        let h = self.conv("conv3", 192, 3, Conv::new().padding(1), h).max_pool2d(3, pool());
        let mut module = |name: &str, widths: Widths, h: Value<'g>| {
            let h = self.inception(name, widths, h);
            see(name, h);
            h
        };
        let h = module("inception3a", [64, 96, 128, 16, 32, 32], h);
        let h = module("inception3b", [128, 128, 192, 32, 96, 64], h).max_pool2d(3, pool());
        let h = module("inception4a", [192, 96, 208, 16, 48, 64], h);
        let h = module("inception4b", [160, 112, 224, 24, 64, 64], h);
        let h = module("inception4c", [128, 128, 256, 24, 64, 64], h);
        let h = module("inception4d", [112, 144, 288, 32, 64, 64], h);
        let h = module("inception4e", [256, 160, 320, 32, 128, 128], h).max_pool2d(2, pool());
        let h = module("inception5a", [256, 160, 320, 32, 128, 128], h);
        let h = module("inception5b", [384, 192, 384, 48, 128, 128], h).global_avg_pool();
        let h = h.dropout(self.dropout[0]);
        h.graph().named("fc", || h.dense_with(self.classes, Init::Normal(0.01), true))
    }

    #[track_caller]
    fn conv<'g>(&self, name: &str, published: usize, kernel: usize, conv: Conv, x: Value<'g>) -> Value<'g> {
        conv_bn_relu(name, features(published, self.width), kernel, conv.init(Init::Normal(0.01)), x)
    }

    #[track_caller]
    fn inception<'g>(&self, name: &str, widths: Widths, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let [single, reduce3, out3, reduce5, out5, pooled] = widths;
        let pair = |name: &str, reduce: usize, out: usize| {
            g.scope(name, || {
                let h = self.conv("0", reduce, 1, Conv::new(), x);
                self.conv("1", out, 3, Conv::new().padding(1), h)
            })
        };
        g.scope(name, || {
            let h = x.max_pool2d(3, Pool::new().stride(1).padding(1));
            join(&[
                self.conv("branch1", single, 1, Conv::new(), x),
                pair("branch2", reduce3, out3),
                pair("branch3", reduce5, out5),
                g.scope("branch4", || self.conv("1", pooled, 1, Conv::new(), h)),
            ])
        })
    }

    #[track_caller]
    fn head<'g>(&self, name: &str, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let dense = |name: &str, units: usize, h: Value<'g>| {
            g.named(name, || h.dense_with(units, Init::Normal(0.01), true))
        };
        g.scope(name, || {
            let h = self.conv("conv", 128, 1, Conv::new(), x.adaptive_avg_pool2d(4)).flatten();
            let h = dense("fc1", features(1024, self.width), h).relu().dropout(self.dropout[1]);
            dense("fc2", self.classes, h)
        })
    }
}

impl Module for GoogLeNet {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        self.logits(x, |_, _| {})
    }
}

fn build<'g>(g: &'g Graph, options: &Options) -> Parts<'g> {
    let (image, label) = vision::inputs(g, options);
    let (logits, heads) = GoogLeNet::new(options.width, options.classes).with_heads(image);
    vision::with_heads(logits, &heads, 0.3, label)
}
