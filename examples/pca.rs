//! A linear autoencoder learns the subspace of the first principal components (L31): trained on bundled digits, and compared with
//! the components by the greatest angle between the two subspaces, which has to be within 1°.
//!
//! `cargo run --release --example pca [folder]`

mod pictures;

use bespoke::{
    Error,
    nn::{F32, Graph, Sgd, Trainer},
    prelude::{Dataset, data},
    tensor::Tensor,
    zoo::autoencoder::Autoencoder,
};

const PIXELS: usize = 784;
/// Numbers of a code: behind the sixth, the variance along a component falls most.
const CODE: usize = 6;

fn main() -> Result<(), Error> {
    let digits = data::mnist_bundled().test;
    let images = digits.field("image").expect("a field of MNIST").reshape([digits.len(), PIXELS])?;
    let (images, covariance) = centred(&images)?;
    let components = components(covariance.view::<f32>()?);
    let variances: Vec<String> = components.iter().map(|c| format!("{:.2}", c.0)).collect();
    println!("variance along the first components: {}", variances.join(" "));
    let best: Vec<Vec<f64>> = components[..CODE].iter().map(|c| c.1.clone()).collect();

    let g = Graph::new();
    let x = g.input("image", F32, images.shape());
    let y = x.apply(&Autoencoder::shallow(CODE, |h| h));
    let loss = y.squared_error(x).sum_axes(&[1]).mean(); // ‖y − x‖²
    let mut training = Trainer::new(loss, Sgd::new(0.02).momentum(0.9)).compile()?;
    let (mut spanned, mut off) = (vec![], 90.0);
    for step in 1..=STEPS {
        let outputs = training.step(&[("image", &images)])?;
        if step % (STEPS / 10) == 0 {
            let weight = training.parameters().into_iter().find(|p| p.0 == "decoder/dense0/weight");
            let weight = weight.expect("the decoder's weight").1.to_vec::<f32>()?;
            spanned = orthonormal(weight.chunks(PIXELS).map(|w| w.iter().map(|&x| f64::from(x)).collect()));
            off = angle(&spanned, &best);
            let loss = outputs.get("loss").expect("the loss").get(0).to_f64();
            println!("step {step:>4}   loss {loss:.4}   {off:>6.2}° off");
        }
    }
    println!("a linear autoencoder of {CODE} numbers is {off:.2}° off the first {CODE} principal components");
    if off > 1.0 {
        return Err(Error::Data(format!("expected at most 1° between the two subspaces, got {off:.2}°")));
    }

    // Below each component, what of it lies in the autoencoder's subspace.
    let shadow = |component: &Vec<f64>| {
        let mut shadow = vec![0.0; PIXELS];
        for direction in &spanned {
            let along = dot(component, direction);
            shadow.iter_mut().zip(direction).for_each(|(s, d)| *s += along * d);
        }
        shadow
    };
    let drawn = best.iter().cloned().chain(best.iter().map(shadow)).flatten();
    let drawn: Vec<f32> = drawn.map(|x| (x * 8.0) as f32).collect();
    Ok(pictures::save(&pictures::grid(&drawn, 28, CODE, 4, pictures::signed), "pca.png")?)
}

/// Steps over all digits.
const STEPS: usize = 260;

/// Images less their mean, and their covariance `[pixels,pixels]`.
fn centred(images: &Tensor) -> Result<(Tensor, Tensor), Error> {
    let g = Graph::new();
    let x = g.input("x", F32, images.shape());
    let centred = x - x.mean_axes(&[0]);
    g.output("centred", centred);
    g.output("covariance", centred.t().matmul(centred) / images.shape()[0] as f64);
    let outputs = g.compile()?.run(&[("x", images)])?;
    let output = |name: &str| outputs.get(name).expect("named above").clone();
    Ok((output("centred"), output("covariance")))
}

/// The variances and directions of the first principal components, by subspace iteration.
fn components(covariance: &[f32]) -> Vec<(f64, Vec<f64>)> {
    let times = |v: &Vec<f64>| -> Vec<f64> {
        covariance.chunks(PIXELS).map(|row| row.iter().zip(v).map(|(c, x)| f64::from(*c) * x).sum()).collect()
    };
    // Six more make the first ones come fast.
    let start = (0..2 * CODE).map(|k| (0..PIXELS).map(|i| ((i * (k + 3)) as f64 * 0.37).sin()).collect());
    let mut basis = orthonormal(start);
    for _ in 0..150 {
        basis = orthonormal(basis.iter().map(times));
    }
    // Gram and Schmidt's method keeps the order, so that each has become one component.
    basis.into_iter().take(CODE + 2).map(|v| (dot(&v, &times(&v)), v)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Orthonormal vectors that span the same.
fn orthonormal(vectors: impl Iterator<Item = Vec<f64>>) -> Vec<Vec<f64>> {
    let mut basis: Vec<Vec<f64>> = vec![];
    for mut vector in vectors {
        for _ in 0..2 {
            for other in &basis {
                let along = dot(&vector, other);
                vector.iter_mut().zip(other).for_each(|(x, o)| *x -= along * o);
            }
        }
        let length = dot(&vector, &vector).sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
        basis.push(vector);
    }
    basis
}

/// The greatest angle, in degrees, between the subspaces of two orthonormal bases: the sine is the greatest length that a unit
/// vector of the second has outside of the first, found by power iteration.
fn angle(first: &[Vec<f64>], second: &[Vec<f64>]) -> f64 {
    let products: Vec<Vec<f64>> = second.iter().map(|s| first.iter().map(|f| dot(f, s)).collect()).collect();
    // 1 − P·Pᵀ over the second's coordinates.
    let outside = |v: &[f64]| -> Vec<f64> {
        let inside: Vec<f64> =
            (0..first.len()).map(|f| (0..v.len()).map(|s| products[s][f] * v[s]).sum()).collect();
        (0..v.len()).map(|s| v[s] - dot(&products[s], &inside)).collect()
    };
    let mut v: Vec<f64> = (0..second.len()).map(|i| 1.0 + 0.1 * i as f64).collect();
    let mut square = 0.0;
    for _ in 0..500 {
        let length = dot(&v, &v).sqrt();
        if length == 0.0 {
            return 0.0;
        }
        v.iter_mut().for_each(|x| *x /= length);
        let next = outside(&v);
        square = dot(&v, &next);
        v = next;
    }
    square.clamp(0.0, 1.0).sqrt().asin().to_degrees()
}
