//! RMSProp.

use crate::{Graph, Learned, Optimizer};

/// RMSProp (Tieleman & Hinton 2012; centred and with momentum as in Graves 2013, § 4.2), as PyTorch writes it, with weight
/// decay in the gradient: g ← ∇ + λw; s ← αs + (1 − α)g²; w ← w − η·g/(√s + ε). Centred, m ← αm + (1 − α)g and √(s − m²) is
/// in place of √s. With momentum, v ← μv + g/(√s + ε) and w ← w − ηv.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    rate: f64,
    smoothing: f64,
    epsilon: f64,
    momentum: f64,
    centered: bool,
    decay: f64,
}

impl RmsProp {
    /// With a learning rate η (PyTorch's is 0.01); α = 0.99, ε = 10⁻⁸, no momentum, not centred, no decay.
    pub fn new(rate: f64) -> RmsProp {
        RmsProp { rate, smoothing: 0.99, epsilon: 1e-8, momentum: 0.0, centered: false, decay: 0.0 }
    }

    /// With this α.
    pub fn smoothing(self, alpha: f64) -> RmsProp {
        RmsProp { smoothing: alpha, ..self }
    }

    /// With this ε.
    pub fn epsilon(self, epsilon: f64) -> RmsProp {
        RmsProp { epsilon, ..self }
    }

    /// With momentum μ.
    pub fn momentum(self, momentum: f64) -> RmsProp {
        RmsProp { momentum, ..self }
    }

    /// With the gradient's estimated variance in place of its second moment.
    pub fn centered(self) -> RmsProp {
        RmsProp { centered: true, ..self }
    }

    /// With weight decay λ.
    pub fn weight_decay(self, decay: f64) -> RmsProp {
        RmsProp { decay, ..self }
    }
}

impl Optimizer for RmsProp {
    fn rate_name(&self) -> &'static str {
        "rmsprop/learning_rate"
    }

    fn update<'g>(&self, graph: &'g Graph, parameters: &[Learned<'g>]) {
        let rate = graph.learning_rate(self.rate_name(), self.rate);
        for p in parameters {
            let rate = p.rate(rate);
            let g = p.decayed_gradient(self.decay);
            let mut s = graph.follow(p.slot("rmsprop", "second"), g * g, self.smoothing);
            if self.centered {
                let m = graph.follow(p.slot("rmsprop", "first"), g, self.smoothing);
                s = s - m * m;
            }
            let mut step = g / (s.sqrt() + self.epsilon);
            if self.momentum != 0.0 {
                let v = p.slot("rmsprop", "momentum");
                step = v * self.momentum + step;
                graph.set_next(v, step);
            }
            graph.set_next(p.value, p.value - rate * step);
        }
    }
}
