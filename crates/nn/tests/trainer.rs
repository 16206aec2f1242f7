//! Training beyond one classifier: other losses, inputs and metrics, frozen parameters, saved states, queries.

use bespoke_data::TensorDataset;
use bespoke_nn::{Adam, Epochs, F32, F64, Graph, I32, Init, Sgd, TrainError, Trainer, Value};
use bespoke_tensor::{Scalar, Tensor, Type};

/// Rows (i, 2i, 1) / n with label i mod 2.
fn rows(n: usize) -> TensorDataset {
    let x = Tensor::from_fn(Type::new(F32, [n, 3]), |i| {
        let row = (i / 3) as f64 / n as f64;
        Scalar::F64([row, 2.0 * row, 1.0][i % 3])
    });
    let label = Tensor::from_fn(Type::new(I32, [n]), |i| Scalar::I64(i as i64 % 2));
    TensorDataset::new("rows", [("x", x), ("label", label)]).unwrap().with_classes(2).unwrap()
}

fn classifier<'g>(g: &'g Graph, batch: usize) -> (Value<'g>, Value<'g>) {
    let (x, y) = (g.input("x", F32, [batch, 3]), g.input("y", I32, [batch]));
    (g.scope("body", || x.dense(4).tanh()).dense(2), y)
}

#[test]
fn an_autoencoder_needs_no_labels() {
    let g = Graph::new();
    let x = g.input("x", F32, [8, 3]);
    let restored = x.dense(1).dense(3);
    let trainer = Trainer::new(restored.mse(x), Adam::new(0.03));
    let mut training = trainer.metric("error", restored.absolute_error(x).mean_axes(&[1])).compile().unwrap();
    let history = training.fit(&rows(64), &rows(20), Epochs(60)).unwrap();
    let (first, last) = (&history.held_out[0], history.held_out.last().unwrap());
    assert!(last.loss < 0.01 && last.loss < first.loss / 10.0, "{first:?} … {last:?}");
    assert!(last.metric("error").unwrap() < 0.1, "{last:?}");
}

#[test]
fn held_out_means_count_each_row_once() {
    let g = Graph::new();
    let x = g.input("x", F32, [8, 3]);
    let w = g.parameter("w", F32, [], Init::Constant(1.0));
    let first = (x * w).slice(1, 0..1);
    let value = first.mean() + w * 10.0; // no mean over rows: only full batches count
    let trainer = Trainer::new(value, Sgd::new(0.0)).metric("first", first).metric("mean", first.mean());
    let mut training = trainer.compile().unwrap();
    let measured = training.evaluate(&rows(20)).unwrap();
    let close = |got: f64, rows: usize| {
        let expected = (0..rows).map(|i| i as f64 / 20.0).sum::<f64>() / rows as f64;
        assert!((got - expected).abs() < 1e-6, "{got}, expected {expected}");
    };
    close(measured.metric("first").unwrap(), 20);
    close(measured.metric("mean").unwrap(), 20);
    close(measured.loss - 10.0, 16);
    // Fewer rows than a batch are all there is.
    assert_eq!(training.evaluate(&rows(1)).unwrap().metric("first"), Some(0.0));
}

#[test]
fn frozen_parameters_and_a_rate_of_zero_change_nothing() {
    let g = Graph::new();
    let (logits, y) = classifier(&g, 8);
    g.freeze("body/");
    let trainer = Trainer::new(logits.cross_entropy(y).mean(), Sgd::new(0.5).momentum(0.9));
    let mut training = trainer.compile().unwrap();
    let before = training.parameters();
    assert_eq!(before.len(), 4, "frozen parameters are saved too");
    training.fit(&rows(32), &rows(8), Epochs(2)).unwrap();
    let after = training.parameters();
    for (old, new) in before.iter().zip(&after) {
        assert_eq!(old == new, old.0.starts_with("body/"), "{}", old.0);
    }
    training.set_learning_rate(0.0).unwrap();
    training.fit(&rows(32), &rows(8), Epochs(1)).unwrap();
    assert_eq!(training.parameters(), after);
}

#[test]
fn saved_states_hold_what_the_optimiser_remembers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("states.safetensors");
    let training = || {
        let g = Graph::new();
        let (logits, y) = classifier(&g, 8);
        Trainer::new(logits.cross_entropy(y).mean(), Adam::new(0.01)).compile().unwrap()
    };
    let mut first = training();
    first.fit(&rows(32), &rows(8), Epochs(2)).unwrap();
    first.save_checkpoint(&path).unwrap();
    let mut second = training();
    second.resume(&path).unwrap();
    let names: Vec<String> = first.states().into_iter().map(|s| s.0).collect();
    assert!(names.iter().any(|n| n == "adam/dense0/weight/second"), "{names:?}");
    for name in &names {
        assert_eq!(first.state(name), second.state(name), "{name}");
    }
    // Parameters alone can be read from it; a file of parameters holds too little for all states.
    training().load(&path).unwrap();
    first.save(&path).unwrap();
    let error = second.resume(&path).unwrap_err();
    assert!(matches!(&error, TrainError::MissingTensor { name, .. } if name.starts_with("adam/")), "{error}");
}

