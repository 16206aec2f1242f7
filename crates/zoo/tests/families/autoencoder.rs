use bespoke_nn::{Adam, F32, F64, Graph, Trainer, Value};
use bespoke_tensor::{Scalar, Tensor, Type};
use bespoke_zoo::autoencoder::{Autoencoder, active, contraction, masked, noisy, sparsity};

use crate::{floats, parameters_of, small, sound_and_learns, steps, uniform, waves};

const ALL: [&str; 7] = [
    "autoencoder",
    "autoencoder-linear",
    "autoencoder-overcomplete",
    "autoencoder-sparse",
    "autoencoder-contractive",
    "autoencoder-denoising",
    "autoencoder-stochastic",
];

#[test]
fn all_learn() {
    let image = waves([16, 36], 6);
    for name in ALL {
        // The cross-entropy of grey pixels does not fall to 0.
        let error = steps(name, &small(name), &[("image", &image)], 60)
            .iter()
            .map(|s| s["error"])
            .collect::<Vec<_>>();
        assert!(error[59] < 0.9 * error[0], "{name}: {error:?}");
        sound_and_learns(name, &small(name), &[("image", &image)], &["image"], (60, 0.98));
    }
}

#[test]
fn parameters_are_those_of_the_layers() {
    let dense = |sizes: &[usize]| sizes.windows(2).map(|s| s[0] * s[1] + s[1]).sum::<usize>();
    let expected: [&[usize]; 7] = [
        &[784, 256, 32, 256, 784],
        &[784, 32, 784],
        &[784, 1024, 784],
        &[784, 1024, 784],
        &[784, 256, 784],
        &[784, 512, 784],
        &[784, 256, 32, 256, 784],
    ];
    for (name, sizes) in ALL.iter().zip(expected) {
        assert_eq!(parameters_of(name), dense(sizes), "{name}");
    }
}

/// A graph's outputs for one input `x`.
fn run(build: impl FnOnce(&Graph), x: &Tensor) -> Vec<Vec<f64>> {
    let g = Graph::new();
    build(&g);
    let outputs = g.compile().unwrap().run(&[("x", x)]).unwrap();
    outputs.iter().map(|(_, v)| v.scalars().map(Scalar::to_f64).collect()).collect()
}

#[test]
fn contraction_of_sigmoids_is_the_closed_form() {
    // Σⱼ (hⱼ(1 − hⱼ))² Σᵢ wᵢⱼ² (Rifai et al. 2011).
    let x = Tensor::from_fn(Type::new(F64, [5, 7]), |i| Scalar::F64(uniform(i, 9)));
    let found = run(
        |g| {
            let x = g.input("x", F64, [5, 7]);
            let model = Autoencoder::shallow(4, |h| h.sigmoid());
            let code = model.encode(x);
            let weight = g.shared("encoder", || {
                g.shared("dense0", || g.parameter("weight", F64, [7, 4], bespoke_nn::Init::GlorotUniform))
            });
            let slope = code * (1.0 - code);
            g.output("derived", contraction(code, x));
            g.output("closed", (slope * slope).matmul((weight * weight).sum_axes(&[0])));
        },
        &x,
    );
    assert_eq!(found[0].len(), 5);
    for (derived, closed) in found[0].iter().zip(&found[1]) {
        assert!(*closed > 1e-3 && (derived - closed).abs() < 1e-12 * closed, "{derived}, expected {closed}");
    }
}

/// Of a code and its image.
type Penalty = for<'g> fn(Value<'g>, Value<'g>) -> Value<'g>;

/// What a penalty is after training with this weight of it.
fn penalty_after(penalty: Penalty, weight: f64) -> f64 {
    let g = Graph::new();
    let x = g.input("x", F32, [16, 36]);
    let model = Autoencoder::shallow(64, |h| h.sigmoid());
    let code = model.encode(x);
    let penalty = penalty(code, x).mean();
    let loss = model.decode(code, 36).mse(x) + penalty * weight;
    let mut training = Trainer::new(loss, Adam::new(0.01)).metric("penalty", penalty).compile().unwrap();
    let image = waves([16, 36], 6);
    let steps = (0..200).map(|_| training.step(&[("x", &image)]).unwrap());
    steps.last().unwrap().get("penalty").unwrap().get(0).to_f64()
}

#[test]
fn penalties_work() {
    let penalties: [Penalty; 2] = [|h, _| sparsity(h), contraction];
    for penalty in penalties {
        let (free, penalised) = (penalty_after(penalty, 0.0), penalty_after(penalty, 0.01));
        assert!(penalised < 0.7 * free, "{penalised}, without penalty {free}");
    }
    let g = Graph::new();
    let code = g.input("x", F32, [2, 3]);
    g.output("sparsity", sparsity(code));
    g.output("active", active(code));
    let x = Tensor::from_vec([2, 3], vec![1.0f32, -2.0, 0.0, 0.5, 0.0, 0.0]).unwrap();
    let outputs = g.compile().unwrap().run(&[("x", &x)]).unwrap();
    assert_eq!(outputs.get("sparsity").unwrap().to_vec::<f32>().unwrap(), [3.0, 0.5]);
    assert_eq!(outputs.get("active").unwrap().to_vec::<f32>().unwrap(), [2.0, 1.0]);
}

