//! Optimisers: how parameters change, as graph. What they remember is states beside the parameters.

mod adadelta;
mod adagrad;
mod adam;
mod lamb;
mod lion;
mod rmsprop;
mod sgd;

pub use adadelta::Adadelta;
pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
use bespoke_tensor::{DType, Scalar, Tensor, Type};
pub use lamb::Lamb;
pub use lion::Lion;
pub use rmsprop::RmsProp;
pub use sgd::Sgd;

use crate::{Graph, Parameter, Value};

/// Appends the update of every parameter. What an optimiser remembers is states named `<optimizer>/<parameter>/<slot>`, which
/// [`Learned::slot`] makes.
///
/// ```
/// use bespoke_nn::{F64, Graph, Init, Learned, Optimizer};
///
/// /// A step of one length, whatever the gradient's.
/// struct SignDescent(f64);
///
/// impl Optimizer for SignDescent {
///     fn update<'g>(&self, graph: &'g Graph, parameters: &[Learned<'g>]) {
///         let rate = graph.learning_rate(self.rate_name(), self.0);
///         for p in parameters {
///             graph.set_next(p.value, p.value - p.rate(rate) * p.gradient.sign());
///         }
///     }
///
///     fn rate_name(&self) -> &'static str {
///         "sign_descent/learning_rate"
///     }
/// }
///
/// let g = Graph::new();
/// let w = g.parameter("w", F64, [], Init::Constant(1.0));
/// g.minimize(w * w, SignDescent(0.25));
/// let mut step = g.compile()?;
/// step.run(&[])?;
/// assert_eq!(step.parameters()[0].1.get(0).to_f64(), 0.75);
/// # Ok::<(), bespoke_nn::TrainError>(())
/// ```
pub trait Optimizer {
    /// Sets the next value of each parameter, and of the optimiser's own states, by [`Graph::set_next`].
    fn update<'g>(&self, graph: &'g Graph, parameters: &[Learned<'g>]);

    /// The name of the state that holds the learning rate.
    fn rate_name(&self) -> &'static str;
}

impl Optimizer for Box<dyn Optimizer> {
    fn update<'g>(&self, graph: &'g Graph, parameters: &[Learned<'g>]) {
        (**self).update(graph, parameters);
    }

    fn rate_name(&self) -> &'static str {
        (**self).rate_name()
    }
}

/// A parameter that an [`Optimizer`] changes.
#[derive(Clone, Debug)]
pub struct Learned<'g> {
    /// Which it is.
    pub parameter: Parameter,
    /// Its value before the step.
    pub value: Value<'g>,
    /// The gradient of the loss, of its type, as clipping and accumulation left it.
    pub gradient: Value<'g>,
    /// The factor of the learning rate that its [`Group`](crate::Group) has, else 1.
    pub rate_factor: f64,
    /// The weight decay that its group has in place of the optimiser's.
    pub decay: Option<f64>,
}

impl<'g> Learned<'g> {
    /// The parameter's own learning rate, of its element type.
    pub fn rate(&self, rate: Value<'g>) -> Value<'g> {
        let rate = rate.convert(self.parameter.ty.dtype);
        if self.rate_factor == 1.0 { rate } else { rate * self.rate_factor }
    }

    /// The gradient with weight decay λ in it, ∇ + λw, where `decay` is the optimiser's λ.
    pub fn decayed_gradient(&self, decay: f64) -> Value<'g> {
        match self.decay.unwrap_or(decay) {
            0.0 => self.gradient,
            decay => self.gradient + self.value * decay,
        }
    }

    /// The parameter with decoupled weight decay, w − ηλw, where `rate` is its own η and `decay` the optimiser's λ.
    pub fn decayed_value(&self, rate: Value<'g>, decay: f64) -> Value<'g> {
        match self.decay.unwrap_or(decay) {
            0.0 => self.value,
            decay => self.value - rate * self.value * decay,
        }
    }

    /// A state of the parameter's type, named `<optimizer>/<parameter>/<slot>`, at first zero.
    pub fn slot(&self, optimizer: &str, slot: &str) -> Value<'g> {
        self.slot_from(optimizer, slot, 0.0)
    }

    /// [`Learned::slot`], at first this everywhere.
    pub fn slot_from(&self, optimizer: &str, slot: &str, start: f64) -> Value<'g> {
        let name = format!("{optimizer}/{}/{slot}", self.parameter.name);
        self.value.graph.state(&name, &Tensor::from_fn(self.parameter.ty, |_| Scalar::F64(start)))
    }
}

impl Graph {
    /// The state that holds a learning rate, an f32 scalar: see [`Optimizer`].
    pub fn learning_rate(&self, name: &str, rate: f64) -> Value<'_> {
        self.state(name, &rate_value(rate))
    }

    /// A state's next value ρ·state + (1 − ρ)·value, a moving average.
    pub(crate) fn follow<'g>(&'g self, state: Value<'g>, value: Value<'g>, rho: f64) -> Value<'g> {
        let next = state * rho + value * (1.0 - rho);
        self.set_next(state, next);
        next
    }
}

/// A value of the learning rate's state.
pub(crate) fn rate_value(rate: f64) -> Tensor {
    Tensor::from_fn(Type::scalar(DType::F32), |_| Scalar::F64(rate))
}
