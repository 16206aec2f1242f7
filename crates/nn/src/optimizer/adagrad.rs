//! Adagrad.

use bespoke_tensor::Tensor;

use crate::{Graph, Learned, Optimizer};

/// Adagrad (Duchi, Hazan & Singer 2011), as PyTorch writes it, with weight decay in the gradient:
/// g ← ∇ + λw; s ← s + g²; w ← w − ηₜ·g/(√s + ε), where ηₜ = η/(1 + (t − 1)·δ) decays with the steps t.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adagrad {
    rate: f64,
    rate_decay: f64,
    start: f64,
    epsilon: f64,
    decay: f64,
}

impl Adagrad {
    /// With a learning rate η (PyTorch's is 0.01); δ = 0, ε = 10⁻¹⁰, sums that start at 0, no weight decay.
    pub fn new(rate: f64) -> Adagrad {
        Adagrad { rate, rate_decay: 0.0, start: 0.0, epsilon: 1e-10, decay: 0.0 }
    }

    /// With a decay δ of the learning rate.
    pub fn rate_decay(self, decay: f64) -> Adagrad {
        Adagrad { rate_decay: decay, ..self }
    }

    /// With sums that start at this, 0 or above.
    pub fn start(self, sum: f64) -> Adagrad {
        Adagrad { start: sum, ..self }
    }

    /// With this ε.
    pub fn epsilon(self, epsilon: f64) -> Adagrad {
        Adagrad { epsilon, ..self }
    }

    /// With weight decay λ.
    pub fn weight_decay(self, decay: f64) -> Adagrad {
        Adagrad { decay, ..self }
    }
}

impl Optimizer for Adagrad {
    fn rate_name(&self) -> &'static str {
        "adagrad/learning_rate"
    }

    fn update<'g>(&self, graph: &'g Graph, parameters: &[Learned<'g>]) {
        let rate = graph.learning_rate(self.rate_name(), self.rate);
        let divisor = (self.rate_decay != 0.0).then(|| {
            let steps = graph.state("adagrad/steps", &Tensor::scalar(0.0f64));
            graph.set_next(steps, steps + 1.0);
            steps * self.rate_decay + 1.0
        });
        for p in parameters {
            let mut rate = p.rate(rate);
            if let Some(divisor) = divisor {
                rate = rate / divisor.convert(p.parameter.ty.dtype);
            }
            let g = p.decayed_gradient(self.decay);
            let sum = p.slot_from("adagrad", "sum", self.start);
            let next = sum + g * g;
            graph.set_next(sum, next);
            graph.set_next(p.value, p.value - rate * g / (next.sqrt() + self.epsilon));
        }
    }
}
