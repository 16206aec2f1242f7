//! Last batches that are not full.

use bespoke_data::{Dataset, Loader, TensorDataset};
use bespoke_nn::{Adam, Epochs, F32, Graph, Norm, Objective, Sgd, Steps, Trainer, Training, Update};
use bespoke_tensor::{Scalar, Tensor, Type};

use crate::common::{regression, rows};

fn near(got: &Tensor, expected: &Tensor, name: &str) {
    assert_eq!(got.ty(), expected.ty(), "{name}");
    for (got, expected) in got.scalars().zip(expected.scalars()) {
        let (got, expected) = (got.to_f64(), expected.to_f64());
        assert!(
            (got - expected).abs() <= 1e-6 * (1.0 + expected.abs()),
            "{name}: {got}, expected {expected}"
        );
    }
}

#[test]
fn held_out_figures_are_those_of_one_big_batch() {
    let data = rows(23);
    let measure = |batch: usize| {
        let mut training = Trainer::of(batch, regression, Sgd::new(0.1)).seed(4).compile().unwrap();
        training.evaluate(&data).unwrap()
    };
    let whole = measure(23);
    for batch in [1, 2, 5, 8, 22, 24, 100] {
        let parts = measure(batch);
        assert!((parts.loss - whole.loss).abs() < 1e-6, "{batch}: {parts:?}, expected {whole:?}");
        let [got, expected] = [&parts, &whole].map(|m| m.metric("absolute").unwrap());
        assert!((got - expected).abs() < 1e-6, "{batch}: {parts:?}, expected {whole:?}");
    }
}

/// The rows of a data set that a loader gives for a batch.
fn states_after_hand_loop(data: &TensorDataset, batch: usize, epochs: u64) -> Training {
    let update = || Update::new(Adam::new(0.02)).clip_norm(1.0);
    // A trainer for each size, of which the states wander from one to the other.
    let train = |rows: usize| {
        let model = move |g: &Graph, _: usize| regression(g, rows);
        Trainer::of(rows, model, update()).seed(9).compile().unwrap()
    };
    let (mut whole, mut part) = (train(batch), train(data.len() % batch));
    for epoch in 0..epochs {
        let loader = Loader::new(data, batch).shuffle(9);
        let step = |b: &bespoke_data::Batch| -> Result<_, bespoke_nn::TrainError> {
            let inputs = [("x", b.field("x").unwrap()), ("t", b.field("t").unwrap())];
            if b.rows == batch {
                whole.step(&inputs)?;
            } else {
                for (name, value) in whole.states() {
                    part.set_state(&name, &value)?;
                }
                part.step(&inputs)?;
                for (name, value) in part.states() {
                    whole.set_state(&name, &value)?;
                }
            }
            Ok(std::ops::ControlFlow::Continue(()))
        };
        loader.run(epoch, 0, step).unwrap();
    }
    whole
}

#[test]
fn the_last_rows_are_learned_as_by_a_hand_loop() {
    let data = rows(22);
    let mut training =
        Trainer::of(8, regression, Update::new(Adam::new(0.02)).clip_norm(1.0)).seed(9).compile().unwrap();
    let history = training.fit(&data, &data, Epochs(3)).unwrap();
    assert_eq!(training.position().step, 9);
    let by_hand = states_after_hand_loop(&data, 8, 3);
    assert_eq!(training.states(), by_hand.states());
    // Where all is one program, the rest is left for another epoch's order.
    let g = Graph::new();
    let mut one = Trainer::new(regression(&g, 8), Sgd::new(0.1)).compile().unwrap();
    one.fit(&data, &data, Epochs(3)).unwrap();
    assert_eq!(one.position().step, 6);
    assert_eq!(history.train.len(), 3);
}

#[test]
fn figures_of_an_epoch_weigh_rows_alike() {
    // Without learning, the mean over the epoch's batches of 4, 4 and 1 is that over all rows.
    let mut training = Trainer::of(4, regression, Sgd::new(0.0)).compile().unwrap();
    let history = training.fit(&rows(9), &rows(9), Epochs(1)).unwrap();
    let (train, held_out) = (&history.train[0], &history.held_out[0]);
    assert!((train.loss - held_out.loss).abs() < 1e-6, "{history:?}");
    assert!((train.metrics[0].1 - held_out.metrics[0].1).abs() < 1e-6, "{history:?}");
}

