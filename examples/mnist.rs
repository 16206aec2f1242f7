//! Trains a network on the bundled real digits, saves it, and classifies again with what was saved.
//!
//! `cargo run --release --example mnist`

use bespoke::{Error, prelude::*};

/// The network's logits for images of 784 pixels: 256 hidden units, 10 classes.
fn network(image: Value<'_>) -> Value<'_> {
    image.dense_with(256, Init::HeNormal, true).relu().dense(10)
}

fn main() -> Result<(), Error> {
    let digits = data::mnist_bundled();

    let g = Graph::new();
    let image = g.input("image", F32, [128, 784]);
    let label = g.input("label", I32, [128]);
    let logits = network(image);
    let loss = logits.cross_entropy(label).mean();
    let mut training = Trainer::new(loss, Sgd::new(0.1).momentum(0.9))
        .metric("accuracy", logits.accuracy(label))
        .compile()?; // forward, backward and update: one native program
    println!("{}\n", training.summary());

    let history = training.fit(&digits.train, &digits.test, Epochs(10))?;
    let path = std::env::temp_dir().join("bespoke-digits.safetensors");
    training.save(&path)?;
    println!("saved {}", path.display());
    if history.interrupted {
        std::process::exit(130);
    }
    let measured = training.evaluate(&digits.test)?;

    // A fresh program that only asks takes the saved parameters and gives the same answers.
    let count = digits.test.len();
    let g = Graph::new();
    let image = g.input("image", F32, [count, 784]);
    g.output("class", network(image).argmax(-1));
    let mut query = g.compile()?;
    query.load(&path)?;
    let [images, labels] = ["image", "label"].map(|name| digits.test.field(name).expect("a field of MNIST"));
    let outputs = query.run(&[("image", &images.reshape([count, 784])?)])?;
    let classes = outputs.get("class").expect("named above").view::<i32>()?;
    let labels = labels.view::<i32>()?;
    let right = classes.iter().zip(labels).filter(|(class, label)| class == label).count();
    let accuracy = right as f64 / count as f64;
    let before = measured.metric("accuracy").unwrap_or_default();
    assert!((accuracy - before).abs() < 1e-9, "{accuracy} after loading, {before} before saving");

    show(images.view::<f32>()?, &classes[..5]);
    println!("held-out accuracy: {:.2} %", 100.0 * accuracy);
    Ok(())
}

/// Prints the first images, and below each what it was taken for.
fn show(pixels: &[f32], classes: &[i32]) {
    for row in (0..28).step_by(2) {
        let line = |digit: usize| &pixels[digit * 784 + row * 28..][..28];
        let shade = |p: &f32| [' ', '.', 'o', '#'][(p * 3.99) as usize];
        let text = (0..classes.len()).map(|digit| line(digit).iter().map(shade).collect::<String>());
        println!("{}", text.collect::<Vec<_>>().join(" ").trim_end());
    }
    let names = classes.iter().map(|class| format!("{:^29}", format!("taken for {class}")));
    println!("{}\n", names.collect::<String>().trim_end());
}
