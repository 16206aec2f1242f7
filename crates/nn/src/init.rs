//! How parameters start.

use bespoke_graph::philox;
use bespoke_tensor::{Scalar, Tensor, Type};
use rayon::{iter::*, slice::ParallelSliceMut};

/// A start value. The lecture's small interval is `Uniform(0.01)`; its Xavier, drawn / √fan_in, is [`Init::LecunNormal`], and its
/// He, drawn / √(fan_in / 2), is [`Init::HeNormal`].
///
/// Fans are those of a weight `[inputs, outputs…]`: the first extent and the product of the others. Convolutions and other
/// layers with another layout say theirs by [`Init::with_fans`].
///
/// ```
/// use bespoke_nn::{F32, Graph, Init};
///
/// let g = Graph::new();
/// // As PyTorch's `linear` has it: [outputs, inputs].
/// let weight = g.parameter("weight", F32, [10, 784], Init::HeNormal.with_fans(784, 10));
/// let (_, start) = &g.start_values()[0];
/// let square: f32 = start.view::<f32>()?.iter().map(|w| w * w).sum();
/// assert!((square / 7840.0 - 2.0 / 784.0).abs() < 2e-4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All elements this.
    Constant(f64),
    /// Uniform within ± this.
    Uniform(f64),
    /// Normal with this standard deviation.
    Normal(f64),
    /// Normal with this standard deviation, drawn again where it is beyond two of them; what is left has a deviation of 0.88
    /// of it.
    TruncatedNormal(f64),
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
    /// This times a random matrix of the first axis by all others with orthonormal rows, or columns if they are fewer (Saxe,
    /// McClelland & Ganguli 2014).
    Orthogonal(f64),
}

impl Init {
    /// The same start, by fans that are not those of a weight `[inputs, outputs…]`.
    pub fn with_fans(self, fan_in: usize, fan_out: usize) -> Init {
        let (fan_in, fan_out) = (fan_in.max(1) as f64, fan_out.max(1) as f64);
        match self {
            Init::GlorotUniform => Init::Uniform((6.0 / (fan_in + fan_out)).sqrt()),
            Init::GlorotNormal => Init::Normal((2.0 / (fan_in + fan_out)).sqrt()),
            Init::HeUniform => Init::Uniform((6.0 / fan_in).sqrt()),
            Init::HeNormal => Init::Normal((2.0 / fan_in).sqrt()),
            Init::LecunUniform => Init::Uniform((3.0 / fan_in).sqrt()),
            Init::LecunNormal => Init::Normal((1.0 / fan_in).sqrt()),
            other => other,
        }
    }

    /// The value for a parameter: a pure function of type, name and seed, so that the order in which parameters are made
    /// does not matter.
    pub fn tensor(self, ty: Type, name: &str, seed: u64) -> Tensor {
        let fan_in = ty.shape.first().copied().unwrap_or(1);
        let fan_out = ty.elements() / fan_in.max(1);
        let draws = Draws::new(name, seed);
        match self.with_fans(fan_in, fan_out) {
            Init::Constant(value) => each(ty, |_| value),
            Init::Uniform(limit) => each(ty, |i| (draws.uniforms(i, 0)[0] * 2.0 - 1.0) * limit),
            Init::Normal(deviation) => each(ty, |i| draws.normal(i, 0) * deviation),
            Init::TruncatedNormal(deviation) => each(ty, |i| {
                let mut tries = (0..).map(|attempt| draws.normal(i, attempt));
                tries.find(|x| x.abs() <= 2.0).expect("one of 22 is beyond") * deviation
            }),
            Init::Orthogonal(gain) => {
                let matrix = orthonormal(fan_in, fan_out, &|i| draws.normal(i, 0));
                each(ty, |i| matrix[i] * gain)
            }
            _ => unreachable!("fans were replaced by numbers"),
        }
    }
}

