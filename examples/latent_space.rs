//! What each part of a variational autoencoder's loss does to its codes (L36): the bundled digits as codes of two numbers, coloured by
//! class, after training on the reconstruction alone, the divergence alone, and both; then images of codes all over the plane; then
//! held-out digits with what each makes of them.
//!
//! `cargo run --release --example latent_space [folder]`

mod pictures;

use bespoke::{
    Error,
    nn::{Adam, Epochs, F32, Graph, Trainer},
    prelude::{Dataset, data},
    tensor::Tensor,
    zoo::vae::{Objective, Vae},
};
use image::RgbImage;

const PIXELS: usize = 784;
const MODEL: Vae = Vae { hidden: 128, latent: 2 };
const BATCH: usize = 128;
/// Pixels along a side of a picture of codes.
const SIDE: usize = 420;

/// Digits that are shown with their reconstructions.
const SHOWN: usize = 16;

type Parameters = Vec<(String, Tensor)>;

fn main() -> Result<(), Error> {
    let digits = data::mnist_bundled();
    let [images, labels] = ["image", "label"].map(|name| digits.test.field(name).expect("a field of MNIST"));
    let images = images.reshape([digits.test.len(), PIXELS])?;
    let objectives = [
        ("reconstruction alone", Objective::Reconstruction, 8),
        ("divergence alone", Objective::Divergence, 2),
        ("both", Objective::Both, 16),
    ];
    let (mut spaces, mut drawn) = (vec![], vec![]);
    let mut rows = images.view::<f32>()?[..SHOWN * PIXELS].to_vec();
    for (name, objective, epochs) in objectives {
        let parameters = train(objective, &digits, epochs)?;
        let (codes, [reconstruction, divergence]) = codes(&parameters, &images)?;
        let window = Window::around(&codes);
        println!(
            "{name:<21} held-out digits: reconstruction {reconstruction:>6.1} nats, divergence {divergence:>7.2} nats; codes up to {:.1} from the middle",
            window.reach
        );
        spaces.push(scatter(&codes, labels.view::<i32>()?, &window));
        rows.extend(reconstructions(&parameters, &images)?);
        if objective != Objective::Divergence {
            drawn.push(manifold(&parameters)?);
        }
    }
    pictures::save(&pictures::beside(&spaces), "latent_space.png")?;
    // Codes of the same plane for both: what is drawn from there.
    pictures::save(&pictures::beside(&drawn), "latent_samples.png")?;
    // Digits, then a row for each objective.
    Ok(pictures::save(&pictures::grid(&rows, 28, SHOWN, 2, pictures::grey), "latent_reconstructions.png")?)
}

/// The parameters after so many epochs.
fn train(objective: Objective, digits: &data::Split, epochs: usize) -> Result<Parameters, Error> {
    let g = Graph::new();
    let image = g.input("image", F32, [BATCH, PIXELS]);
    let code = MODEL.encode(image);
    let logits = MODEL.decode(code.sample(), PIXELS);
    if objective == Objective::Divergence {
        g.freeze("decoder/"); // it has no part in the loss
    }
    let mut training = Trainer::new(objective.of(code, logits, image).mean(), Adam::new(2e-3)).compile()?;
    training.fit(&digits.train, &digits.test, Epochs(epochs))?;
    Ok(training.parameters())
}

/// Codes drawn for images, `[rows,2]`, and the mean parts of the loss of their means.
fn codes(parameters: &Parameters, images: &Tensor) -> Result<(Vec<f32>, [f64; 2]), Error> {
    let g = Graph::new();
    let image = g.input("image", F32, images.shape());
    let code = MODEL.encode(image);
    let noise = g.random_normal(F32, code.mean.shape());
    g.output("code", code.mean + (code.log_variance * 0.5).exp() * noise);
    let logits = MODEL.decode(code.mean, PIXELS);
    for (name, objective) in [("r", Objective::Reconstruction), ("d", Objective::Divergence)] {
        g.output(name, objective.of(code, logits, image).mean());
    }
    let mut query = g.compile()?;
    for (name, value) in parameters {
        query.executable().set_state(name, value)?;
    }
    let outputs = query.run(&[("image", images)])?;
    let output = |name: &str| outputs.get(name).expect("named above");
    Ok((output("code").to_vec()?, ["r", "d"].map(|name| output(name).get(0).to_f64())))
}

