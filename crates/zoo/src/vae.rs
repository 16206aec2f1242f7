//! Variational autoencoder (L36; Kingma & Welling, *Auto-encoding variational Bayes*, 2014).
//!
//! The encoder gives a normal distribution of codes, the decoder images of a code drawn from it. The loss is an upper bound of
//! −log p(image) in nats: what the image costs given the code, plus how far the codes' distribution is from the standard normal
//! one, from which new codes can then be drawn.

use bespoke_nn::{Adam, F32, Graph, Value};

use crate::{Architecture, Options, Parts, Task};

/// 784-400-20-400-784 with tanh, for `image` f32 `[batch,size]` of `size` pixels within [0, 1]; `channels` and `classes` do not
/// matter. A query gives the image of the mean code. Metrics `reconstruction` and `divergence`: the parts of the loss.
pub const VAE: Architecture = Architecture {
    name: "vae",
    about: "variational autoencoder 784-400-20-400-784 with tanh: binary cross-entropy + KL divergence",
    task: Task::Reconstruction,
    defaults: Options { batch: 128, size: 784, channels: 1, classes: 1, width: 1.0 },
    small: Options { batch: 16, size: 36, channels: 1, classes: 1, width: 0.1 },
    build,
    optimizer: || Box::new(Adam::new(1e-3)),
};

/// Encoder and decoder of one hidden layer each. Parameters: `encoder/hidden/…`, `encoder/statistics/…`, `decoder/hidden/…`,
/// `decoder/image/…`.
///
/// ```
/// use bespoke_nn::{F32, Graph};
/// use bespoke_zoo::vae::{Objective, Vae};
///
/// let g = Graph::new();
/// let image = g.input("image", F32, [8, 784]);
/// let model = Vae { hidden: 100, latent: 2 };
/// let code = model.encode(image);
/// let logits = model.decode(code.sample(), 784);
/// let loss = Objective::Both.of(code, logits, image).mean();
/// assert_eq!(loss.ty().to_string(), "f32[]");
/// assert!(g.finish().is_ok());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Vae {
    /// Units of each hidden layer.
    pub hidden: usize,
    /// Numbers of a code.
    pub latent: usize,
}

/// Normal distributions of independent numbers, a row an example.
#[derive(Clone, Copy, Debug)]
pub struct Code<'g> {
    /// μ, `[rows,latent]`.
    pub mean: Value<'g>,
    /// log σ², `[rows,latent]`.
    pub log_variance: Value<'g>,
}

/// Which part of the loss to train on: what each does to the codes is seen by leaving the other out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// The images alone: codes lie far apart, and between them is nothing.
    Reconstruction,
    /// The codes alone: all are standard normal, and tell nothing of their images. The decoder has no part in it: to train on
    /// it, [freeze](Graph::freeze) `decoder/`.
    Divergence,
    /// Both.
    Both,
}

impl Vae {
    /// The codes of images `[rows,pixels]`.
    #[track_caller]
    pub fn encode<'g>(&self, x: Value<'g>) -> Code<'g> {
        let g = x.graph();
        let both = g.scope("encoder", || {
            let hidden = g.named("hidden", || x.dense(self.hidden)).tanh();
            g.named("statistics", || hidden.dense(2 * self.latent))
        });
        let [mean, log_variance] = [0, 1].map(|i| both.slice(1, i * self.latent..(i + 1) * self.latent));
        Code { mean, log_variance }
    }

    /// The logits of the pixels of codes `[rows,latent]`.
    #[track_caller]
    pub fn decode<'g>(&self, code: Value<'g>, pixels: usize) -> Value<'g> {
        let g = code.graph();
        g.scope("decoder", || {
            let hidden = g.named("hidden", || code.dense(self.hidden)).tanh();
            g.named("image", || hidden.dense(pixels))
        })
    }
}

impl<'g> Code<'g> {
    /// μ + σε with standard normal ε in training, so that gradients reach μ and σ (the reparameterisation); μ in a query.
    #[track_caller]
    pub fn sample(self) -> Value<'g> {
        let g = self.mean.graph();
        let noise = g.random_normal(self.mean.ty().dtype, self.mean.shape());
        g.training().select(self.mean + (self.log_variance * 0.5).exp() * noise, self.mean)
    }

    /// The Kullback–Leibler divergence from the standard normal distribution, ½ Σ (μ² + σ² − 1 − log σ²) in nats: `[rows]`.
    #[track_caller]
    pub fn divergence(self) -> Value<'g> {
        let Code { mean, log_variance } = self;
        (mean * mean + log_variance.exp() - 1.0 - log_variance).sum_axes(&[1]) * 0.5
    }
}

/// −log p(image | code) of pixels with these logits, in nats: `[rows]`.
#[track_caller]
pub fn reconstruction<'g>(logits: Value<'g>, image: Value<'g>) -> Value<'g> {
    logits.binary_cross_entropy(image).sum_axes(&[1])
}

impl Objective {
    /// The loss of each example: `[rows]`.
    #[track_caller]
    pub fn of<'g>(self, code: Code<'g>, logits: Value<'g>, image: Value<'g>) -> Value<'g> {
        match self {
            Objective::Reconstruction => reconstruction(logits, image),
            Objective::Divergence => code.divergence(),
            Objective::Both => reconstruction(logits, image) + code.divergence(),
        }
    }
}

fn build<'g>(g: &'g Graph, options: &Options) -> Parts<'g> {
    let image = g.input("image", F32, [options.batch, options.size]);
    let model = Vae { hidden: options.features(400), latent: options.features(20) };
    let code = model.encode(image);
    let logits = model.decode(code.sample(), options.size);
    Parts::new(logits.sigmoid(), Objective::Both.of(code, logits, image).mean())
        .metric("reconstruction", reconstruction(logits, image))
        .metric("divergence", code.divergence())
}
