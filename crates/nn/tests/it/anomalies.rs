//! Where what is no number comes from.

use bespoke_data::TensorDataset;
use bespoke_nn::{Epochs, F32, Graph, Init, Objective, Sgd, TrainError, Trainer, Training, Update};
use bespoke_tensor::Tensor;

fn data(x: &[f32]) -> TensorDataset {
    TensorDataset::new("data", [("x", Tensor::from_slice([x.len()], x).unwrap())]).unwrap()
}

/// The error of two epochs on three batches of two, of which the last rows are all of one.
fn error(training: &mut Training, x: &[f32]) -> TrainError {
    let before = training.states();
    let data = data(x);
    let error = training.fit(&data, &data, Epochs(2)).unwrap_err();
    assert_eq!(training.states(), before, "all is as before the epoch");
    assert_eq!(training.position().step, 0);
    error
}

fn expect_anomaly(error: &TrainError, operator: &str, line: u32, steps: std::ops::RangeInclusive<usize>) {
    let TrainError::Anomaly { what, location, step, epoch, value, .. } = error else {
        panic!("expected an anomaly, got {error}")
    };
    assert!(what.starts_with(&format!("operator {operator} (")), "{error}");
    assert_eq!(location.map(|l| (l.file(), l.line())), Some((file!(), line)), "{error}");
    assert!(steps.contains(step) && *epoch == 1 && !value.is_finite(), "{error}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("{}:{line}: operator {operator} (", file!())), "{text}");
}

#[test]
fn a_logarithm_below_zero_is_named_with_its_line() {
    let g = Graph::new();
    let x = g.input("x", F32, [2]);
    let w = g.parameter("w", F32, [], Init::Constant(1.0));
    let shifted = x * w + 1.0;
    let line = line!() + 1;
    let y = shifted.log();
    let trainer = Trainer::new((y * 2.0).mean(), Sgd::new(1e-3)).detect_anomalies();
    let mut training = trainer.compile().unwrap();
    // Of three batches one has a row of −2.
    let error = error(&mut training, &[1.0, 2.0, 1.0, -2.0, 1.0, 2.0]);
    expect_anomaly(&error, "log", line, 1..=3);
    // On sound data it is no hindrance.
    let sound = data(&[1.0, 2.0, 0.5, 0.25]);
    let history = training.fit(&sound, &sound, Epochs(2)).unwrap();
    assert!(history.held_out.iter().all(|m| m.loss.is_finite()));
}

#[test]
fn zero_by_zero_is_named_with_its_line() {
    let g = Graph::new();
    let x = g.input("x", F32, [2]);
    let w = g.parameter("w", F32, [], Init::Constant(1.0));
    let (above, below) = (x * w, x * 2.0);
    let line = line!() + 1;
    let ratio = above / below;
    let mut training = Trainer::new(ratio.mean(), Sgd::new(1e-3)).detect_anomalies().compile().unwrap();
    let error = error(&mut training, &[1.0, 2.0, 0.0, 3.0, 1.0, 2.0]);
    expect_anomaly(&error, "div", line, 1..=3);
}

#[test]
fn a_derivative_is_named_by_the_line_that_it_is_of() {
    // √w has the value 0 at 0, and no slope.
    let g = Graph::new();
    let x = g.input("x", F32, [2]);
    let w = g.parameter("w", F32, [], Init::Constant(0.0));
    let line = line!() + 1;
    let root = w.sqrt();
    let mut training = Trainer::new((x * root).mean(), Sgd::new(1e-3)).detect_anomalies().compile().unwrap();
    let error = error(&mut training, &[1.0, 2.0, 0.0, 3.0, 1.0, 2.0]);
    let TrainError::Anomaly { location, .. } = &error else { panic!("{error}") };
    assert_eq!(location.map(|l| l.line()), Some(line), "{error}");
}

#[test]
fn data_that_are_no_numbers_are_named() {
    let g = Graph::new();
    let x = g.input("x", F32, [2]);
    let w = g.parameter("w", F32, [], Init::Constant(1.0));
    let mut training = Trainer::new((x * w).mean(), Sgd::new(1e-3)).detect_anomalies().compile().unwrap();
    let error = error(&mut training, &[1.0, 2.0, f32::NAN, 3.0]).to_string();
    assert!(error.contains("input `x` gave NaN in f32[2] at step "), "{error}");
}

#[test]
fn what_the_second_player_spoils_is_traced_from_what_the_first_has_left() {
    // The first brings u from 1 to −1; only then is log(u) no number.
    let g = Graph::new();
    let x = g.input("x", F32, [2]);
    let [u, v] = ["u", "v"].map(|name| g.parameter(name, F32, [], Init::Constant(1.0)));
    let line = line!() + 1;
    let logarithm = u.log();
    let objective = Objective::new((x * u).mean()).player("second", (x * v * logarithm).mean());
    let update = |only: &str, rate: f64| Update::new(Sgd::new(rate)).only(only);
    let trainer = Trainer::new(objective, update("u", 2.0)).player("second", update("v", 1.0));
    let mut training = trainer.detect_anomalies().compile().unwrap();
    expect_anomaly(&error(&mut training, &[1.0, 1.0]), "log", line, 1..=1);
}

#[test]
fn without_detection_the_loss_is_named() {
    let g = Graph::new();
    let x = g.input("x", F32, [2]);
    let w = g.parameter("w", F32, [], Init::Constant(1.0));
    let mut training = Trainer::new((x * w).log().mean(), Sgd::new(1e-3)).compile().unwrap();
    let error = error(&mut training, &[1.0, 2.0, 1.0, -2.0]);
    assert!(matches!(error, TrainError::NotFinite { epoch: 1, step: 1..=2, .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("the loss is NaN at step ") && text.contains("A smaller learning rate"),
        "{text}"
    );
}

#[test]
fn what_the_last_step_of_an_epoch_spoils_does_not_last() {
    // One step an epoch: its loss is a number, but what it leaves is none.
    let g = Graph::new();
    let x = g.input("x", F32, [2]);
    let w = g.parameter("w", F32, [], Init::Constant(0.0));
    let mut training = Trainer::new((x * w).sqrt().mean(), Sgd::new(1e-3)).compile().unwrap();
    let error = error(&mut training, &[1.0, 2.0]);
    assert!(matches!(error, TrainError::NotFinite { epoch: 1, step: 1, .. }), "{error}");
    assert_eq!(training.parameters()[0].1.get(0).to_f64(), 0.0);
}

#[test]
fn an_infinity_that_becomes_nan_is_named_where_it_began() {
    let g = Graph::new();
    let x = g.input("x", F32, [2]);
    let w = g.parameter("w", F32, [], Init::Constant(1.0));
    let line = line!() + 1;
    let y = (x * w).log();
    let z = y * 0.0; // −∞ · 0
    let mut training = Trainer::new(z.mean(), Sgd::new(1e-3)).detect_anomalies().compile().unwrap();
    let error = error(&mut training, &[1.0, 2.0, 1.0, 0.0, 1.0, 2.0]);
    expect_anomaly(&error, "log", line, 1..=3);

    // An infinity that is meant is none: a row of masks alone has no softmax.
    let g = Graph::new();
    let x = g.input("x", F32, [2]);
    let w = g.parameter("w", F32, [], Init::Constant(1.0));
    let masked = (x * w).gt(1.0).select(x * w, f64::NEG_INFINITY);
    let line = line!() + 1;
    let y = masked - masked.max();
    let mut training = Trainer::new(y.exp().mean(), Sgd::new(1e-3)).detect_anomalies().compile().unwrap();
    let error = self::error(&mut training, &[2.0, 2.0, 0.0, 0.0, 2.0, 2.0]);
    expect_anomaly(&error, "sub", line, 1..=3);
}
