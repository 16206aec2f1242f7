//! Small data and models.

use bespoke_data::TensorDataset;
use bespoke_nn::{Callback, F32, Graph, Init, Objective, Sgd, TrainError, Trainer, Training};
use bespoke_tensor::{Scalar, Tensor, Type};

/// Rows of 3 numbers within ±1 that are no pattern, each with a target that is a smooth function of them.
pub fn rows(count: usize) -> TensorDataset {
    let number = |i: usize| ((i + 1) as f64 * 1.7).sin();
    let x = Tensor::from_fn(Type::new(F32, [count, 3]), |i| Scalar::F64(number(i)));
    let target = |row: usize| number(3 * row) * 0.5 - number(3 * row + 1) + number(3 * row + 2).powi(2);
    let t = Tensor::from_fn(Type::new(F32, [count]), |row| Scalar::F64(target(row)));
    TensorDataset::new("rows", [("x", x), ("t", t)]).unwrap()
}

/// The squared error of a small net.
pub fn regression(g: &Graph, batch: usize) -> Objective {
    let (x, t) = (g.input("x", F32, [batch, 3]), g.input("t", F32, [batch]));
    let y = x.dense(4).tanh().dense(1).reshape([batch]);
    let error = y - t;
    Objective::new((error * error).mean()).metric("absolute", error.abs())
}

/// Sets the state `figure` for each epoch, and so the metric of that name.
struct Script(Vec<f64>);

impl Callback for Script {
    fn name(&self) -> &str {
        "script"
    }

    fn before_step(&mut self, training: &mut Training) -> Result<(), TrainError> {
        let figure = self.0[training.position().epoch];
        training.set_state("figure", &Tensor::scalar(figure as f32))
    }
}

/// A trainer whose metric `figure` is these numbers in turn, epoch by epoch of one step, and whose parameter `w` counts the steps.
pub fn scripted(figures: &[f64]) -> Trainer {
    let g = Graph::new();
    let x = g.input("x", F32, [4]);
    let [w, figure] = ["w", "figure"].map(|name| g.parameter(name, F32, [], Init::Constant(0.0)));
    g.freeze("figure");
    Trainer::new(-(x * w).mean(), Sgd::new(1.0)).metric("figure", figure).callback(Script(figures.to_vec()))
}

/// The data of [`scripted`].
pub fn ones() -> TensorDataset {
    TensorDataset::new("ones", [("x", Tensor::full([4], 1.0f32))]).unwrap()
}

/// A state of one number.
pub fn number(training: &Training, name: &str) -> f64 {
    training.state(name).unwrap().get(0).to_f64()
}
