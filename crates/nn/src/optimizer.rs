//! Optimisers: how parameters change, as graph. What they remember is states beside the parameters.

use bespoke_tensor::{DType, Scalar, Tensor, Type};

use crate::{BuildError, Graph, Parameter, Value};

/// Appends the update of every parameter.
pub trait Optimizer {
    /// Sets the next value of each parameter (and of the optimiser's own states), given its gradient.
    fn update<'g>(&self, graph: &'g Graph, parameters: &[(Parameter, Value<'g>, Value<'g>)]);

    /// The name of the state that holds the learning rate.
    fn rate_name(&self) -> &'static str;
}

impl Optimizer for Box<dyn Optimizer> {
    fn update<'g>(&self, graph: &'g Graph, parameters: &[(Parameter, Value<'g>, Value<'g>)]) {
        (**self).update(graph, parameters);
    }

    fn rate_name(&self) -> &'static str {
        (**self).rate_name()
    }
}

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

/// A scalar state of f32 that starts with a value.
fn scalar_state<'g>(graph: &'g Graph, name: &str, value: f64) -> Value<'g> {
    graph.state(name, &Tensor::scalar(value as f32))
}

/// A state like a parameter, at first zero.
fn slot<'g>(graph: &'g Graph, optimizer: &str, slot: &str, parameter: &Parameter) -> Value<'g> {
    graph.state(&format!("{optimizer}/{}/{slot}", parameter.name), &Tensor::zeros(parameter.ty))
}

impl Optimizer for Sgd {
    fn rate_name(&self) -> &'static str {
        "sgd/learning_rate"
    }

    fn update<'g>(&self, graph: &'g Graph, parameters: &[(Parameter, Value<'g>, Value<'g>)]) {
        let rate = scalar_state(graph, self.rate_name(), self.rate);
        for (parameter, w, gradient) in parameters {
            let rate = rate.convert(parameter.ty.dtype);
            let mut g = *gradient;
            if self.decay != 0.0 {
                g = g + *w * self.decay;
            }
            if self.momentum != 0.0 {
                let v = slot(graph, "sgd", "momentum", parameter);
                let next = v * self.momentum + g;
                graph.set_next(v, next);
                g = if self.nesterov { g + next * self.momentum } else { next };
            }
            graph.set_next(*w, *w - rate * g);
        }
    }
}

/// Adam (Kingma & Ba 2015), with weight decay in the gradient; [`AdamW::new`] makes it decoupled. The formulas and
/// defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    rate: f64,
    betas: (f64, f64),
    epsilon: f64,
    decay: f64,
    decoupled: bool,
}

impl Adam {
    /// With a learning rate; β = (0.9, 0.999), ε = 10⁻⁸, no decay.
    pub fn new(rate: f64) -> Adam {
        Adam { rate, betas: (0.9, 0.999), epsilon: 1e-8, decay: 0.0, decoupled: false }
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

impl Optimizer for Adam {
    fn rate_name(&self) -> &'static str {
        "adam/learning_rate"
    }

    fn update<'g>(&self, graph: &'g Graph, parameters: &[(Parameter, Value<'g>, Value<'g>)]) {
        let rate = scalar_state(graph, self.rate_name(), self.rate);
        let (b1, b2) = self.betas;
        // β₁ᵗ and β₂ᵗ are carried on, which is exact enough and cheaper than a power.
        let powers = [("beta1_power", b1), ("beta2_power", b2)].map(|(name, beta)| {
            let before = graph.state(&format!("adam/{name}"), &Tensor::scalar(1.0f64));
            let after = before * beta;
            graph.set_next(before, after);
            after
        });
        for (parameter, w, gradient) in parameters {
            let dtype = parameter.ty.dtype;
            let rate = rate.convert(dtype);
            let correct = powers.map(|p| (1.0 - p).convert(dtype));
            let mut g = *gradient;
            let mut kept = *w;
            if self.decay != 0.0 && self.decoupled {
                kept = *w - rate * *w * self.decay;
            } else if self.decay != 0.0 {
                g = g + *w * self.decay;
            }
            let (m, v) = (slot(graph, "adam", "first", parameter), slot(graph, "adam", "second", parameter));
            let next_m = m * b1 + g * (1.0 - b1);
            let next_v = v * b2 + g * g * (1.0 - b2);
            graph.set_next(m, next_m);
            graph.set_next(v, next_v);
            let denominator = next_v.sqrt() / correct[1].sqrt() + self.epsilon;
            let step = rate / correct[0];
            graph.set_next(*w, kept - step * next_m / denominator);
        }
    }
}

/// Appends gradients of the loss and the optimiser's update of all parameters that training changes.
///
/// # Errors
/// The first mistake that was made in building the graph, or that the loss has no gradient.
#[track_caller]
pub(crate) fn append(graph: &Graph, loss: Value<'_>, optimizer: &dyn Optimizer) -> Result<(), BuildError> {
    graph.finish()?;
    let parameters: Vec<Parameter> = graph.parameters().into_iter().filter(|p| p.trainable).collect();
    let handles: Vec<Value<'_>> = parameters.iter().map(|p| Value { graph, id: Some(p.node) }).collect();
    let gradients = graph.grad(Value { graph, id: loss.id }, &handles);
    graph.finish()?;
    let all: Vec<_> =
        parameters.into_iter().zip(handles).zip(gradients).map(|((p, w), g)| (p, w, g)).collect();
    optimizer.update(graph, &all);
    graph.finish().map(|_| ())
}

/// The type of the learning rate's state.
pub(crate) fn rate_value(rate: f64) -> Tensor {
    let ty = Type::scalar(DType::F32);
    Tensor::from_fn(ty, |_| Scalar::F64(rate))
}
