//! Autoencoders of dense layers: an encoder f gives a code h, a decoder g the image again (L31 to L34).
//!
//! All learn from `image` f32 `[batch,size]` of `size` pixels in a row, within [0, 1]; `channels` and `classes` do not matter.

use bespoke_nn::{Adam, F32, Graph, Module, Sgd, Value};

use crate::{Architecture, Options, Parts, Task};

const DEFAULTS: Options = Options { batch: 128, size: 784, channels: 1, classes: 1, width: 1.0 };
const SMALL: Options = Options { batch: 16, size: 36, channels: 1, classes: 1, width: 0.0625 };

/// Undercomplete (L31): the code is narrower than the image.
pub const AUTOENCODER: Architecture = Architecture {
    name: "autoencoder",
    about: "undercomplete autoencoder 784-256-32-256-784 with ReLU, binary cross-entropy",
    task: Task::Reconstruction,
    defaults: DEFAULTS,
    small: SMALL,
    build: |g, options| {
        let x = image(g, options);
        let model = Autoencoder { units: units(options, &[256, 32]), ..Autoencoder::default() };
        let logits = x.apply(&model);
        reconstruction(logits.sigmoid(), x, logits.binary_cross_entropy(x).mean())
    },
    optimizer: || Box::new(Adam::new(1e-3)),
};

/// Linear f and g under the squared error (L31): the code spans the subspace of the first principal components (Baldi &
/// Hornik, *Neural networks and principal component analysis*, 1989).
pub const LINEAR: Architecture = Architecture {
    name: "autoencoder-linear",
    about: "linear autoencoder 784-32-784 under the squared error, which learns the subspace of PCA",
    task: Task::Reconstruction,
    defaults: DEFAULTS,
    small: SMALL,
    build: |g, options| {
        let x = image(g, options);
        let output = x.apply(&Autoencoder::shallow(options.features(32), |h| h));
        reconstruction(output, x, output.mse(x))
    },
    optimizer: || Box::new(Adam::new(1e-3)),
};

/// Overcomplete (L31): the code is wider than the image, so that nothing keeps it from being a copy.
pub const OVERCOMPLETE: Architecture = Architecture {
    name: "autoencoder-overcomplete",
    about: "overcomplete autoencoder 784-1024-784 with ReLU, binary cross-entropy",
    task: Task::Reconstruction,
    defaults: DEFAULTS,
    small: SMALL,
    build: |g, options| {
        let x = image(g, options);
        let model = Autoencoder::shallow(options.features(1024), |h| h.relu());
        let logits = x.apply(&model);
        reconstruction(logits.sigmoid(), x, logits.binary_cross_entropy(x).mean())
    },
    optimizer: || Box::new(Adam::new(1e-3)),
};

/// Sparse (L32): an overcomplete code, of which λ·Σ|hᵢ| keeps few units active. Metric `active`: how many are.
pub const SPARSE: Architecture = Architecture {
    name: "autoencoder-sparse",
    about: "sparse autoencoder 784-1024-784: mean squared error of the image + 1e-4 Σ|h|",
    task: Task::Reconstruction,
    defaults: DEFAULTS,
    small: SMALL,
    build: |g, options| {
        let x = image(g, options);
        let model = Autoencoder::shallow(options.features(1024), |h| h.relu());
        let code = model.encode(x);
        let output = model.decode(code, options.size).sigmoid();
        let loss = (output.squared_error(x).mean_axes(&[1]) + sparsity(code) * 1e-4).mean();
        reconstruction(output, x, loss).metric("active", active(code))
    },
    optimizer: || Box::new(Adam::new(1e-3)),
};

/// Contractive (L33): λ·Σ‖∇ₓhᵢ‖² makes the code stand still where the image moves (Rifai et al., *Contractive auto-encoders*,
/// 2011). Metric `contraction`: that sum.
pub const CONTRACTIVE: Architecture = Architecture {
    name: "autoencoder-contractive",
    about: "contractive autoencoder 784-256-784 with sigmoids: mean squared error + 1e-4 Σ‖∇h‖²",
    task: Task::Reconstruction,
    defaults: DEFAULTS,
    small: SMALL,
    build: |g, options| {
        let x = image(g, options);
        let model = Autoencoder::shallow(options.features(256), |h| h.sigmoid());
        let code = model.encode(x);
        let output = model.decode(code, options.size).sigmoid();
        let contraction = contraction(code, x);
        let loss = (output.squared_error(x).mean_axes(&[1]) + contraction * 1e-4).mean();
        reconstruction(output, x, loss).metric("contraction", contraction)
    },
    optimizer: || Box::new(Sgd::new(1.0)),
};

/// Denoising (L34): in training three of ten pixels are black, and the whole image is asked for: L(x, g(f(x̃))) (Vincent et al.,
/// *Extracting and composing robust features with denoising autoencoders*, 2008).
pub const DENOISING: Architecture = Architecture {
    name: "autoencoder-denoising",
    about: "denoising autoencoder 784-512-784: the image from one that lacks 30 % of its pixels",
    task: Task::Reconstruction,
    defaults: DEFAULTS,
    small: SMALL,
    build: |g, options| {
        let x = image(g, options);
        let model = Autoencoder::shallow(options.features(512), |h| h.relu());
        let logits = masked(x, 0.3).apply(&model);
        reconstruction(logits.sigmoid(), x, logits.binary_cross_entropy(x).mean())
    },
    optimizer: || Box::new(Adam::new(1e-3)),
};

