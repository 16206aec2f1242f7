//! The delta rule (L12) from a linear unit: its training step as formulas, then a few steps of it.
//!
//! `cargo run --release --example linear_unit`

use bespoke::{Error, compiler::Artifact, inspect, optimize, prelude::*};

fn main() -> Result<(), Error> {
    let g = Graph::new();
    let x = g.input("x", F32, [3]);
    let t = g.input("t", F32, []);
    let w = g.parameter("w", F32, [3], Init::Constant(0.0));
    let y = x.dot(w);
    let loss = y.squared_error(t) * 0.5;
    let trainer = Trainer::new(loss, Sgd::new(0.1)); // L = ½(y − t)², η = 0.1
    let (step, _) = trainer.graphs()?;

    println!("the delta rule: w ← w − η·δ·x with δ = y − t");
    println!("the training step, forward, backward and update:");
    let simple = optimize::Config { egraph: false, ..Default::default() };
    let config = Config { optimize: Some(simple), ..Default::default() };
    let mut program = compile(&step, &config, &mut |event| {
        if let Artifact::Optimized(graph, _) = event.artifact {
            inspect::formulas(graph).iter().for_each(|formula| println!("  {formula}"));
        }
    })?;

    for (name, value) in trainer.start_values()? {
        program.set_state(&name, &value)?;
    }
    let example = Tensor::from_vec([3], vec![1.0f32, 2.0, -1.0])?;
    let target = Tensor::scalar(3.0f32);
    println!("five steps towards t = 3 at x = (1, 2, −1):");
    for _ in 0..5 {
        let outputs = program.run(&[("x", &example), ("t", &target)])?;
        let loss = outputs.get("loss").map(|l| l.get(0).to_f64());
        let w = program.state("w").map(|w| w.to_vec::<f32>()).transpose()?;
        println!("  loss {:.4}   w {:?}", loss.unwrap_or_default(), w.unwrap_or_default());
    }
    Ok(())
}
