//! LAMB.

use super::adam::{moments, powers};
use crate::{Graph, Learned, Optimizer};

/// LAMB (You et al. 2020, algorithm 2), Adam with a step as long as the parameter's norm says, for large batches:
/// r = m̂/(√v̂ + ε) + λw with Adam's m̂ and v̂; w ← w − η·(‖w‖₂/‖r‖₂)·r for each parameter as a whole. The ratio is 1 where
/// either norm is 0, as in the authors' implementation; the paper's φ is the identity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lamb {
    rate: f64,
    betas: (f64, f64),
    epsilon: f64,
    decay: f64,
}

impl Lamb {
    /// With a learning rate η; β = (0.9, 0.999), ε = 10⁻⁶, no decay.
    pub fn new(rate: f64) -> Lamb {
        Lamb { rate, betas: (0.9, 0.999), epsilon: 1e-6, decay: 0.0 }
    }

    /// With these decay rates of the moments.
    pub fn betas(self, first: f64, second: f64) -> Lamb {
        Lamb { betas: (first, second), ..self }
    }

    /// With this ε.
    pub fn epsilon(self, epsilon: f64) -> Lamb {
        Lamb { epsilon, ..self }
    }

    /// With weight decay λ, a part of r.
    pub fn weight_decay(self, decay: f64) -> Lamb {
        Lamb { decay, ..self }
    }
}

impl Optimizer for Lamb {
    fn rate_name(&self) -> &'static str {
        "lamb/learning_rate"
    }

    fn update<'g>(&self, graph: &'g Graph, parameters: &[Learned<'g>]) {
        let rate = graph.learning_rate(self.rate_name(), self.rate);
        let powers = powers(graph, "lamb", self.betas);
        for p in parameters {
            let [correct1, correct2] = powers.map(|power| (1.0 - power).convert(p.parameter.ty.dtype));
            let (m, v) = moments("lamb", p, p.gradient, self.betas);
            let mut r = m / correct1 / ((v / correct2).sqrt() + self.epsilon);
            let decay = p.decay.unwrap_or(self.decay);
            if decay != 0.0 {
                r = r + p.value * decay;
            }
            let (weight, step) = (p.value.norm(), r.norm());
            let both = weight.gt(0.0).logical_and(step.gt(0.0));
            let ratio = both.select(weight / both.select(step, 1.0), 1.0);
            graph.set_next(p.value, p.value - p.rate(rate) * ratio * r);
        }
    }
}
