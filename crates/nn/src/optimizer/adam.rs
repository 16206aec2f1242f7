//! Adam and its kin.

use bespoke_tensor::Tensor;

use crate::{Graph, Learned, Optimizer, Value};

/// Adam (Kingma & Ba 2015), with weight decay in the gradient; [`AdamW::new`] makes it decoupled. The formulas and
/// defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    rate: f64,
    betas: (f64, f64),
    epsilon: f64,
    decay: f64,
    decoupled: bool,
    amsgrad: bool,
}

impl Adam {
    /// With a learning rate; β = (0.9, 0.999), ε = 10⁻⁸, no decay.
    pub fn new(rate: f64) -> Adam {
        Adam { rate, betas: (0.9, 0.999), epsilon: 1e-8, decay: 0.0, decoupled: false, amsgrad: false }
    }

    /// With these decay rates of the moments.
    pub fn betas(self, first: f64, second: f64) -> Adam {
        Adam { betas: (first, second), ..self }
    }

    /// With this ε.
    pub fn epsilon(self, epsilon: f64) -> Adam {
        Adam { epsilon, ..self }
    }

    /// With weight decay λ.
    pub fn weight_decay(self, decay: f64) -> Adam {
        Adam { decay, ..self }
    }

    /// With the greatest second moment so far in the denominator (Reddi, Kale & Kumar 2018).
    pub fn amsgrad(self) -> Adam {
        Adam { amsgrad: true, ..self }
    }
}

/// Adam with weight decay decoupled from the gradient (Loshchilov & Hutter 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW;

impl AdamW {
    /// With a learning rate; β = (0.9, 0.999), ε = 10⁻⁸, decay 0.01.
    #[allow(clippy::new_ret_no_self)] // only the decay's place differs from Adam
    pub fn new(rate: f64) -> Adam {
        Adam { decay: 0.01, decoupled: true, ..Adam::new(rate) }
    }
}

/// β₁ᵗ and β₂ᵗ after this step, the t-th. They are carried on, which is exact enough and cheaper than a power.
pub(super) fn powers<'g>(graph: &'g Graph, optimizer: &str, betas: (f64, f64)) -> [Value<'g>; 2] {
    [("beta1_power", betas.0), ("beta2_power", betas.1)].map(|(name, beta)| {
        let before = graph.state(&format!("{optimizer}/{name}"), &Tensor::scalar(1.0f64));
        let after = before * beta;
        graph.set_next(before, after);
        after
    })
}

/// The first and second moment of a gradient after this step.
pub(super) fn moments<'g>(
    optimizer: &str,
    p: &Learned<'g>,
    gradient: Value<'g>,
    betas: (f64, f64),
) -> (Value<'g>, Value<'g>) {
    let graph = p.value.graph;
    let (m, v) = (p.slot(optimizer, "first"), p.slot(optimizer, "second"));
    (graph.follow(m, gradient, betas.0), graph.follow(v, gradient * gradient, betas.1))
}

impl Optimizer for Adam {
    fn rate_name(&self) -> &'static str {
        "adam/learning_rate"
    }

    fn update<'g>(&self, graph: &'g Graph, parameters: &[Learned<'g>]) {
        let rate = graph.learning_rate(self.rate_name(), self.rate);
        let powers = powers(graph, "adam", self.betas);
        for p in parameters {
            let rate = p.rate(rate);
            let [correct1, correct2] = powers.map(|power| (1.0 - power).convert(p.parameter.ty.dtype));
            let (kept, g) = match self.decoupled {
                true => (p.decayed_value(rate, self.decay), p.gradient),
                false => (p.value, p.decayed_gradient(self.decay)),
            };
            let (m, mut v) = moments("adam", p, g, self.betas);
            if self.amsgrad {
                let greatest = p.slot("adam", "greatest");
                v = greatest.maximum(v);
                graph.set_next(greatest, v);
            }
            let denominator = v.sqrt() / correct2.sqrt() + self.epsilon;
            graph.set_next(p.value, kept - rate / correct1 * m / denominator);
        }
    }
}
