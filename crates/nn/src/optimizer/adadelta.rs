//! Adadelta.

use crate::{Graph, Learned, Optimizer};

/// Adadelta (Zeiler 2012), as PyTorch writes it, with a learning rate, and weight decay in the gradient: g ← ∇ + λw;
/// s ← ρs + (1 − ρ)g²; Δ = g·√(u + ε)/√(s + ε); u ← ρu + (1 − ρ)Δ²; w ← w − ηΔ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adadelta {
    rate: f64,
    rho: f64,
    epsilon: f64,
    decay: f64,
}

impl Adadelta {
    /// With a learning rate η (1 in the paper); ρ = 0.9, ε = 10⁻⁶, no decay.
    pub fn new(rate: f64) -> Adadelta {
        Adadelta { rate, rho: 0.9, epsilon: 1e-6, decay: 0.0 }
    }

    /// With this ρ.
    pub fn rho(self, rho: f64) -> Adadelta {
        Adadelta { rho, ..self }
    }

    /// With this ε.
    pub fn epsilon(self, epsilon: f64) -> Adadelta {
        Adadelta { epsilon, ..self }
    }

    /// With weight decay λ.
    pub fn weight_decay(self, decay: f64) -> Adadelta {
        Adadelta { decay, ..self }
    }
}

impl Optimizer for Adadelta {
    fn rate_name(&self) -> &'static str {
        "adadelta/learning_rate"
    }

    fn update<'g>(&self, graph: &'g Graph, parameters: &[Learned<'g>]) {
        let rate = graph.learning_rate(self.rate_name(), self.rate);
        for p in parameters {
            let rate = p.rate(rate);
            let g = p.decayed_gradient(self.decay);
            let s = graph.follow(p.slot("adadelta", "second"), g * g, self.rho);
            let steps = p.slot("adadelta", "steps");
            let step = g * ((steps + self.epsilon).sqrt() / (s + self.epsilon).sqrt());
            graph.follow(steps, step * step, self.rho);
            graph.set_next(p.value, p.value - rate * step);
        }
    }
}
