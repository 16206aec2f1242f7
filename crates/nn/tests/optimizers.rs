//! Optimisers take the steps that PyTorch takes (`optimizers.py` wrote `optimizers.txt`).

use bespoke_compiler::{Config, compile};
use bespoke_nn::{Adam, AdamW, F64, Graph, Init, Optimizer, Sgd, Trainer};
use bespoke_tensor::Tensor;

fn optimizer(name: &str) -> Box<dyn Optimizer> {
    match name {
        "sgd" => Box::new(Sgd::new(0.1)),
        "sgd-decay" => Box::new(Sgd::new(0.1).weight_decay(0.1)),
        "sgd-momentum" => Box::new(Sgd::new(0.1).momentum(0.9)),
        "sgd-momentum-decay" => Box::new(Sgd::new(0.1).momentum(0.9).weight_decay(0.1)),
        "sgd-nesterov" => Box::new(Sgd::new(0.1).momentum(0.9).nesterov()),
        "adam" => Box::new(Adam::new(0.1)),
        "adam-decay" => Box::new(Adam::new(0.1).weight_decay(0.1)),
        "adamw" => Box::new(AdamW::new(0.1)),
        other => panic!("the table has an optimiser `{other}` that this test does not know"),
    }
}

#[test]
fn steps_are_pytorchs() {
    let mut lines = include_str!("optimizers.txt").lines().peekable();
    let mut cases = 0;
    while let Some(first) = lines.peek() {
        let name = first.split(' ').next().unwrap().to_owned();
        let g = Graph::new();
        let w = g.parameter("w", F64, [3], Init::Constant(0.0));
        let x = g.tensor(&Tensor::from_vec([3], vec![1.0, 2.0, -0.5]).unwrap());
        let e = (w * x).sum() - 1.5;
        let trainer = Trainer::new(e * e * 0.5, optimizer(&name));
        let (step, _) = trainer.graphs().unwrap();
        let mut program = compile(&step, &Config::default(), &mut |_| ()).unwrap();
        for (state, value) in trainer.start_values().unwrap() {
            program.set_state(&state, &value).unwrap();
        }
        program.set_state("w", &Tensor::from_vec([3], vec![0.5, -0.25, 1.0]).unwrap()).unwrap();
        while let Some(line) = lines.next_if(|l| l.split(' ').next() == Some(&name)) {
            program.run(&[]).unwrap();
            let got = program.state("w").unwrap().to_vec::<f64>().unwrap();
            let expected: Vec<f64> = line.split(' ').skip(2).map(|v| v.parse().unwrap()).collect();
            for (a, b) in got.iter().zip(&expected) {
                // The learning rate is an f32.
                assert!((a - b).abs() < 1e-7 * (1.0 + b.abs()), "{line}: got {got:?}");
            }
        }
        cases += 1;
    }
    assert_eq!(cases, 8);
}
