//! Rows for models that are smaller than any data set.

use std::sync::Arc;

use bespoke_data::{Draws, TensorDataset};
use bespoke_tensor::Tensor;
use bespoke_zoo::Architecture;

use crate::{
    error::Failure,
    source::{Parts, split},
};

/// Points on the plane.
const POINTS: usize = 400;

/// What comes along for a model with inputs `x` and `t`; none if nothing does.
pub fn made(architecture: &Architecture, channels: usize, seed: u64) -> Option<Result<Parts, Failure>> {
    match architecture.name {
        "perceptron" => Some(truths("and", channels, [0.0, 0.0, 0.0, 1.0])),
        "xor" => Some(truths("xor", channels, [0.0, 1.0, 1.0, 0.0])),
        "linear" => Some(plane(channels).and_then(|all| split(Arc::new(all), seed))),
        _ => None,
    }
}

/// A truth table of two inputs, to learn from and to measure on.
fn truths(name: &str, channels: usize, t: [f32; 4]) -> Result<Parts, Failure> {
    if channels != 2 {
        return Err(Failure(format!("the bundled rows of `{name}` have 2 channels, got {channels}")));
    }
    let x = Tensor::from_slice([4, 2], &[0.0f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])?;
    let rows = Arc::new(TensorDataset::new(name, [("x", x), ("t", Tensor::from_slice([4], &t)?)])?);
    Ok((rows.clone(), rows))
}

/// Points t = a·x + b, x within ±1, with a = (1, −1/2, 1/3, …) and b = 1/2.
fn plane(channels: usize) -> Result<TensorDataset, Failure> {
    let slope = |i: usize| (1.0 - 2.0 * (i % 2) as f64) / (i + 1) as f64;
    let (mut xs, mut ts) = (vec![], vec![]);
    for row in 0..POINTS {
        let mut draws = Draws::new(0, 0, row as u64);
        let x: Vec<f64> = (0..channels).map(|_| draws.within(-1.0..=1.0)).collect();
        ts.push((0.5 + x.iter().enumerate().map(|(i, x)| slope(i) * x).sum::<f64>()) as f32);
        xs.extend(x.into_iter().map(|x| x as f32));
    }
    let (x, t) = (Tensor::from_vec([POINTS, channels], xs)?, Tensor::from_vec([POINTS], ts)?);
    Ok(TensorDataset::new("plane", [("x", x), ("t", t)])?)
}
