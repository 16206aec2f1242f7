//! Optimisers take the steps that PyTorch and the papers take (`optimizers.py` wrote `optimizers.txt`).

use bespoke_nn::{Adadelta, Adagrad, Adam, AdamW, F64, Graph, Group, Init, Lamb, Lion, RmsProp, Sgd, Update};
use bespoke_tensor::{Scalar, Tensor};

/// The learning rate of most cases, exact in f32.
const RATE: f64 = 1.0 / 64.0;

fn update(name: &str) -> Update {
    match name {
        "sgd" => Sgd::new(RATE).into(),
        "sgd-tenth" => Sgd::new(0.1).into(),
        "sgd-decay" => Sgd::new(RATE).weight_decay(0.1).into(),
        "sgd-momentum" => Sgd::new(RATE).momentum(0.9).into(),
        "sgd-momentum-decay" => Sgd::new(RATE).momentum(0.9).weight_decay(0.1).into(),
        "sgd-nesterov" => Sgd::new(RATE).momentum(0.9).nesterov().into(),
        "adagrad" => Adagrad::new(RATE).into(),
        "adagrad-options" => {
            Adagrad::new(RATE).rate_decay(0.01).start(0.5).epsilon(1e-3).weight_decay(0.1).into()
        }
        "rmsprop" => RmsProp::new(RATE).into(),
        "rmsprop-centered" => RmsProp::new(RATE).centered().into(),
        "rmsprop-momentum" => RmsProp::new(RATE).momentum(0.9).into(),
        "rmsprop-options" => {
            let smooth = RmsProp::new(RATE).smoothing(0.9).epsilon(1e-3);
            smooth.momentum(0.5).centered().weight_decay(0.1).into()
        }
        "adadelta" => Adadelta::new(1.0).into(),
        "adadelta-options" => Adadelta::new(RATE).rho(0.8).epsilon(1e-3).weight_decay(0.1).into(),
        "adam" => Adam::new(RATE).into(),
        "adam-tenth" => Adam::new(0.1).into(),
        "adam-options" => Adam::new(RATE).betas(0.8, 0.99).epsilon(1e-3).weight_decay(0.1).into(),
        "adam-amsgrad" => Adam::new(0.25).betas(0.9, 0.9).amsgrad().into(),
        "adamw" => AdamW::new(RATE).into(),
        "adamw-amsgrad" => AdamW::new(0.25).betas(0.9, 0.9).weight_decay(0.1).amsgrad().into(),
        "lion" => Lion::new(RATE / 8.0).into(),
        "lion-options" => Lion::new(RATE / 8.0).betas(0.8, 0.9).weight_decay(0.5).into(),
        "lamb" => Lamb::new(RATE).into(),
        "lamb-options" => Lamb::new(RATE).betas(0.8, 0.99).epsilon(1e-3).weight_decay(0.1).into(),
        "groups" => {
            let update = Update::new(AdamW::new(RATE).weight_decay(0.0));
            update.group("b", Group::new().rate(0.25).decay(0.5))
        }
        "clip-norm" => Update::new(Sgd::new(RATE).momentum(0.9)).clip_norm(0.5),
        "clip-value" => Update::new(Sgd::new(RATE).momentum(0.9)).clip_value(0.125),
        other => panic!("the table has a case `{other}` that this test does not know"),
    }
}

fn wave(shape: &[usize], phase: f64) -> Tensor {
    let ty = bespoke_tensor::Type::new(F64, bespoke_tensor::Shape::new(shape).unwrap());
    Tensor::from_fn(ty, |i| Scalar::F64(((i + 1) as f64 * 1.7 + phase).sin()))
}

#[test]
fn steps_are_pytorchs_and_the_papers() {
    let mut lines = include_str!("optimizers.txt").lines().peekable();
    let mut cases = 0;
    while let Some(first) = lines.peek() {
        let name = first.split(' ').next().unwrap().to_owned();
        let g = Graph::new();
        let (x, t) = (g.tensor(&wave(&[8, 4], 0.0)), g.tensor(&wave(&[8], 1.0)) * 2.0);
        let a = g.parameter("a", F64, [4, 3], Init::Constant(0.0));
        let b = g.parameter("b", F64, [3], Init::Constant(0.0));
        let error = x.matmul(a).tanh().matmul(b) - t;
        g.minimize((error * error).mean(), update(&name));
        let mut step = g.compile().unwrap();
        let program = step.executable();
        program.set_state("a", &wave(&[4, 3], 2.0)).unwrap();
        program.set_state("b", &wave(&[3], 3.0)).unwrap();
        // A rate of 0.1 is another number in f32, which learning rates are.
        let tolerance = if name.ends_with("-tenth") { 1e-6 } else { 1e-9 };
        let mut steps = 0;
        while let Some(line) = lines.next_if(|l| l.split(' ').next() == Some(&name)) {
            let mut numbers = line.split(' ').skip(1);
            let end: usize = numbers.next().unwrap().parse().unwrap();
            while steps < end {
                program.run(&[]).unwrap();
                steps += 1;
            }
            let got = ["a", "b"].map(|n| program.state(n).unwrap().to_vec::<f64>().unwrap()).concat();
            let expected: Vec<f64> = numbers.map(|v| v.parse().unwrap()).collect();
            assert_eq!(got.len(), expected.len());
            for (a, b) in got.iter().zip(&expected) {
                assert!((a - b).abs() < tolerance * (1.0 + b.abs()), "{line}: got {got:?}");
            }
        }
        assert_eq!(steps, 100, "{name}");
        cases += 1;
    }
    assert_eq!(cases, 27);
}
