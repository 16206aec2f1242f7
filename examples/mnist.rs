//! Trains a network on the bundled real digits, saves it, and classifies again with what was saved.
//!
//! `cargo run --release --example mnist`

use bespoke::{Error, prelude::*};

/// The network: 784 pixels, 256 hidden units, 10 classes.
fn network(g: &Graph, batch: usize) -> (Value<'_>, Value<'_>) {
    let image = g.input("image", F32, [batch, 784]);
    let label = g.input("label", I32, [batch]);
    let logits = image.dense_with(256, Init::HeNormal, true).relu().dense(10);
    (logits, label)
}

fn trainer(g: &Graph) -> Result<Training, Error> {
    let (logits, label) = network(g, 128);
    let loss = logits.cross_entropy(label).mean();
    let trainer = Trainer::new(loss, Sgd::new(0.1).momentum(0.9)).metric("accuracy", logits.accuracy(label));
    Ok(trainer.compile()?) // forward, backward and update: one native program
}

fn main() -> Result<(), Error> {
    let digits = data::mnist_bundled();
    let g = Graph::new();
    let mut training = trainer(&g)?;
    println!("{}\n", training.summary());

    let history = training.fit(&digits.train, &digits.test, Epochs(10))?;
    let path = std::env::temp_dir().join("bespoke-digits.safetensors");
    training.save(&path)?;
    println!("saved {}", path.display());
    if history.interrupted {
        std::process::exit(130);
    }
    let accuracy = training.evaluate(&digits.test)?.metric("accuracy");

    // A fresh network with the saved parameters gives the same.
    let fresh = Graph::with_seed(1);
    let mut reloaded = trainer(&fresh)?;
    reloaded.load(&path)?;
    let again = reloaded.evaluate(&digits.test)?.metric("accuracy");
    assert_eq!(accuracy, again, "the reloaded network classifies differently");

    show(&digits.test, &reloaded.parameters())?;
    println!("held-out accuracy: {:.2} %", 100.0 * accuracy.unwrap_or(0.0));
    Ok(())
}

/// Prints a few held-out digits and what the query program takes them for.
fn show(digits: &data::Dataset, parameters: &[(String, Tensor)]) -> Result<(), Error> {
    const COUNT: usize = 4;
    let g = Graph::new();
    let (logits, _) = network(&g, COUNT);
    g.output("class", logits.argmax(-1));
    let mut query = compile(&g.finish()?, &Config::default(), &mut |_| ())?;
    for (name, value) in parameters {
        query.set_state(name, value)?;
    }
    let pixels = digits.inputs.view::<f32>()?;
    let images = Tensor::from_slice([COUNT, 784], &pixels[..COUNT * 784])?;
    let unused = Tensor::zeros(Type::new(I32, [COUNT]));
    let outputs = query.run(&[("image", &images), ("label", &unused)])?;
    for row in (0..28).step_by(2) {
        let line = |digit: usize| (0..28).map(move |x| pixels[digit * 784 + row * 28 + x]);
        let text = (0..COUNT)
            .map(|d| line(d).map(|p| [' ', '.', 'o', '#'][(p * 3.99) as usize]).collect::<String>());
        println!("{}", text.collect::<Vec<_>>().join("  ").trim_end());
    }
    println!(
        "taken for {:?}",
        outputs.get("class").map(|c| c.to_vec::<i32>()).transpose()?.unwrap_or_default()
    );
    Ok(())
}
