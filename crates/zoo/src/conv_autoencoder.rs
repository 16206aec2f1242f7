//! Convolutional autoencoders in two and three dimensions, with transposed convolutions in the decoder (L35; Masci et al., *Stacked
//! convolutional auto-encoders for hierarchical feature extraction*, 2011).

use bespoke_nn::{Adam, Conv, F32, Graph, Init, Module, Value};

use crate::{Architecture, Options, Parts, Task};

/// For `image` f32 `[batch,channels,size,size]` within [0, 1], where 4 divides `size`; `classes` does not matter.
pub const CONV_AUTOENCODER: Architecture = Architecture {
    name: "conv-autoencoder",
    about: "convolutional autoencoder: 16 and 8 features, each halving the image, and back; binary cross-entropy",
    task: Task::Reconstruction,
    defaults: Options { batch: 64, size: 28, channels: 1, classes: 1, width: 1.0 },
    small: Options { batch: 8, size: 8, channels: 2, classes: 1, width: 1.0 },
    build: |g, options| build(g, "image", 2, options),
    optimizer: || Box::new(Adam::new(1e-3)),
};

/// For `volume` f32 `[batch,channels,size,size,size]` within [0, 1], where 4 divides `size`; `classes` does not matter.
pub const CONV_AUTOENCODER_3D: Architecture = Architecture {
    name: "conv-autoencoder-3d",
    about: "the same of volumes of 16x16x16: convolutions in three dimensions",
    task: Task::Other,
    defaults: Options { batch: 16, size: 16, channels: 1, classes: 1, width: 1.0 },
    small: Options { batch: 8, size: 8, channels: 2, classes: 1, width: 1.0 },
    build: |g, options| build(g, "volume", 3, options),
    optimizer: || Box::new(Adam::new(1e-3)),
};

/// Encoder and decoder for `[rows,channels,spatial…]` of any number of spatial axes. Each layer halves or doubles the extents.
/// Parameters: `encoder/conv0/…`, `decoder/conv_transpose0/…` and so on.
///
/// ```
/// use bespoke_nn::{F32, Graph};
/// use bespoke_zoo::conv_autoencoder::ConvAutoencoder;
///
/// let g = Graph::new();
/// let image = g.input("image", F32, [2, 3, 32, 24]);
/// let model = ConvAutoencoder { features: vec![16, 32, 4] };
/// let code = model.encode(image);
/// assert_eq!(code.ty().to_string(), "f32[2,4,4,3]");
/// assert_eq!(model.decode(code, 3).shape(), image.shape());
/// assert!(g.finish().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct ConvAutoencoder {
    /// Features of the encoder's layers, the last of which are the code's.
    pub features: Vec<usize>,
}

impl ConvAutoencoder {
    /// The codes `[rows,features,spatial…]` of images. Extents must be divisible by two as often as there are layers.
    #[track_caller]
    pub fn encode<'g>(&self, x: Value<'g>) -> Value<'g> {
        let factor = 1usize.checked_shl(self.features.len() as u32).unwrap_or(0);
        if x.shape().iter().skip(2).any(|&extent| factor == 0 || !extent.is_multiple_of(factor)) {
            let message = format!("conv autoencoder: expected extents that {factor} divides, got {}", x.ty());
            return x.graph().mistake(message);
        }
        let halved = Conv::new().stride(2).padding(1).init(Init::HeNormal);
        x.graph()
            .scope("encoder", || self.features.iter().fold(x, |x, &n| x.conv(n, 3, halved.clone()).relu()))
    }

    /// The images `[rows,channels,spatial…]` of codes, before what limits their pixels.
    #[track_caller]
    pub fn decode<'g>(&self, code: Value<'g>, channels: usize) -> Value<'g> {
        let doubled = Conv::new().stride(2).padding(1).output_padding(1).init(Init::HeNormal);
        code.graph().scope("decoder", || {
            let back = self.features.iter().rev().skip(1);
            let x = back.fold(code, |x, &n| x.conv_transpose(n, 3, doubled.clone()).relu());
            x.conv_transpose(channels, 3, doubled.clone())
        })
    }
}

impl Module for ConvAutoencoder {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        self.decode(self.encode(x), x.shape().get(1).copied().unwrap_or_default())
    }
}

fn build<'g>(g: &'g Graph, input: &str, spatial: usize, options: &Options) -> Parts<'g> {
    let Options { batch, size, channels, .. } = *options;
    let x = g.input(input, F32, [&[batch, channels][..], &vec![size; spatial]].concat());
    let logits = x.apply(&ConvAutoencoder { features: [16, 8].map(|n| options.features(n)).to_vec() });
    let output = logits.sigmoid();
    let axes: Vec<isize> = (1..2 + spatial as isize).collect();
    Parts::new(output, logits.binary_cross_entropy(x).mean())
        .metric("error", output.squared_error(x).mean_axes(&axes))
}
