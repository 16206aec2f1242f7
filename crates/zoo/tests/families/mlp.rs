use bespoke_nn::{F32, Graph, Init, Value};
use bespoke_tensor::Scalar;
use bespoke_zoo::{Options, mlp::DeepMlp};

use crate::{floats, parameters_of, small, sound_and_learns, uniform, waves};

#[test]
fn any_depth_learns() {
    let (x, t) = (waves([16, 20], 5), floats([16, 20], |i| 0.5 * (i as f64).sin()));
    for depth in [1, 2, 10] {
        let options = Options { size: depth, ..small("mlp-deep") };
        sound_and_learns("mlp-deep", &options, &[("x", &x), ("t", &t)], &["x"], (100, 0.98));
    }
    assert_eq!(parameters_of("mlp-deep"), 10 * (500 * 500 + 500));
}

/// The standard deviations of what ten layers of 500 units give (L17).
fn deviations(init: Init, activation: for<'g> fn(Value<'g>) -> Value<'g>) -> Vec<f64> {
    let g = Graph::new();
    let x = g.input("x", F32, [64, 500]);
    for (i, h) in
        (DeepMlp { depth: 10, hidden: 500, outputs: 500, init, activation }).layers(x).iter().enumerate()
    {
        g.output(&format!("{i}"), *h);
    }
    // Uniform of variance 1.
    let x = floats([64, 500], |i| (uniform(i, 31) - 0.5) * 12f64.sqrt());
    let outputs = g.compile().unwrap().run(&[("x", &x)]).unwrap();
    let deviation = |values: Vec<f64>| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    };
    outputs.iter().map(|(_, v)| deviation(v.scalars().map(Scalar::to_f64).collect())).collect()
}

#[test]
fn signals_reach_the_last_layer_if_weights_start_as_they_should() {
    let tanh = |init| deviations(init, |h| h.tanh());
    assert!(tanh(Init::Normal(0.01))[9] < 1e-5, "small weights let signals vanish");
    assert!(tanh(Init::Normal(1.0))[9] > 0.9, "large ones saturate");
    let xavier = tanh(Init::LecunNormal);
    assert!(xavier[0] > 0.5 && xavier[9] > 0.15 && xavier[9] < 0.5, "{xavier:?}");
    let relu = |init| deviations(init, |h| h.relu());
    let (xavier, he) = (relu(Init::LecunNormal), relu(Init::HeNormal));
    assert!(xavier[9] < 0.05 && he[9] > 0.4 && he[9] < 2.0, "{xavier:?}, {he:?}");
}
