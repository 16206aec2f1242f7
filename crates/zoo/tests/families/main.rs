//! The architectures of each family, in small: sound, learning, and what their papers say of them.

mod autoencoder;
mod charmodel;
mod conv_autoencoder;
mod dcgan;
mod gpt;
mod gqn;
mod hopfield;
mod logic;
mod mlp;
mod recurrent;
mod seq2seq;
mod vae;
mod vit;

use std::collections::BTreeMap;

use bespoke_graph::verify;
use bespoke_nn::{F32, Graph, I32, Trainer};
use bespoke_tensor::{Scalar, Shape, Tensor, Type};
use bespoke_zoo::{Architecture, Options, find};

/// A number of [0, 1) for each index and salt.
fn uniform(i: usize, salt: u32) -> f64 {
    f64::from(bespoke_graph::philox::block([i as u32, 0, 0, salt], [3, 0])[0]) / 4_294_967_296.0
}

/// A tensor of f32 by flat index.
fn floats(shape: impl Into<Shape>, f: impl Fn(usize) -> f64) -> Tensor {
    Tensor::from_fn(Type::new(F32, shape), |i| Scalar::F64(f(i)))
}

/// A tensor of i32 by flat index.
fn integers(shape: impl Into<Shape>, f: impl Fn(usize) -> usize) -> Tensor {
    Tensor::from_fn(Type::new(I32, shape), |i| Scalar::I64(f(i) as i64))
}

/// Images of waves within [0, 1], which differ in direction and phase.
fn waves(shape: impl Into<Shape>, side: usize) -> Tensor {
    let shape = shape.into();
    let pixels: usize = shape[1..].iter().product();
    floats(shape, |i| {
        let (image, x, y) = (i / pixels, i % pixels % side, i % pixels / side % side);
        let along = uniform(image, 1) * x as f64 + uniform(image, 2) * y as f64;
        0.5 + 0.5 * (along + 6.0 * uniform(image, 3)).sin()
    })
}

fn architecture(name: &str) -> &'static Architecture {
    find(name).unwrap_or_else(|| panic!("there is no model {name}"))
}

/// The small sizes of an architecture.
fn small(name: &str) -> Options {
    architecture(name).small
}

/// The number of a model's parameters that training changes, without their values.
fn parameters(build: impl FnOnce(&Graph)) -> usize {
    let g = Graph::new();
    build(&g);
    g.finish().unwrap();
    g.parameters().iter().filter(|p| p.trainable).map(|p| p.ty.elements()).sum()
}

/// The number of an architecture's parameters in its usual sizes.
fn parameters_of(name: &str) -> usize {
    let architecture = architecture(name);
    parameters(|g| drop(architecture.build(g, &architecture.defaults)))
}

/// What each of so many training steps on one batch reports, by name.
fn steps(
    name: &str,
    options: &Options,
    inputs: &[(&str, &Tensor)],
    count: usize,
) -> Vec<BTreeMap<String, f64>> {
    let (architecture, g) = (architecture(name), Graph::new());
    let parts = architecture.build(&g, options);
    let mut trainer = Trainer::new(parts.loss, architecture.optimizer());
    for (metric, value) in &parts.metrics {
        trainer = trainer.metric(metric, *value);
    }
    let mut training = trainer.compile().unwrap();
    let mut step = || {
        let outputs = training.step(inputs).unwrap();
        let mean = |v: &Tensor| v.scalars().map(Scalar::to_f64).sum::<f64>() / v.elements() as f64;
        outputs.iter().map(|(name, value)| (name.to_owned(), mean(value))).collect()
    };
    (0..count).map(|_| step()).collect()
}

/// Holds an architecture of these sizes to what all must do: its graphs are sound, its query asks for `asked` alone and draws
/// nothing, no batch is too small, and so many steps on one batch bring the loss below a share of the first.
fn sound_and_learns(
    name: &str,
    options: &Options,
    inputs: &[(&str, &Tensor)],
    asked: &[&str],
    (count, share): (usize, f64),
) {
    let model = architecture(name).model_with(options).unwrap();
    for (stage, graph) in [
        ("query", &model.query),
        ("forward", &model.forward),
        ("backward", &model.backward),
        ("training", &model.training),
    ] {
        assert_eq!(verify(graph), Vec::<String>::new(), "{name}, {stage}");
        let text = graph.to_string();
        assert_eq!(bespoke_graph::parse(&text).unwrap().to_string(), text, "{name}, {stage}");
    }
    assert_eq!(model.query.inputs().map(|i| i.0).collect::<Vec<_>>(), asked, "{name}");
    assert!(!model.query.to_string().contains("random"), "{name}: the query draws");
    assert!(model.query.states().iter().all(|s| s.next.is_none()), "{name}: the query changes states");
    assert!(architecture(name).model_with(&Options { batch: 0, ..*options }).is_ok(), "{name}: no rows");
    assert!(architecture(name).model_with(&Options { batch: usize::MAX, ..*options }).is_err(), "{name}");

    let losses: Vec<f64> = steps(name, options, inputs, count).iter().map(|s| s["loss"]).collect();
    assert!(losses.iter().all(|l| l.is_finite()), "{name}: {losses:?}");
    assert!(losses[count - 1] < share * losses[0], "{name}: {losses:?}");
}