#[test]
fn a_query_takes_saved_parameters_and_no_labels() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    let g = Graph::new();
    let (logits, y) = classifier(&g, 8);
    let loss = logits.cross_entropy(y).mean();
    let mut training =
        Trainer::new(loss, Sgd::new(0.5)).metric("accuracy", logits.accuracy(y)).compile().unwrap();
    let data = rows(24);
    training.fit(&data, &data, Epochs(5)).unwrap();
    training.save(&path).unwrap();

    let g = Graph::with_seed(5);
    g.output("class", classifier(&g, 24).0.argmax(-1));
    let mut query = g.compile().unwrap();
    let inputs: Vec<&str> = query.executable().program().inputs.iter().map(|i| i.0.as_str()).collect();
    assert_eq!(inputs, ["x"]);
    assert_ne!(query.parameters(), training.parameters());
    query.load(&path).unwrap();
    assert_eq!(query.parameters(), training.parameters());
    let outputs = query.run(&[("x", data.field("x").unwrap())]).unwrap();
    let labels = data.field("label").unwrap();
    let right = outputs.get("class").unwrap().scalars().zip(labels.scalars()).filter(|(a, b)| a == b).count();
    let accuracy = training.evaluate(&data).unwrap().metric("accuracy").unwrap();
    assert!((right as f64 / 24.0 - accuracy).abs() < 1e-9, "{right} of 24 right, {accuracy} before saving");
    let error = query.run(&[("x", &Tensor::zeros(Type::new(F64, [24, 3])))]).unwrap_err().to_string();
    assert_eq!(error, "input `x`: expected f32[24,3], got f64[24,3]");
}

#[test]
fn noise_is_new_at_each_step_and_the_same_in_each_query() {
    let train = || {
        let g = Graph::with_seed(9);
        let (x, y) = (g.input("x", F32, [8, 3]), g.input("y", I32, [8]));
        let noisy = x + g.random_normal(F32, [8, 3]) * 0.1;
        let mut training =
            Trainer::new(noisy.dense(2).cross_entropy(y).mean(), Sgd::new(0.1)).compile().unwrap();
        let draws = |t: &mut bespoke_nn::Training| {
            let names: Vec<String> = t.states().into_iter().map(|s| s.0).collect();
            let counters = names.into_iter().filter(|n| n.starts_with("random")).collect::<Vec<_>>();
            counters.iter().map(|n| t.state(n).unwrap().get(0).to_f64()).collect::<Vec<_>>()
        };
        assert_eq!(draws(&mut training), [0.0, 0.0]);
        let history = training.fit(&rows(32), &rows(8), Epochs(2)).unwrap();
        assert_eq!(draws(&mut training), [8.0, 8.0], "each of 2 × 4 steps draws anew");
        assert_eq!(training.evaluate(&rows(8)).unwrap(), training.evaluate(&rows(8)).unwrap());
        (history, training.parameters())
    };
    assert_eq!(train(), train());
}

#[test]
fn mistakes_in_training_are_named() {
    let here = |error: TrainError, line: u32, message: &str| {
        let error = error.to_string();
        assert!(error.contains(&format!("tests/trainer.rs:{line}: ")) && error.contains(message), "{error}");
    };
    let g = Graph::new();
    let (logits, y) = classifier(&g, 8);
    let unused = g.parameter("unused", F32, [2], Init::Constant(0.0));
    let loss = logits.cross_entropy(y).mean();
    let line = line!() + 1;
    let trainer = Trainer::new(loss, Sgd::new(0.1));
    here(trainer.graphs().unwrap_err(), line, "does not depend differentiably on");
    let line = line!() + 1;
    let trainer = Trainer::new(logits.cross_entropy(y), Sgd::new(0.1));
    here(trainer.graphs().unwrap_err(), line, "expected a loss of one float, got f32[8]");
    g.freeze("unused");
    let line = line!() + 1;
    let trainer = Trainer::new(loss, Sgd::new(0.1)).metric("unused", unused);
    here(trainer.graphs().unwrap_err(), line, "`unused` is f32[2], expected a scalar or one for each row");

    let line = line!() + 1;
    let trainer = Trainer::new(loss, Sgd::new(0.1)).metric("a", loss).metric("a", loss);
    here(trainer.graphs().unwrap_err(), line, "there is a metric `a` already");

    let (g, stranger) = (Graph::new(), Graph::new());
    let (logits, y) = classifier(&g, 8);
    let trainer = Trainer::new(logits.cross_entropy(y).mean(), Sgd::new(0.1));
    let line = line!() + 1;
    let trainer = trainer.metric("odd", classifier(&stranger, 8).0);
    here(trainer.graphs().unwrap_err(), line, "another graph");

    let g = Graph::new();
    let (logits, y) = classifier(&g, 8);
    let mut training = Trainer::new(logits.cross_entropy(y).mean(), Sgd::new(0.1)).compile().unwrap();
    let empty = rows(0);
    assert_eq!(training.evaluate(&empty).unwrap_err().to_string(), "rows: there are no rows");
    // `main` prints errors by `Debug`.
    let error = training.evaluate(&empty).unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string());
}
