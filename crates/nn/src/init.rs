//! How parameters start.

use bespoke_graph::philox;
use bespoke_tensor::{Scalar, Tensor, Type};

/// A start value. Fans are those of a weight [inputs, outputs…]: the first extent and the product of the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All elements this.
    Constant(f64),
    /// Uniform within ± this.
    Uniform(f64),
    /// Normal with this standard deviation.
    Normal(f64),
    /// Uniform within ± √(6 / (fan_in + fan_out)) (Glorot & Bengio 2010).
    GlorotUniform,
    /// Normal with standard deviation √(2 / (fan_in + fan_out)).
    GlorotNormal,
    /// Uniform within ± √(6 / fan_in) (He et al. 2015), for ReLU.
    HeUniform,
    /// Normal with standard deviation √(2 / fan_in): drawn / √(fan_in / 2).
    HeNormal,
    /// Uniform within ± √(3 / fan_in) (LeCun et al. 1998).
    LecunUniform,
    /// Normal with standard deviation √(1 / fan_in): drawn / √fan_in, which many call Xavier's.
    LecunNormal,
}

impl Init {
    /// The value for a parameter: a pure function of type, name and seed, so that the order in which parameters are made
    /// does not matter.
    pub fn tensor(self, ty: Type, name: &str, seed: u64) -> Tensor {
        let fan_in = ty.shape.first().copied().unwrap_or(1).max(1) as f64;
        let fan_out = (ty.elements() as f64 / fan_in).max(1.0);
        // FNV-1a of the name makes the streams of parameters differ.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let key = [seed as u32, (seed >> 32) as u32];
        let uniforms = |i: usize| {
            let words =
                philox::block([i as u32, (i as u64 >> 32) as u32, hash as u32, (hash >> 32) as u32], key);
            [words[0], words[1]].map(|w| (f64::from(w) + 0.5) / 4_294_967_296.0)
        };
        let uniform = |limit: f64| Tensor::from_fn(ty, |i| Scalar::F64((uniforms(i)[0] * 2.0 - 1.0) * limit));
        let normal = |deviation: f64| {
            Tensor::from_fn(ty, |i| {
                let [u, v] = uniforms(i);
                Scalar::F64((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos() * deviation)
            })
        };
        match self {
            Init::Constant(value) => Tensor::from_fn(ty, |_| Scalar::F64(value)),
            Init::Uniform(limit) => uniform(limit),
            Init::Normal(deviation) => normal(deviation),
            Init::GlorotUniform => uniform((6.0 / (fan_in + fan_out)).sqrt()),
            Init::GlorotNormal => normal((2.0 / (fan_in + fan_out)).sqrt()),
            Init::HeUniform => uniform((6.0 / fan_in).sqrt()),
            Init::HeNormal => normal((2.0 / fan_in).sqrt()),
            Init::LecunUniform => uniform((3.0 / fan_in).sqrt()),
            Init::LecunNormal => normal((1.0 / fan_in).sqrt()),
        }
    }
}