#[test]
fn noise_is_of_training_alone() {
    const ROWS: usize = 200;
    let x = floats([ROWS, 50], |_| 0.5);
    let disturbed = |train: bool| {
        run(
            |g| {
                let x = g.input("x", F32, [ROWS, 50]);
                let w = g.parameter("w", F32, [], bespoke_nn::Init::Constant(0.0));
                g.output("masked", masked(x, 0.3));
                g.output("noisy", noisy(x, 0.2));
                if train {
                    g.set_next(w, w + 1.0);
                }
            },
            &x,
        )
    };
    for value in disturbed(false).concat() {
        assert_eq!(value, 0.5);
    }
    let [masked, noisy] = &disturbed(true)[..] else { panic!("two outputs") };
    let count = (ROWS * 50) as f64;
    let black = masked.iter().filter(|&&p| p == 0.0).count() as f64 / count;
    assert!(masked.iter().all(|&p| p == 0.0 || p == 0.5) && (black - 0.3).abs() < 0.02, "{black}");
    let mean = noisy.iter().sum::<f64>() / count;
    let deviation = (noisy.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / count).sqrt();
    assert!((mean - 0.5).abs() < 0.01 && (deviation - 0.2).abs() < 0.01, "{mean} ± {deviation}");
}

/// Eigenvalues and -vectors of a symmetric matrix, greatest first, by Jacobi's rotations.
fn eigen(mut a: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
    let n = a.len();
    let mut v: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..50 {
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q].abs() < 1e-15 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let (c, s) = (1.0 / (t * t + 1.0).sqrt(), t / (t * t + 1.0).sqrt());
                for k in 0..n {
                    (a[k][p], a[k][q]) = (c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]);
                }
                for k in 0..n {
                    (a[p][k], a[q][k]) = (c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]);
                }
                for row in &mut v {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
            }
        }
    }
    let mut pairs: Vec<_> = (0..n).map(|i| (a[i][i], v.iter().map(|row| row[i]).collect())).collect();
    pairs.sort_by(|x: &(f64, Vec<f64>), y| y.0.total_cmp(&x.0));
    pairs
}

/// The greatest angle in degrees between the space that the columns of a span and that of the orthonormal b: its cosine is the
/// least singular value of qᵀb with q the orthonormalised a.
fn angle(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let mut q: Vec<Vec<f64>> = vec![];
    for column in a {
        let mut column = column.clone();
        for other in &q {
            let along = dot(&column, other);
            column.iter_mut().zip(other).for_each(|(x, o)| *x -= along * o);
        }
        let length = dot(&column, &column).sqrt();
        q.push(column.iter().map(|x| x / length).collect());
    }
    let m: Vec<Vec<f64>> = q.iter().map(|x| b.iter().map(|y| dot(x, y)).collect()).collect();
    let square = m.iter().map(|x| m.iter().map(|y| dot(x, y)).collect()).collect();
    eigen(square).last().unwrap().0.clamp(0.0, 1.0).sqrt().acos().to_degrees()
}

#[test]
fn a_linear_autoencoder_spans_the_subspace_of_pca() {
    const ROWS: usize = 256;
    const SIZE: usize = 12;
    const CODE: usize = 3;
    // Independent sources of falling strength along directions that are not orthogonal.
    let strength = |source: usize| 2.0 * 0.7f64.powi(source as i32);
    let rows: Vec<Vec<f64>> = (0..ROWS)
        .map(|r| {
            let sources: Vec<f64> =
                (0..SIZE).map(|s| strength(s) * (uniform(r * SIZE + s, 21) - 0.5)).collect();
            let mixed = |i: usize| -> f64 {
                sources.iter().enumerate().map(|(s, x)| x * (uniform(i * SIZE + s, 22) - 0.5)).sum()
            };
            (0..SIZE).map(|i| 0.4 + mixed(i)).collect()
        })
        .collect();
    let mean: Vec<f64> = (0..SIZE).map(|i| rows.iter().map(|r| r[i]).sum::<f64>() / ROWS as f64).collect();
    let covariance = |i: usize, j: usize| {
        rows.iter().map(|r| (r[i] - mean[i]) * (r[j] - mean[j])).sum::<f64>() / ROWS as f64
    };
    let components =
        eigen((0..SIZE).map(|i| (0..SIZE).map(|j| covariance(i, j)).collect()).collect::<Vec<Vec<f64>>>());
    assert!(components[CODE - 1].0 > 1.3 * components[CODE].0, "no gap: {components:?}");

    let g = Graph::new();
    let x = g.input("x", F32, [ROWS, SIZE]);
    let y = x.apply(&Autoencoder::shallow(CODE, |h| h));
    let mut training = Trainer::new(y.mse(x), Adam::new(0.01)).compile().unwrap();
    let data = floats([ROWS, SIZE], |i| rows[i / SIZE][i % SIZE]);
    let mut loss = f64::NAN;
    for step in 0..3000 {
        if step == 2000 {
            training.set_learning_rate(1e-3).unwrap();
        }
        loss = training.step(&[("x", &data)]).unwrap().get("loss").unwrap().get(0).to_f64();
    }
    // What is left is the variance along the other components.
    let left = components[CODE..].iter().map(|c| c.0).sum::<f64>() / SIZE as f64;
    assert!((loss - left).abs() < 0.01 * left, "a loss of {loss}, expected {left}");
    let weight = training.parameters().into_iter().find(|p| p.0 == "decoder/dense0/weight").unwrap().1;
    let spanned: Vec<Vec<f64>> =
        (0..CODE).map(|k| (0..SIZE).map(|i| weight.get(k * SIZE + i).to_f64()).collect()).collect();
    let best: Vec<Vec<f64>> = components[..CODE].iter().map(|c| c.1.clone()).collect();
    let off = angle(&spanned, &best);
    assert!(off < 1.0, "{off}° off");
    // Another subspace is far off.
    let worst: Vec<Vec<f64>> = components[CODE..2 * CODE].iter().map(|c| c.1.clone()).collect();
    assert!(angle(&spanned, &worst) > 80.0);
}
