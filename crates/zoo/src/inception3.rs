//! Inception v3 (Szegedy et al., *Rethinking the inception architecture for computer vision*, 2016) as torchvision has it.

use bespoke_nn::{Conv, Graph, Init, Module, PerAxis, Pool, Sgd, Value};

use crate::{
    Architecture, Options, Parts, Task, features,
    vision::{self, conv_bn_relu, join},
};

/// With its head, which counts 0.4 in the loss.
pub const INCEPTION_V3: Architecture = Architecture {
    name: "inception-v3",
    about: "Inception v3 (Szegedy et al. 2016): factored convolutions side by side, a head for training, batch norm",
    task: Task::Images,
    defaults: Options { batch: 32, size: 299, channels: 3, classes: 1000, width: 1.0 },
    small: Options { batch: 4, size: 75, channels: 3, classes: 10, width: 0.0625 },
    build,
    optimizer: || Box::new(Sgd::new(0.045).momentum(0.9)),
};

/// The network, for images of at least 75×75. Called as a module, it has no head.
#[derive(Clone, Copy, Debug)]
pub struct InceptionV3 {
    /// A factor of all features: 1 as published.
    pub width: f64,
    /// Classes to tell apart.
    pub classes: usize,
}

impl InceptionV3 {
    /// The logits, and those of the head on the last module of 17×17.
    #[track_caller]
    pub fn with_head<'g>(&self, x: Value<'g>) -> (Value<'g>, Value<'g>) {
        let h = self.first_part(x);
        (self.second_part(h), self.head(h))
    }

    #[track_caller]
    fn conv<'g>(
        &self,
        name: &str,
        published: usize,
        kernel: impl Into<PerAxis>,
        conv: Conv,
        x: Value<'g>,
    ) -> Value<'g> {
        conv_bn_relu(name, features(published, self.width), kernel, conv.init(Init::Normal(0.1)), x)
    }

    /// Of 1×1.
    #[track_caller]
    fn point<'g>(&self, name: &str, published: usize, x: Value<'g>) -> Value<'g> {
        self.conv(name, published, 1, Conv::new(), x)
    }

    /// Of stride 1, with as many results.
    #[track_caller]
    fn same<'g>(&self, name: &str, published: usize, kernel: [usize; 2], x: Value<'g>) -> Value<'g> {
        self.conv(name, published, kernel, Conv::new().padding(kernel.map(|k| k / 2)), x)
    }

    /// Of 3×3 and stride 2, without padding.
    #[track_caller]
    fn halve<'g>(&self, name: &str, published: usize, x: Value<'g>) -> Value<'g> {
        self.conv(name, published, 3, Conv::new().stride(2), x)
    }

    /// Up to what is 17×17 for images of 299×299.
    #[track_caller]
    fn first_part<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let h = self.halve("Conv2d_1a_3x3", 32, vision::at_least("inception-v3", 75, x));
        let h = self.conv("Conv2d_2a_3x3", 32, 3, Conv::new(), h);
        let h = self.same("Conv2d_2b_3x3", 64, [3, 3], h).max_pool2d(3, Pool::new().stride(2));
        let h = self.point("Conv2d_3b_1x1", 80, h);
        let h = self.conv("Conv2d_4a_3x3", 192, 3, Conv::new(), h).max_pool2d(3, Pool::new().stride(2));
        let modules = [("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)];
        let h = modules.iter().fold(h, |h, (name, pooled)| g.scope(name, || self.module_35(*pooled, h)));
        let h = g.scope("Mixed_6a", || self.reduction_35(h));
        let modules = [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)];
        modules.iter().fold(h, |h, (name, inner)| g.scope(name, || self.module_17(*inner, h)))
    }

    /// The logits from there.
    #[track_caller]
    fn second_part<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let h = g.scope("Mixed_7a", || self.reduction_17(x));
        let h = g.scope("Mixed_7b", || self.module_8(h));
        let h = g.scope("Mixed_7c", || self.module_8(h));
        let h = h.global_avg_pool().dropout(0.5);
        g.named("fc", || h.dense_with(self.classes, Init::Normal(0.1), true))
    }

    #[track_caller]
    fn pooled<'g>(&self, published: usize, x: Value<'g>) -> Value<'g> {
        self.point("branch_pool", published, x.avg_pool2d(3, Pool::new().stride(1).padding(1)))
    }

    #[track_caller]
    fn module_35<'g>(&self, pooled: usize, x: Value<'g>) -> Value<'g> {
        let five = self.same("branch5x5_2", 64, [5, 5], self.point("branch5x5_1", 48, x));
        let double = self.same("branch3x3dbl_2", 96, [3, 3], self.point("branch3x3dbl_1", 64, x));
        let double = self.same("branch3x3dbl_3", 96, [3, 3], double);
        join(&[self.point("branch1x1", 64, x), five, double, self.pooled(pooled, x)])
    }

    #[track_caller]
    fn reduction_35<'g>(&self, x: Value<'g>) -> Value<'g> {
        let double = self.same("branch3x3dbl_2", 96, [3, 3], self.point("branch3x3dbl_1", 64, x));
        let double = self.halve("branch3x3dbl_3", 96, double);
        join(&[self.halve("branch3x3", 384, x), double, x.max_pool2d(3, Pool::new().stride(2))])
    }

    #[track_caller]
    fn module_17<'g>(&self, inner: usize, x: Value<'g>) -> Value<'g> {
        let seven = self.same("branch7x7_2", inner, [1, 7], self.point("branch7x7_1", inner, x));
        let seven = self.same("branch7x7_3", 192, [7, 1], seven);
        let double = self.same("branch7x7dbl_2", inner, [7, 1], self.point("branch7x7dbl_1", inner, x));
        let double = self.same("branch7x7dbl_3", inner, [1, 7], double);
        let double = self.same("branch7x7dbl_4", inner, [7, 1], double);
        let double = self.same("branch7x7dbl_5", 192, [1, 7], double);
        join(&[self.point("branch1x1", 192, x), seven, double, self.pooled(192, x)])
    }

    #[track_caller]
    fn reduction_17<'g>(&self, x: Value<'g>) -> Value<'g> {
        let three = self.halve("branch3x3_2", 320, self.point("branch3x3_1", 192, x));
        let seven = self.same("branch7x7x3_2", 192, [1, 7], self.point("branch7x7x3_1", 192, x));
        let seven = self.halve("branch7x7x3_4", 192, self.same("branch7x7x3_3", 192, [7, 1], seven));
        join(&[three, seven, x.max_pool2d(3, Pool::new().stride(2))])
    }

    #[track_caller]
    fn module_8<'g>(&self, x: Value<'g>) -> Value<'g> {
        let fork = |names: [&str; 2], h: Value<'g>| {
            join(&[self.same(names[0], 384, [1, 3], h), self.same(names[1], 384, [3, 1], h)])
        };
        let three = fork(["branch3x3_2a", "branch3x3_2b"], self.point("branch3x3_1", 384, x));
        let double = self.same("branch3x3dbl_2", 384, [3, 3], self.point("branch3x3dbl_1", 448, x));
        let double = fork(["branch3x3dbl_3a", "branch3x3dbl_3b"], double);
        join(&[self.point("branch1x1", 320, x), three, double, self.pooled(192, x)])
    }

    /// Where the image is so small that the published pooling does not leave 5×5, it is pooled to that.
    #[track_caller]
    fn head<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let large = x.shape().iter().skip(2).all(|&side| side >= 17);
        let h = if large { x.avg_pool2d(5, Pool::new().stride(3)) } else { x.adaptive_avg_pool2d(5) };
        g.scope("AuxLogits", || {
            let conv = Conv::new().init(Init::Normal(0.01));
            let h = conv_bn_relu("conv1", features(768, self.width), 5, conv, self.point("conv0", 128, h));
            g.named("fc", || h.global_avg_pool().dense_with(self.classes, Init::Normal(0.001), true))
        })
    }
}

impl Module for InceptionV3 {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        self.second_part(self.first_part(x))
    }
}

fn build<'g>(g: &'g Graph, options: &Options) -> Parts<'g> {
    let (image, label) = vision::inputs(g, options);
    let (logits, head) = InceptionV3 { width: options.width, classes: options.classes }.with_head(image);
    vision::with_heads(logits, &[head], 0.4, label)
}
