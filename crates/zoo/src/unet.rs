//! U-Net (Ronneberger, Fischer & Brox, *U-Net: convolutional networks for biomedical image segmentation*, 2015).

use bespoke_nn::{Conv, F32, Graph, I32, Init, Module, Pool, Sgd, Value};

use crate::{Architecture, Options, Parts, Task, vision};

/// Classes of pixels: `image` f32 `[batch,channels,size,size]` and `label` i32 `[batch,side,side]` of the pixels that are
/// answered, in the middle of the image: `side` is `size` − 184, or all where sizes are multiples of 16, which are padded.
/// Without the weights of pixels near borders.
pub const UNET: Architecture = Architecture {
    name: "unet",
    about: "U-Net (Ronneberger et al. 2015): classes of pixels, from features of all scales",
    task: Task::Other,
    defaults: Options { batch: 1, size: 572, channels: 1, classes: 2, width: 1.0 },
    small: Options { batch: 2, size: 188, channels: 1, classes: 2, width: 0.0625 },
    build,
    optimizer: || Box::new(Sgd::new(0.01).momentum(0.99)),
};

/// The network. Images are as large as the poolings ask for: 188, 204, 220 … without padding, multiples of 16 with.
#[derive(Clone, Copy, Debug)]
pub struct UNet {
    /// Features at each scale: 64, 128, 256, 512, 1024.
    pub features: [usize; 5],
    /// Are convolutions padded, so that all pixels are answered?
    pub padded: bool,
    /// Classes to tell apart.
    pub classes: usize,
}

impl Module for UNet {
    /// Logits `[N,classes,side,side]`.
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let (g, shape) = (x.graph(), x.shape());
        let fits = |&side: &usize| match self.padded {
            true => side > 0 && side.is_multiple_of(16),
            false => side >= 188 && side % 16 == 188 % 16,
        };
        if x.node().is_some() && (shape.rank() != 4 || !shape[2..].iter().all(fits)) {
            let sides = if self.padded { "multiples of 16" } else { "188, 204, 220 …" };
            return g.mistake(format!("unet: expected images [N,C,H,W] of sides {sides}, got {}", x.ty()));
        }
        let [first, second, third, fourth, bottom] = self.features;
        let one = g.scope("down1", || self.pair(first, x));
        let two = g.scope("down2", || self.pair(second, one.max_pool2d(2, Pool::new())));
        let three = g.scope("down3", || self.pair(third, two.max_pool2d(2, Pool::new())));
        let four = g.scope("down4", || self.pair(fourth, three.max_pool2d(2, Pool::new()))).dropout(0.5);
        let h = g.scope("bottom", || self.pair(bottom, four.max_pool2d(2, Pool::new()))).dropout(0.5);
        let h = g.scope("up4", || self.up(fourth, four, h));
        let h = g.scope("up3", || self.up(third, three, h));
        let h = g.scope("up2", || self.up(second, two, h));
        let h = g.scope("up1", || self.up(first, one, h));
        g.named("out", || h.conv2d(self.classes, 1, Conv::new().init(Init::HeNormal)))
    }
}

impl UNet {
    /// Two convolutions of 3×3.
    #[track_caller]
    fn pair<'g>(&self, features: usize, x: Value<'g>) -> Value<'g> {
        ["conv1", "conv2"].iter().fold(x, |x, name| {
            let conv = Conv::new().padding(usize::from(self.padded)).init(Init::HeNormal);
            x.graph().named(name, || x.conv2d(features, 3, conv)).relu()
        })
    }

    /// Twice the size in half the features, beside what there is in the middle of the way down.
    #[track_caller]
    fn up<'g>(&self, features: usize, down: Value<'g>, x: Value<'g>) -> Value<'g> {
        let spread = Conv::new().stride(2).init(Init::HeNormal);
        let h = x.graph().named("up", || x.conv_transpose2d(features, 2, spread));
        let middle = (2..4).fold(down, |down, axis| match (down.shape().get(axis), h.shape().get(axis)) {
            (Some(&all), Some(&kept)) if all >= kept => {
                let start = (all - kept) / 2;
                down.slice(axis as isize, start..start + kept)
            }
            _ => down,
        });
        self.pair(features, vision::join(&[middle, h]))
    }
}

fn build<'g>(g: &'g Graph, options: &Options) -> Parts<'g> {
    let Options { batch, size, channels, classes, .. } = *options;
    let image = g.input("image", F32, [batch, channels, size, size]);
    let features = [64, 128, 256, 512, 1024].map(|n| options.features(n));
    let logits = image.apply(&UNet { features, padded: size.is_multiple_of(16), classes });
    let side = logits.shape().get(2).copied().unwrap_or(1);
    let label = g.input("label", I32, [batch, side, side]);
    // A row for each pixel.
    let rows = logits.transpose(&[0, 2, 3, 1]).reshape([batch.saturating_mul(side * side), classes]);
    let labels = label.reshape([batch.saturating_mul(side * side)]);
    let of_image = |each: Value<'g>| each.reshape([batch, side, side]).mean_axes(&[1, 2]);
    Parts::new(logits, of_image(rows.cross_entropy(labels)).mean())
        .metric("accuracy", of_image(rows.accuracy(labels)))
}