/// What the first digits are after coding, by the means of their codes.
fn reconstructions(parameters: &Parameters, images: &Tensor) -> Result<Vec<f32>, Error> {
    let g = Graph::new();
    let image = g.input("image", F32, images.shape());
    g.output("image", MODEL.decode(MODEL.encode(image).mean, PIXELS).sigmoid());
    let mut query = g.compile()?;
    for (name, value) in parameters {
        query.executable().set_state(name, value)?;
    }
    let outputs = query.run(&[("image", images)])?;
    let all = outputs.get("image").expect("named above").view::<f32>()?;
    Ok(all[..SHOWN * PIXELS].to_vec())
}

/// The square of the plane that is drawn.
struct Window {
    middle: [f32; 2],
    reach: f32,
}

impl Window {
    /// Where 98 of 100 codes are along both axes, with the ring, and a little more.
    fn around(codes: &[f32]) -> Window {
        let ends = [0, 1].map(|axis| {
            let mut along: Vec<f32> = codes.iter().skip(axis).step_by(2).copied().collect();
            along.sort_by(f32::total_cmp);
            let rare = along.len() / 100;
            [along[rare].min(-2.0), along[along.len() - 1 - rare].max(2.0)]
        });
        let reach = ends.map(|[low, high]| (high - low) / 2.0).into_iter().fold(0.0, f32::max) * 1.1;
        Window { middle: ends.map(|[low, high]| (low + high) / 2.0), reach }
    }

    fn pixel(&self, code: [f32; 2]) -> [f64; 2] {
        let [x, y] =
            [0, 1].map(|i| f64::from((code[i] - self.middle[i]) / self.reach + 1.0) / 2.0 * SIDE as f64);
        [x, SIDE as f64 - y]
    }
}

/// Codes, each in its class's colour, and a grey ring of radius 2 around 0, which most of a standard normal distribution is in.
fn scatter(codes: &[f32], labels: &[i32], window: &Window) -> RgbImage {
    let mut picture = pictures::blank(SIDE, SIDE);
    for (code, &label) in codes.chunks(2).zip(labels) {
        let colour = pictures::COLOURS[label as usize];
        pictures::disc(&mut picture, window.pixel([code[0], code[1]]), 2.5, colour);
    }
    for i in 0..720 {
        let angle = (i as f32 / 2.0).to_radians();
        let at = window.pixel([2.0 * angle.cos(), 2.0 * angle.sin()]);
        pictures::disc(&mut picture, at, 1.0, [90; 3]);
    }
    picture
}

/// Images of codes on a square of ±2, where most of a standard normal distribution is.
fn manifold(parameters: &Parameters) -> Result<RgbImage, Error> {
    const STEPS: usize = 15;
    let g = Graph::new();
    let code = g.input("code", F32, [STEPS * STEPS, 2]);
    g.output("image", MODEL.decode(code, PIXELS).sigmoid());
    let mut query = g.compile()?;
    for (name, value) in parameters.iter().filter(|p| p.0.starts_with("decoder/")) {
        query.executable().set_state(name, value)?;
    }
    let at = |i: usize| i as f32 / (STEPS - 1) as f32 * 4.0 - 2.0;
    let codes = (0..STEPS * STEPS).flat_map(|i| [at(i % STEPS), at(STEPS - 1 - i / STEPS)]).collect();
    let outputs = query.run(&[("code", &Tensor::from_vec([STEPS * STEPS, 2], codes)?)])?;
    let images = outputs.get("image").expect("named above").view::<f32>()?;
    Ok(pictures::grid(images, 28, STEPS, 1, pictures::grey))
}
