//! The workloads of `bespoke bench all`, which the scripts of `benches/peers` run in other systems too.

use bespoke_graph::philox;
use bespoke_nn::{Adam, F32, Graph, I32, Init, Sgd, Update, Value};
use bespoke_tensor::{Scalar, Tensor, Type};
use bespoke_zoo::{Options, Parts, autoencoder::Autoencoder, googlenet::GoogLeNet};

/// Something to time: a training step on one batch, or a query.
pub struct Workload {
    /// The name that all systems report it under.
    pub name: String,
    /// What it is.
    pub about: &'static str,
    /// Builds the loss of a training step, or what a query gives.
    pub build: Box<Build>,
    /// How a training step changes the parameters; `None` for a query, whose parameters are constant.
    pub update: Option<fn() -> Update>,
    /// Integer inputs are below: the number of classes or tokens.
    pub integers: usize,
    /// Time it for so many seconds.
    pub seconds: f64,
}

/// Builds a value in a graph.
type Build = dyn for<'g> Fn(&'g Graph) -> Value<'g>;

/// So small that the one batch is never learned: what is learned has denormal gradients, which take processors several times
/// as long.
const RATE: f64 = 1e-9;

/// Exponents of the numbers of elements of the chains.
const CHAINS: [u32; 3] = [10, 16, 24];

/// Rows, contracted and columns of the products.
const DOTS: [[usize; 3]; 10] = [
    [32; 3],
    [64; 3],
    [128; 3],
    [256; 3],
    [512; 3],
    [1024; 3],
    [2048; 3],
    [128, 784, 512],
    [32, 256, 1024],
    [1, 1024, 1024],
];

/// All workloads, in order. W12 and W13 are no workloads but what is measured of training steps beside their time: from the
/// definition to the end of the first step, and the peak of memory.
pub fn all() -> Vec<Workload> {
    let mut all = vec![];
    for (name, batch) in [("W1-b1", 1), ("W1-b16", 16), ("W1-b128", 128)] {
        let about = "MLP 784-512-256-10, ReLU, cross-entropy, momentum";
        all.push(step(name, about, move |g| loss(g, "mlp", |o| o.batch = batch), momentum));
    }
    all.extend([
        step(
            "W2",
            "LeNet-5 on 28x28, max pooling, ReLU, momentum, batch 64",
            |g| loss(g, "lenet5", |o| o.batch = 64),
            momentum,
        ),
        step(
            "W3",
            "ResNet-18 for 32x32, momentum and weight decay, batch 16",
            |g| loss(g, "resnet18", |o| (o.batch, o.size, o.classes) = (16, 32, 10)),
            decay,
        ),
        step(
            "W4",
            "LSTM 128-256, 64 steps, last state to 10 classes, Adam, batch 32",
            |g| loss(g, "lstm", |_| ()),
            adam,
        ),
        step(
            "W5",
            "VAE 784-400-20-400-784, tanh, cross-entropy + KL, Adam, batch 128",
            |g| loss(g, "vae", |_| ()),
            adam,
        ),
        step(
            "W6",
            "10 tanh layers of 500, squared error, SGD, batch 128",
            |g| loss(g, "mlp-deep", |_| ()),
            sgd,
        ),
        step(
            "W7-autodiff",
            "contractive autoencoder 784-256-784 by its Jacobian, SGD, batch 128",
            |g| loss(g, "autoencoder-contractive", |_| ()),
            sgd,
        ),
        step("W7-closed", "the same by the closed form of sigmoid's Jacobian", contractive, sgd),
        Workload {
            integers: 256,
            ..step(
                "W8",
                "4 pre-norm transformer blocks, d 256, 4 heads, 128 tokens of 256, Adam, batch 8",
                |g| loss(g, "gpt", |_| ()),
                adam,
            )
        },
        query("W9-lenet", "LeNet-5, one image of 28x28, constant weights", |g| {
            zoo(g, "lenet5", |o| o.batch = 1).output
        }),
        query("W9-resnet50", "ResNet-50, one image of 224x224, constant weights", |g| {
            zoo(g, "resnet50", |o| o.batch = 1).output
        }),
    ]);
    for exponent in CHAINS {
        let (name, about) = (format!("W10-2^{exponent}"), "tanh(1.5 x + 0.25) sigmoid(0.75 x)");
        all.push(Workload { seconds: 2.0, ..query(&name, about, move |g| chain(g, 1 << exponent)) });
    }
    for [m, k, n] in DOTS {
        let (name, about) = (format!("W11-{m}x{k}x{n}"), "matrix product M x K x N");
        all.push(Workload { seconds: 1.0, ..query(&name, about, move |g| dot(g, [m, k, n])) });
    }
    all.extend([
        step(
            "W14",
            "wide ResNet-16-4 on 32x32, momentum and weight decay, batch 16",
            |g| loss(g, "wide-resnet-16-4", |o| o.batch = 16),
            decay,
        ),
        step(
            "W15",
            "GoogLeNet on 96x96 without its two heads, momentum and weight decay, batch 16",
            googlenet,
            decay,
        ),
        step(
            "W16",
            "3-D convolutional autoencoder of 16x16x16, Adam, batch 16",
            |g| loss(g, "conv-autoencoder-3d", |_| ()),
            adam,
        ),
        step(
            "W17",
            "GRU 128-256, 64 steps, last state to 10 classes, Adam, batch 32",
            |g| loss(g, "gru", |_| ()),
            adam,
        ),
    ]);
    all
}