#[test]
fn a_last_batch_of_one_row_spoils_no_running_statistics() {
    let model = |g: &Graph, batch: usize| {
        let (x, t) = (g.input("x", F32, [batch, 3]), g.input("t", F32, [batch]));
        let y = x.dense(4).batch_norm(Norm::new()).tanh().dropout(0.2).dense(1).reshape([batch]);
        Objective::new(((y - t) * (y - t)).mean())
    };
    let mut training = Trainer::of(4, model, Adam::new(0.01)).compile().unwrap();
    let history = training.fit(&rows(9), &rows(5), Epochs(2)).unwrap();
    assert!(history.held_out.iter().all(|m| m.loss.is_finite()), "{history:?}");
    for (name, value) in training.states() {
        assert!(value.scalars().all(|v| v.to_f64().is_finite()), "{name}");
    }
}

#[test]
fn accumulation_over_micro_batches_of_fit_is_one_large_batch() {
    // In the order of the data: one epoch of 12 rows that the loader shuffles alike whatever the batch.
    let data = rows(12);
    let train = |batch: usize, update: Update| {
        let mut training = Trainer::of(batch, regression, update).seed(3).compile().unwrap();
        training.fit(&data, &data, Epochs(4)).unwrap();
        training.parameters()
    };
    let whole = train(12, Sgd::new(0.1).momentum(0.9).into());
    let micro = train(3, Update::new(Sgd::new(0.1).momentum(0.9)).accumulate(4));
    for ((name, expected), (_, got)) in whole.iter().zip(&micro) {
        near(got, expected, name);
    }
}

#[test]
fn a_mean_over_parameters_is_no_mean_over_rows() {
    // The parameter has as many rows as the batch, by chance.
    let g = Graph::new();
    let x = g.input("x", F32, [4, 3]);
    let w = x.dense(1);
    let table = g.parameter("table", F32, [4, 2], bespoke_nn::Init::HeNormal);
    let objective = Objective::new(w.mean() + table.mean()).metric("table", table.mean());
    let mut training = Trainer::new(objective, Sgd::new(0.1)).compile().unwrap();
    let values = Tensor::from_fn(Type::new(F32, [4, 2]), |i| Scalar::F64(i as f64));
    training.set_state("table", &values).unwrap();
    let data = TensorDataset::new("rows", [("x", rows(6).field("x").unwrap().clone())]).unwrap();
    assert_eq!(training.evaluate(&data).unwrap().metric("table"), Some(3.5));
}

#[test]
fn steps_are_as_many_as_asked_for_wherever_the_epoch_began() {
    let data = rows(40);
    let mut training = Trainer::of(4, regression, Sgd::new(0.01)).compile().unwrap();
    for (steps, sum) in [(5, 5), (10, 15), (1, 16), (27, 43)] {
        training.fit(&data, &data, Steps(steps)).unwrap();
        assert_eq!(training.position().step, sum);
    }
    training.fit(&data, &data, Epochs(1)).unwrap();
    assert_eq!(training.position().step, 50, "what is left of the epoch counts as one");
}

#[test]
fn fields_are_taken_by_name_and_the_others_in_order() {
    let field = |from: f32| Tensor::from_fn(Type::new(F32, [8]), |i| Scalar::F64(f64::from(from) + i as f64));
    let data = TensorDataset::new("three", [("u", field(0.0)), ("t", field(100.0)), ("v", field(200.0))]);
    let g = Graph::new();
    let (a, t, b) = (g.input("a", F32, [8]), g.input("t", F32, [8]), g.input("b", F32, [8]));
    let w = g.parameter("w", F32, [], bespoke_nn::Init::Constant(1.0));
    let trainer = Trainer::new((a * w + t + b).mean(), Sgd::new(0.0));
    let mut training = trainer.metric("a", a).metric("t", t).metric("b", b).compile().unwrap();
    let measured = training.evaluate(&data.unwrap()).unwrap();
    let means = ["a", "t", "b"].map(|name| measured.metric(name).unwrap());
    assert_eq!(means, [3.5, 103.5, 203.5]);
}