/// The tensor of what `f` gives for each flat index, on all processors: large models have 10⁸ of them.
fn each(ty: Type, f: impl Fn(usize) -> f64 + Sync) -> Tensor {
    let mut tensor = Tensor::zeros(ty);
    let Ok(elements) = tensor.view_mut::<f32>() else {
        return Tensor::from_fn(ty, |i| Scalar::F64(f(i)));
    };
    elements.par_chunks_mut(4096).enumerate().for_each(|(chunk, elements)| {
        elements.iter_mut().enumerate().for_each(|(i, x)| *x = f(chunk * 4096 + i) as f32);
    });
    tensor
}

/// The random numbers of a parameter.
struct Draws {
    name: [u32; 2],
    key: [u32; 2],
}

impl Draws {
    fn new(name: &str, seed: u64) -> Draws {
        let words = |n: u64| [n as u32, (n >> 32) as u32];
        // FNV-1a of the name makes the streams of parameters differ.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Draws { name: words(hash), key: words(seed) }
    }

    /// Two numbers within (0, 1), for the `attempt`-th draw of the i-th element.
    fn uniforms(&self, i: usize, attempt: u32) -> [f64; 2] {
        // No parameter has 2⁵⁶ elements.
        let high = (i as u64 >> 32) as u32 ^ attempt << 24;
        let words = philox::block([i as u32, high, self.name[0], self.name[1]], self.key);
        [words[0], words[1]].map(|w| (f64::from(w) + 0.5) / 4_294_967_296.0)
    }

    /// A standard normal number (Box & Muller 1958).
    fn normal(&self, i: usize, attempt: u32) -> f64 {
        let [u, v] = self.uniforms(i, attempt);
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

/// Vectors that are made orthogonal at a time: those before are read once for all of them.
const BLOCK: usize = 32;

/// A matrix, in row-major order, with orthonormal rows, or columns if they are fewer: Gram and Schmidt's method on normal numbers,
/// which makes all directions equally likely. The order of all sums is fixed, whatever the number of processors.
fn orthonormal(rows: usize, columns: usize, normal: &(dyn Fn(usize) -> f64 + Sync)) -> Vec<f64> {
    let (short, long) = (rows.min(columns), rows.max(columns));
    let draw = |v: usize| (0..long).map(|i| normal(v * long + i)).collect();
    let mut vectors: Vec<Vec<f64>> = (0..short).into_par_iter().map(draw).collect();
    for start in (0..short).step_by(BLOCK) {
        let (done, rest) = vectors.split_at_mut(start);
        let block = &mut rest[..BLOCK.min(short - start)];
        // Twice is enough (Barlow & Smoktunowicz 2013): the first time leaves what rounding of large parts leaves.
        for _ in 0..2 {
            block.par_chunks_mut(BLOCK / 4).for_each(|some| {
                for other in &*done {
                    some.iter_mut().for_each(|vector| subtract_along(vector, other));
                }
            });
            for v in 0..block.len() {
                let (before, behind) = block.split_at_mut(v);
                before.iter().for_each(|other| subtract_along(&mut behind[0], other));
                let length = dot(&behind[0], &behind[0]).sqrt();
                behind[0].iter_mut().for_each(|x| *x /= length);
            }
        }
    }
    let at =
        |row: usize, column: usize| if rows <= columns { vectors[row][column] } else { vectors[column][row] };
    (0..rows * columns).map(|i| at(i / columns, i % columns)).collect()
}

/// Takes the part along a vector of length 1 off another.
fn subtract_along(vector: &mut [f64], unit: &[f64]) {
    let along = dot(vector, unit);
    vector.iter_mut().zip(unit).for_each(|(x, u)| *x -= along * u);
}

/// Σ a·b in eight sums, none of which waits for the others.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, end_of_a), (b, end_of_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        sums = std::array::from_fn(|i| sums[i] + a[i] * b[i]);
    }
    let rest: f64 = end_of_a.iter().zip(end_of_b).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f64>() + rest
}
