//! A transformer over the patches of an image (L42; Dosovitskiy et al., *An image is worth 16x16 words*, 2021).

use bespoke_nn::{Adam, Conv, F32, Graph, I32, Init, Module, Norm, Value};

use crate::{Architecture, Options, Parts, Task, transformer::Block};

/// Four blocks of width 64 with 4 heads over patches of 4×4, for `image` f32 `[batch,channels,size,size]`, where 4 divides `size`.
pub const VIT: Architecture = Architecture {
    name: "vit",
    about: "ViT-like for 28x28: patches of 4x4, 4 pre-norm blocks of width 64, 4 heads, cross-entropy, Adam",
    task: Task::Images,
    defaults: Options { batch: 64, size: 28, channels: 1, classes: 10, width: 1.0 },
    small: Options { batch: 12, size: 8, channels: 2, classes: 12, width: 0.25 },
    build,
    optimizer: || Box::new(Adam::new(1e-3)),
};

/// The model: logits `[batch,classes]` of images `[batch,channels,size,size]`, from the result at a token that is put before the
/// patches.
///
/// Parameters: `patches/…` as a convolution's, `class_token` `[1,1,width]`, `positions/weight` `[1+patches,width]`, `block<n>/…` as
/// [`Block`] has them, `norm/…`, `head/…`.
///
/// ```
/// use bespoke_nn::{F32, Graph};
/// use bespoke_zoo::vit::Vit;
///
/// let g = Graph::new();
/// let logits = g.input("image", F32, [1, 3, 224, 224]).apply(&Vit::B16);
/// assert_eq!(logits.ty().to_string(), "f32[1,1000]");
/// assert!(g.finish().is_ok());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Vit {
    /// Height and width of a patch, which divide those of the image.
    pub patch: usize,
    /// Numbers of a patch's vector.
    pub width: usize,
    /// The number of blocks.
    pub depth: usize,
    /// Heads of attention, which divide the width.
    pub heads: usize,
    /// Units of the blocks' hidden layers.
    pub hidden: usize,
    /// The share, from 0 to 1, that is dropped of each part's result in training.
    pub dropout: f64,
    /// Classes to tell apart.
    pub classes: usize,
}

impl Vit {
    /// ViT-B/16, of 86,567,656 parameters for images of 3×224×224.
    pub const B16: Vit =
        Vit { patch: 16, width: 768, depth: 12, heads: 12, hidden: 3072, dropout: 0.0, classes: 1000 };
}

impl Module for Vit {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let &[rows, _, height, across] = &x.shape()[..] else {
            return g.mistake(format!("vit: expected images [batch,channels,height,width], got {}", x.ty()));
        };
        let fits = |extent: usize| self.patch > 0 && extent > 0 && extent.is_multiple_of(self.patch);
        if !fits(height) || !fits(across) {
            return g.mistake(format!("vit: patches of {} do not tile {}", self.patch, x.ty()));
        }
        let patches = (height / self.patch) * (across / self.patch);
        let cut = Conv::new().stride(self.patch).init(Init::LecunNormal);
        let x = g.named("patches", || x.conv2d(self.width, self.patch, cut));
        let x = x.reshape([rows, self.width, patches]).t();
        let token = g.parameter("class_token", F32, [1, 1, self.width], Init::Constant(0.0));
        let x = token.broadcast_to([rows, 1, self.width]).concatenate(&[x], 1);
        let mut x = g.named("positions", || x.learned_positions()).dropout(self.dropout);
        let block = Block {
            heads: self.heads,
            hidden: self.hidden,
            causal: false,
            activation: |h| h.gelu(),
            eps: 1e-6,
            dropout: self.dropout,
            init: [Init::GlorotUniform; 2],
        };
        for i in 0..self.depth {
            x = g.scope(&format!("block{i}"), || x.apply(&block));
        }
        // The others' norms are not needed.
        let first = x.slice(1, 0..1).squeeze(1);
        let first = g.named("norm", || first.layer_norm(1, Norm::new().eps(1e-6)));
        g.named("head", || first.dense(self.classes))
    }
}

fn build<'g>(g: &'g Graph, options: &Options) -> Parts<'g> {
    let Options { batch, size, channels, classes, .. } = *options;
    let image = g.input("image", F32, [batch, channels, size, size]);
    let label = g.input("label", I32, [batch]);
    let width = options.features(64);
    let model =
        Vit { patch: 4, width, depth: 4, heads: 4, hidden: options.features(256), dropout: 0.0, classes };
    Parts::classifier(image.apply(&model), label)
}