/// Stochastic (L34): the decoder gives a distribution of images, of independent pixels, and the loss is the likelihood that it has
/// for the one, −E log p(x | h = f(x̃)) in nats, where x̃ and the code are noisy in training.
pub const STOCHASTIC: Architecture = Architecture {
    name: "autoencoder-stochastic",
    about: "stochastic autoencoder 784-256-32-256-784: noisy image and code, −log p(image | code) in nats",
    task: Task::Reconstruction,
    defaults: DEFAULTS,
    small: SMALL,
    build: |g, options| {
        let x = image(g, options);
        let model = Autoencoder { units: units(options, &[256, 32]), ..Autoencoder::default() };
        let code = noisy(model.encode(noisy(x, 0.3)), 0.3);
        let logits = model.decode(code, options.size);
        let likelihood = logits.binary_cross_entropy(x).sum_axes(&[1]);
        reconstruction(logits.sigmoid(), x, likelihood.mean())
    },
    optimizer: || Box::new(Adam::new(1e-3)),
};

/// Encoder and decoder of dense layers. Parameters: `encoder/dense0/…`, `decoder/dense0/…` and so on.
///
/// ```
/// use bespoke_nn::{F32, Graph};
/// use bespoke_zoo::autoencoder::Autoencoder;
///
/// let g = Graph::new();
/// let image = g.input("image", F32, [8, 784]);
/// let model = Autoencoder { units: vec![100, 2], hidden: |h| h.tanh(), ..Autoencoder::default() };
/// let code = model.encode(image);
/// assert_eq!(code.ty().to_string(), "f32[8,2]");
/// assert_eq!(model.decode(code, 784).ty().to_string(), "f32[8,784]");
/// assert!(g.finish().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Autoencoder {
    /// Units of the encoder's layers, the last of which is the code. The decoder has the same in reverse, then the pixels.
    pub units: Vec<usize>,
    /// The function of the layers between.
    pub hidden: for<'g> fn(Value<'g>) -> Value<'g>,
    /// The function of the code.
    pub code: for<'g> fn(Value<'g>) -> Value<'g>,
}

impl Default for Autoencoder {
    /// A code of 32 units, linear, behind 256 units of ReLU.
    fn default() -> Autoencoder {
        Autoencoder { units: vec![256, 32], hidden: |h| h.relu(), code: |h| h }
    }
}

impl Autoencoder {
    /// One layer each way, with a function of the code; linear if that is the identity.
    pub fn shallow(units: usize, code: for<'g> fn(Value<'g>) -> Value<'g>) -> Autoencoder {
        Autoencoder { units: vec![units], code, ..Autoencoder::default() }
    }

    /// The codes `[rows,code]` of images `[rows,pixels]`.
    #[track_caller]
    pub fn encode<'g>(&self, x: Value<'g>) -> Value<'g> {
        let Some((&code, before)) = self.units.split_last() else {
            return x.graph().mistake("autoencoder: expected the units of at least one layer, got none");
        };
        x.graph().scope("encoder", || (self.code)(self.layers(x, before).dense(code)))
    }

    /// The images `[rows,pixels]` of codes, before what limits their pixels.
    #[track_caller]
    pub fn decode<'g>(&self, code: Value<'g>, pixels: usize) -> Value<'g> {
        let back: Vec<usize> = self.units.iter().rev().skip(1).copied().collect();
        code.graph().scope("decoder", || self.layers(code, &back).dense(pixels))
    }

    #[track_caller]
    fn layers<'g>(&self, x: Value<'g>, units: &[usize]) -> Value<'g> {
        units.iter().fold(x, |x, &n| (self.hidden)(x.dense(n)))
    }
}

impl Module for Autoencoder {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        self.decode(self.encode(x), x.shape().last().copied().unwrap_or_default())
    }
}

/// Σ|hᵢ| of each code (L32): `[rows]`.
#[track_caller]
pub fn sparsity(code: Value<'_>) -> Value<'_> {
    code.abs().sum_axes(&[1])
}

/// The number of units of each code that are not 0: `[rows]` of f32.
#[track_caller]
pub fn active(code: Value<'_>) -> Value<'_> {
    code.ne(0.0).convert(F32).sum_axes(&[1])
}

/// Σᵢ‖∇ₓhᵢ‖² of each code h of images x (L33): `[rows]`. Each row of the code must depend on its image alone.
#[track_caller]
pub fn contraction<'g>(code: Value<'g>, x: Value<'g>) -> Value<'g> {
    let jacobians = x.graph().batch_jacobian(code, x);
    (jacobians * jacobians).sum_axes(&[1, 2])
}

/// In training itself with a share of 0 to 1 of its elements made 0, else itself.
#[track_caller]
pub fn masked(x: Value<'_>, share: f64) -> Value<'_> {
    let g = x.graph();
    g.training().select(g.random_bernoulli(1.0 - share, x.shape()).select(x, 0.0), x)
}

/// In training itself plus normal noise of a standard deviation, else itself.
#[track_caller]
pub fn noisy(x: Value<'_>, deviation: f64) -> Value<'_> {
    let g = x.graph();
    g.training().select(x + g.random_normal(x.ty().dtype, x.shape()) * deviation, x)
}

/// The input of all.
fn image<'g>(g: &'g Graph, options: &Options) -> Value<'g> {
    g.input("image", F32, [options.batch, options.size])
}

/// Units as published, times the width.
fn units(options: &Options, published: &[usize]) -> Vec<usize> {
    published.iter().map(|&n| options.features(n)).collect()
}

/// The parts, with the squared error of a pixel as `error`.
fn reconstruction<'g>(output: Value<'g>, x: Value<'g>, loss: Value<'g>) -> Parts<'g> {
    Parts::new(output, loss).metric("error", output.squared_error(x).mean_axes(&[1]))
}
