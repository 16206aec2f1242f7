use bespoke_nn::{Adam, F32, F64, Graph, Init, Trainer};
use bespoke_zoo::vae::{Code, Objective, Vae};

use crate::{floats, parameters_of, small, sound_and_learns, uniform, waves};

#[test]
fn it_learns() {
    let image = waves([16, 36], 6);
    sound_and_learns("vae", &small("vae"), &[("image", &image)], &["image"], (100, 0.98));
}

#[test]
fn parameters_are_those_of_the_layers() {
    let dense = |inputs: usize, units: usize| (inputs + 1) * units;
    assert_eq!(parameters_of("vae"), dense(784, 400) + dense(400, 40) + dense(20, 400) + dense(400, 784));
}

#[test]
fn the_divergence_is_the_integral_of_its_definition() {
    // ∫ p log(p/q) of one number, by the trapezoidal rule.
    let numeric = |mean: f64, log_variance: f64| {
        let (sigma, steps) = ((log_variance / 2.0).exp(), 4000);
        let width = 24.0 * sigma / f64::from(steps);
        let terms = (0..=steps).map(|i| {
            let x = mean - 12.0 * sigma + f64::from(i) * width;
            let (z, half_log) = ((x - mean) / sigma, 0.5 * log_variance);
            let p = (-0.5 * z * z - half_log).exp() / std::f64::consts::TAU.sqrt();
            p * (-0.5 * z * z - half_log + 0.5 * x * x)
        });
        terms.sum::<f64>() * width
    };
    let cases = [(0.0, 0.0), (1.5, 0.0), (0.0, 1.0), (-0.7, -3.0), (2.0, 2.5)];
    let mut statistics = vec![];
    for (mean, log_variance) in cases {
        statistics.extend([mean, log_variance]);
    }
    let g = Graph::new();
    let x = g.input("x", F64, [5, 2]);
    let code = Code { mean: x.slice(1, 0..1), log_variance: x.slice(1, 1..2) };
    g.output("divergence", code.divergence());
    let x = bespoke_tensor::Tensor::from_vec([5, 2], statistics).unwrap();
    let outputs = g.compile().unwrap().run(&[("x", &x)]).unwrap();
    let found = outputs.get("divergence").unwrap().to_vec::<f64>().unwrap();
    for (found, (mean, log_variance)) in found.iter().zip(cases) {
        let expected = numeric(mean, log_variance);
        assert!((found - expected).abs() < 1e-9, "{found}, expected {expected} at {mean}, {log_variance}");
    }
}

#[test]
fn samples_have_the_mean_and_deviation_of_the_code() {
    const ROWS: usize = 20_000;
    let g = Graph::new();
    let (mean, log_variance) = (g.full(F32, [ROWS, 1], 3.0), g.full(F32, [ROWS, 1], 0.5f64.ln() * 2.0));
    let w = g.parameter("w", F32, [], Init::Constant(0.0));
    g.set_next(w, w + 1.0); // a training step
    g.output("sample", Code { mean, log_variance }.sample());
    let mut step = g.compile().unwrap();
    let mut draw = || step.run(&[]).unwrap().get("sample").unwrap().to_vec::<f32>().unwrap();
    let (sample, other) = (draw(), draw());
    assert_ne!(sample, other);
    let mean = sample.iter().map(|&x| f64::from(x)).sum::<f64>() / ROWS as f64;
    let variance = sample.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / ROWS as f64;
    assert!((mean - 3.0).abs() < 0.02 && (variance.sqrt() - 0.5).abs() < 0.01, "{mean}, {variance}");
}

/// Reconstruction and divergence at the end of training on one of the objectives.
fn trained(objective: Objective) -> [f64; 2] {
    let g = Graph::new();
    let image = g.input("image", F32, [32, 36]);
    let model = Vae { hidden: 32, latent: 2 };
    let code = model.encode(image);
    let logits = model.decode(code.sample(), 36);
    if objective == Objective::Divergence {
        g.freeze("decoder/"); // it has no part in the loss
    }
    let mut trainer = Trainer::new(objective.of(code, logits, image).mean(), Adam::new(0.01));
    for (name, objective) in [("r", Objective::Reconstruction), ("d", Objective::Divergence)] {
        trainer = trainer.metric(name, objective.of(code, logits, image).mean());
    }
    let mut training = trainer.compile().unwrap();
    let image = floats([32, 36], |i| f64::from(u8::from(uniform(i / 36, 5) * 36.0 > (i % 36) as f64)));
    let steps = (0..600).map(|_| training.step(&[("image", &image)]).unwrap());
    let last = steps.last().unwrap();
    ["r", "d"].map(|name| last.get(name).unwrap().get(0).to_f64())
}

#[test]
fn each_objective_leaves_out_what_the_other_wants() {
    let reconstruction = trained(Objective::Reconstruction);
    let divergence = trained(Objective::Divergence);
    let both = trained(Objective::Both);
    assert!(divergence[1] < 0.01, "{divergence:?}");
    assert!(reconstruction[1] > 2.0 * both[1] && both[1] > 0.5, "{reconstruction:?}, {both:?}");
    assert!(reconstruction[0] < both[0] && both[0] < 0.7 * divergence[0], "{both:?}, {divergence:?}");
    let bound = |parts: [f64; 2]| parts[0] + parts[1];
    assert!(bound(both) < bound(reconstruction) && bound(both) < bound(divergence));
}
