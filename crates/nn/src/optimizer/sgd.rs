//! Gradient descent.

use crate::{Graph, Learned, Optimizer};

/// Gradient descent, with momentum (Sutskever et al. 2013, as PyTorch writes it), and weight decay:
/// g ← ∇ + λw; v ← μv + g; w ← w − η·(g + μv with Nesterov's, else v).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    rate: f64,
    momentum: f64,
    nesterov: bool,
    decay: f64,
}

impl Sgd {
    /// With a learning rate η.
    pub fn new(rate: f64) -> Sgd {
        Sgd { rate, momentum: 0.0, nesterov: false, decay: 0.0 }
    }

    /// With momentum μ.
    pub fn momentum(self, momentum: f64) -> Sgd {
        Sgd { momentum, ..self }
    }

    /// With Nesterov's look ahead.
    pub fn nesterov(self) -> Sgd {
        Sgd { nesterov: true, ..self }
    }

    /// With weight decay λ.
    pub fn weight_decay(self, decay: f64) -> Sgd {
        Sgd { decay, ..self }
    }
}

impl Optimizer for Sgd {
    fn rate_name(&self) -> &'static str {
        "sgd/learning_rate"
    }

    fn update<'g>(&self, graph: &'g Graph, parameters: &[Learned<'g>]) {
        let rate = graph.learning_rate(self.rate_name(), self.rate);
        for p in parameters {
            let rate = p.rate(rate);
            let mut g = p.decayed_gradient(self.decay);
            if self.momentum != 0.0 {
                let v = p.slot("sgd", "momentum");
                let next = v * self.momentum + g;
                graph.set_next(v, next);
                g = if self.nesterov { g + next * self.momentum } else { next };
            }
            graph.set_next(p.value, p.value - rate * g);
        }
    }
}
