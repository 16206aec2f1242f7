//! A network after the Neocognitron (Fukushima, *Neocognitron: a self-organizing neural network model for a mechanism of pattern
//! recognition unaffected by shift in position*, 1980): layers of simple cells, which look for features, and of complex cells,
//! which blur where they are, in turn. Cells are the paper's; weights are learned by the gradient, not by themselves.

use bespoke_nn::{Adam, Conv, F32, Graph, Init, Module, Value};
use bespoke_tensor::{Scalar, Tensor, Type};

use crate::{
    Architecture, Options, Parts, Task,
    vision::{self, channels},
};

/// Three pairs of layers of 24 planes, for digits; negative pixels are taken as zero.
pub const NEOCOGNITRON: Architecture = Architecture {
    name: "neocognitron",
    about: "a Neocognitron (Fukushima 1980) under gradient descent: simple and complex cells in turn",
    task: Task::Images,
    defaults: Options { batch: 32, size: 28, channels: 1, classes: 10, width: 1.0 },
    small: Options { batch: 4, size: 16, channels: 1, classes: 10, width: 0.5 },
    build,
    optimizer: || Box::new(Adam::new(0.01)),
};

/// The sides of what a cell sees.
const WINDOW: usize = 5;

/// The network, for images of any size.
#[derive(Clone, Copy, Debug)]
pub struct Neocognitron {
    /// Planes of each pair of layers: 24.
    pub planes: [usize; 3],
    /// The selectivity r of the simple cells of each layer: 4, 1.5, 1.5. The larger, the closer to its feature must be what
    /// a cell answers to.
    pub selectivity: [f64; 3],
    /// Classes to tell apart.
    pub classes: usize,
}

impl Module for Neocognitron {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let mut h = vision::at_least("neocognitron", 1, x).relu();
        for (i, (&planes, &selectivity)) in self.planes.iter().zip(&self.selectivity).enumerate() {
            h = complex(g.scope(&format!("s{}", i + 1), || simple(planes, selectivity, h)));
        }
        // Wherever a feature is.
        vision::dense("classes", self.classes, h.global_max_pool())
    }
}

/// Simple cells: r·φ((1 + Σ a·u) / (1 + 2r/(1 + r)·b·v) − 1) with φ(x) = max(x, 0) and v = √(Σ c·u²), the mean weighted by
/// nearness. The excitatory a and the inhibitory b are not negative: they are the squares of parameters `excitatory`
/// `[planes,C,5,5]` and `inhibitory` `[planes]`.
#[track_caller]
fn simple<'g>(planes: usize, r: f64, x: Value<'g>) -> Value<'g> {
    let g = x.graph();
    let inputs = channels(x);
    let fan_in = inputs.saturating_mul(WINDOW * WINDOW).max(1) as f64;
    let factor = 2.0 * r / (1.0 + r);
    // Squares of normal numbers have many small and few large ones among them, so that planes differ from the start. Answers
    // are neither drowned in the 1 of the numerator, nor silenced: that would take 2.5 times the inhibition.
    let mean = 3.0 * (3.0 / fan_in).sqrt();
    let shape = [planes, inputs, WINDOW, WINDOW];
    let excitatory = g.parameter("excitatory", F32, shape, Init::Normal(mean.sqrt()));
    let start = (0.4 * mean * fan_in / factor).sqrt();
    let inhibitory = g.parameter("inhibitory", F32, [planes], Init::Constant(start));
    let excitation = x.convolve(excitatory * excitatory, &Conv::new().padding(WINDOW / 2));
    let power = (x * x).mean_axes(&[1]).expand_dims(1);
    // The root has no slope at zero.
    let near = (blurred(power, 1) + 1e-6).sqrt();
    let inhibition = near * (inhibitory * inhibitory).reshape([planes, 1, 1]) * factor;
    ((excitation + 1.0) / (inhibition + 1.0) - 1.0).relu() * r
}

/// Complex cells, at every second position: ψ((1 + Σ d·u) / (1 + v) − 1) with ψ(x) = φ(x/(α + x)), α = ½, and v the mean of
/// Σ d·u over all planes, by which cells of a position inhibit each other.
#[track_caller]
fn complex<'g>(x: Value<'g>) -> Value<'g> {
    let excitation = blurred(x, 2);
    let inhibition = excitation.mean_axes(&[1]).expand_dims(1);
    let answer = ((excitation + 1.0) / (inhibition + 1.0) - 1.0).relu();
    answer / (answer + 0.5)
}

/// Each plane by itself as means of windows, in which weights fall with the distance to the middle.
#[track_caller]
fn blurred<'g>(x: Value<'g>, stride: usize) -> Value<'g> {
    let planes = channels(x).max(1);
    let fall = |i: usize| 0.5f64.powi((i as i32 - WINDOW as i32 / 2).abs());
    let all: f64 = (0..WINDOW).map(fall).sum();
    let ty = Type::new(F32, [1, 1, WINDOW, WINDOW]);
    let weights = Tensor::from_fn(ty, |i| Scalar::F64(fall(i / WINDOW) * fall(i % WINDOW) / (all * all)));
    let weights = x.graph().tensor(&weights).broadcast_to([planes, 1, WINDOW, WINDOW]);
    x.convolve(weights, &Conv::new().stride(stride).padding(WINDOW / 2).groups(planes))
}

fn build<'g>(g: &'g Graph, options: &Options) -> Parts<'g> {
    let (image, label) = vision::inputs(g, options);
    let planes = [options.features(24); 3];
    let net = Neocognitron { planes, selectivity: [4.0, 1.5, 1.5], classes: options.classes };
    Parts::classifier(image.apply(&net), label)
}