/// The values of a workload's input of a name: below its number of integers, within [0, 1) for what is reconstructed by its
/// probabilities, else standard normal.
pub fn input(workload: &Workload, name: &str, ty: Type) -> Tensor {
    let probability = ["W5", "W7-autodiff", "W7-closed", "W16"].contains(&workload.name.as_str());
    match ty.dtype {
        F32 if !probability => Init::Normal(1.0).tensor(ty, name, 0),
        dtype => Tensor::from_fn(ty, |i| {
            let word = philox::block([i as u32, 0, 0, 0], [0, 0])[0];
            match dtype {
                F32 => Scalar::F64(f64::from(word) / 2f64.powi(32)),
                _ => Scalar::I64(i64::from(word) % workload.integers as i64),
            }
        }),
    }
}

fn step(
    name: &str,
    about: &'static str,
    build: impl for<'g> Fn(&'g Graph) -> Value<'g> + 'static,
    update: fn() -> Update,
) -> Workload {
    Workload { update: Some(update), ..query(name, about, build) }
}

fn query(
    name: &str,
    about: &'static str,
    build: impl for<'g> Fn(&'g Graph) -> Value<'g> + 'static,
) -> Workload {
    Workload {
        name: name.to_owned(),
        about,
        build: Box::new(build),
        update: None,
        integers: 10,
        seconds: 3.0,
    }
}

fn sgd() -> Update {
    Sgd::new(RATE).into()
}

fn momentum() -> Update {
    Sgd::new(RATE).momentum(0.9).into()
}

fn decay() -> Update {
    Sgd::new(RATE).momentum(0.9).weight_decay(5e-4).into()
}

fn adam() -> Update {
    Adam::new(RATE).into()
}

/// A model of the zoo, with some of its sizes changed.
fn zoo<'g>(g: &'g Graph, name: &str, change: impl Fn(&mut Options)) -> Parts<'g> {
    let architecture = bespoke_zoo::find(name).expect("it is one of the zoo's");
    let mut options = architecture.defaults;
    change(&mut options);
    architecture.build(g, &options)
}

fn loss<'g>(g: &'g Graph, name: &str, change: impl Fn(&mut Options)) -> Value<'g> {
    zoo(g, name, change).loss
}

/// The contractive autoencoder of the zoo, parameters and all, whose penalty Σ‖∇ₓhᵢ‖² is written as
/// Σᵢ (hᵢ(1 − hᵢ))² Σⱼ wⱼᵢ².
fn contractive(g: &Graph) -> Value<'_> {
    let x = g.input("image", F32, [128, 784]);
    let (w, b) = g.scope("encoder/dense0", || {
        let weight = g.parameter("weight", F32, [784, 256], Init::GlorotUniform);
        (weight, g.parameter("bias", F32, [256], Init::Constant(0.0)))
    });
    let h = (x.matmul(w) + b).sigmoid();
    let output = Autoencoder::shallow(256, |h| h).decode(h, 784).sigmoid();
    let slope = h * (1.0 - h);
    let penalty = (slope * slope * (w * w).sum_axes(&[0])).sum_axes(&[1]);
    (output.squared_error(x).mean_axes(&[1]) + penalty * 1e-4).mean()
}

fn googlenet(g: &Graph) -> Value<'_> {
    let x = g.input("image", F32, [16, 3, 96, 96]);
    let label = g.input("label", I32, [16]);
    x.apply(&GoogLeNet::new(1.0, 10)).cross_entropy(label).mean()
}

fn chain(g: &Graph, elements: usize) -> Value<'_> {
    let x = g.input("x", F32, [elements]);
    (x * 1.5 + 0.25).tanh() * (x * 0.75).sigmoid()
}

fn dot(g: &Graph, [m, k, n]: [usize; 3]) -> Value<'_> {
    g.input("a", F32, [m, k]).matmul(g.input("b", F32, [k, n]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Workload {
        all().into_iter().find(|w| w.name == name).expect("a workload")
    }

    /// What `benches/peers/torch_models.py` counts of the same.
    #[test]
    fn models_are_those_of_the_peers() {
        let counts = [
            ("W1-b1", 535_818),
            ("W1-b16", 535_818),
            ("W1-b128", 535_818),
            ("W2", 61_706),
            ("W3", 11_173_962),
            ("W4", 397_834),
            ("W5", 652_824),
            ("W6", 2_505_000),
            ("W7-autodiff", 402_448),
            ("W7-closed", 402_448),
            ("W8", 3_323_648),
            ("W14", 2_748_890),
            ("W15", 5_610_154),
            ("W16", 7_817),
            ("W17", 299_018),
        ];
        for (name, expected) in counts {
            let g = Graph::new();
            (named(name).build)(&g);
            g.finish().expect("it is well formed");
            let trained = g.parameters().into_iter().filter(|p| p.trainable);
            assert_eq!(trained.map(|p| p.ty.elements()).sum::<usize>(), expected, "{name}");
        }
        let steps = all().into_iter().filter(|w| w.update.is_some());
        assert_eq!(steps.count(), counts.len());
    }

    #[test]
    fn the_closed_form_is_the_contractive_loss() {
        let [by_jacobian, closed] = ["W7-autodiff", "W7-closed"].map(|name| {
            let (workload, g) = (named(name), Graph::new());
            g.output("loss", (workload.build)(&g));
            let mut program = g.compile().expect("it compiles");
            let image = input(&workload, "image", Type::new(F32, [128, 784]));
            let outputs = program.run(&[("image", &image)]).expect("it runs");
            outputs.get("loss").expect("an output").view::<f32>().expect("f32")[0]
        });
        assert!((by_jacobian - closed).abs() < 1e-5 * closed, "{by_jacobian} and {closed}");
    }
}
