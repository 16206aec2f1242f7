//! Two convolutional players (L30): a generator makes images of noise, a discriminator tells them from real ones (Goodfellow et al.,
//! *Generative adversarial nets*, 2014; Radford, Metz & Chintala, *Unsupervised representation learning with deep convolutional
//! generative adversarial networks*, 2016).

use bespoke_nn::{Adam, Conv, F32, Graph, Init, Module, Norm, Value};

use crate::{Architecture, Options, Parts, Task};

/// Both players for `image` f32 `[batch,channels,size,size]` within [0, 1], where 4 divides `size`; `classes` does not matter. The
/// output is a batch of generated images.
///
/// The loss is the sum of both players', where each player's parameters are constant in the other's: one step trains both at
/// once. [`Parts::players`] has the two alone, for steps in alternation. Metrics: the players' losses, and how likely the
/// discriminator takes real and generated images for real.
pub const DCGAN: Architecture = Architecture {
    name: "dcgan",
    about: "DCGAN for 28x28: noise of 100 to 128-64 features and an image; 64-128 features to real or not; Adam",
    task: Task::Reconstruction,
    defaults: Options { batch: 64, size: 28, channels: 1, classes: 1, width: 1.0 },
    small: Options { batch: 8, size: 8, channels: 1, classes: 1, width: 0.125 },
    build,
    optimizer: || Box::new(Adam::new(2e-4).betas(0.5, 0.999)),
};

/// Weights start normal with the published deviation.
const START: Init = Init::Normal(0.02);

/// Images `[rows,channels,size,size]` within [0, 1] of noise `[rows,latent]`. Parameters: `project/…`, `norm0/…`, `deconv0/…`,
/// `norm1/…`, `deconv1/…`.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    /// Height and width of images, a multiple of 4.
    pub size: usize,
    /// Channels of images.
    pub channels: usize,
    /// Features at a quarter and at half of the size.
    pub features: [usize; 2],
}

impl Module for Generator {
    #[track_caller]
    fn forward<'g>(&self, noise: Value<'g>) -> Value<'g> {
        let (g, [first, second]) = (noise.graph(), self.features);
        if self.size == 0 || !self.size.is_multiple_of(4) {
            return g.mistake(format!("dcgan: expected a size that 4 divides, got {}", self.size));
        }
        let (quarter, rows) = (self.size / 4, noise.shape().first().copied().unwrap_or_default());
        let doubled = Conv::new().stride(2).padding(1).init(START);
        let units = first.saturating_mul(quarter).saturating_mul(quarter);
        let x = g.named("project", || noise.dense_with(units, START, false));
        let x = x.reshape([rows, first, quarter, quarter]);
        let x = g.named("norm0", || x.batch_norm(Norm::new())).relu();
        let x = g.named("deconv0", || x.conv_transpose2d(second, 4, doubled.clone().bias(false)));
        let x = g.named("norm1", || x.batch_norm(Norm::new())).relu();
        g.named("deconv1", || x.conv_transpose2d(self.channels, 4, doubled)).sigmoid()
    }
}

/// The logits `[rows]` of images `[rows,channels,size,size]` being real. Parameters: `conv0/…`, `conv1/…`, `norm1/…`, `head/…`.
#[derive(Clone, Copy, Debug)]
pub struct Discriminator {
    /// Features at half and at a quarter of the size.
    pub features: [usize; 2],
}

impl Module for Discriminator {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let (g, [first, second]) = (x.graph(), self.features);
        let halved = Conv::new().stride(2).padding(1).init(START);
        let x = g.named("conv0", || x.conv2d(first, 4, halved.clone())).leaky_relu(0.2);
        let x = g.named("conv1", || x.conv2d(second, 4, halved.bias(false)));
        let x = g.named("norm1", || x.batch_norm(Norm::new())).leaky_relu(0.2).flatten();
        g.named("head", || x.dense_with(1, START, true)).squeeze(-1)
    }
}

fn build<'g>(g: &'g Graph, options: &Options) -> Parts<'g> {
    let Options { batch, size, channels, .. } = *options;
    let [low, high] = [64, 128].map(|n| options.features(n));
    let image = g.input("image", F32, [batch, channels, size, size]);
    let noise = g.random_normal(F32, [batch, options.features(100)]);
    let made = g.scope("generator", || noise.apply(&Generator { size, channels, features: [high, low] }));
    let judge =
        |x: Value<'g>| g.shared("discriminator", || x.apply(&Discriminator { features: [low, high] }));

    let (real, fake) = (judge(image), judge(made.stop_gradient()));
    // −log D − log(1 − D) of logits: 1 − σ(x) = σ(−x), and −log σ(−x) = softplus(x).
    let discriminator = (fake.softplus() - real.log_sigmoid()).mean();
    // Not to be found out has steeper slopes at first than −log(1 − D) does.
    let generator = -g.fixed(|| judge(made)).log_sigmoid().mean();
    let mut parts = Parts::new(made, discriminator + generator)
        .metric("discriminator", discriminator)
        .metric("generator", generator)
        .metric("real", real.sigmoid())
        .metric("fake", fake.sigmoid());
    parts.players = vec![("discriminator/", discriminator), ("generator/", generator)];
    parts
}
