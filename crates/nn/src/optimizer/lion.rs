//! Lion.

use crate::{Graph, Learned, Optimizer};

/// Lion (Chen et al. 2023, algorithm 2), steps of one length by the sign of an interpolated momentum, with decoupled weight
/// decay: c = β₁m + (1 − β₁)g; w ← w − η·(sign c + λw); m ← β₂m + (1 − β₂)g.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lion {
    rate: f64,
    betas: (f64, f64),
    decay: f64,
}

impl Lion {
    /// With a learning rate η, a third to a tenth of what Adam is given (§ 5); β = (0.9, 0.99), no decay.
    pub fn new(rate: f64) -> Lion {
        Lion { rate, betas: (0.9, 0.99), decay: 0.0 }
    }

    /// With this β₁ of the step and β₂ of the momentum.
    pub fn betas(self, step: f64, momentum: f64) -> Lion {
        Lion { betas: (step, momentum), ..self }
    }

    /// With decoupled weight decay λ.
    pub fn weight_decay(self, decay: f64) -> Lion {
        Lion { decay, ..self }
    }
}

impl Optimizer for Lion {
    fn rate_name(&self) -> &'static str {
        "lion/learning_rate"
    }

    fn update<'g>(&self, graph: &'g Graph, parameters: &[Learned<'g>]) {
        let rate = graph.learning_rate(self.rate_name(), self.rate);
        let (b1, b2) = self.betas;
        for p in parameters {
            let rate = p.rate(rate);
            let m = p.slot("lion", "momentum");
            let direction = (m * b1 + p.gradient * (1.0 - b1)).sign();
            graph.follow(m, p.gradient, b2);
            graph.set_next(p.value, p.decayed_value(rate, self.decay) - rate * direction);
        }
    }
}
