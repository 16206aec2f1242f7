//! The delta rule (L12) from a linear unit: its training step as formulas, then a few steps of it.
//!
//! `cargo run --example linear_unit`

use bespoke::{Error, inspect, optimize, prelude::*};

fn main() -> Result<(), Error> {
    let g = Graph::new();
    let x = g.input("x", F32, [3]);
    let t = g.input("t", F32, []);
    let w = g.parameter("w", F32, [3], Init::Constant(0.0));
    let y = (w * x).sum();
    let loss = y.squared_error(t) * 0.5;
    let trainer = Trainer::new(loss, Sgd::new(0.1));
    let (step, _) = trainer.graphs()?;

    let simple = optimize::Config { egraph: false, ..Default::default() };
    let (rewritten, _) = optimize::optimize(&step, &simple)?;
    for formula in inspect::formulas(&rewritten) {
        println!("{formula}");
    }

    let mut program = compile(&step, &Config::default(), &mut |_| ())?;
    for (name, value) in trainer.start_values()? {
        program.set_state(&name, &value)?;
    }
    let example = Tensor::from_vec([3], vec![1.0f32, 2.0, -1.0])?;
    for _ in 0..5 {
        let outputs = program.run(&[("x", &example), ("t", &Tensor::scalar(3.0f32))])?;
        println!("loss {:?}, w {:?}", outputs.get("loss"), program.state("w"));
    }
    Ok(())
}
