//! W1, W2, W3, W9 (LeNet-5), W10 and W11 in burn, on its CPU backend flex.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Distribution, Int, Tensor};
use peer_bench::{measure, report_us};

#[derive(Module, Debug)]
struct Mlp {
    layers: [Linear; 3],
}

impl Mlp {
    fn new(d: &Device) -> Self {
        Self { layers: [(784, 512), (512, 256), (256, 10)].map(|(i, o)| LinearConfig::new(i, o).init(d)) }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [a, b, c] = &self.layers;
        c.forward(relu(b.forward(relu(a.forward(x)))))
    }
}

#[derive(Module, Debug)]
struct LeNet {
    c1: Conv2d,
    c2: Conv2d,
    pool: MaxPool2d,
    f: [Linear; 3],
}

impl LeNet {
    fn new(d: &Device) -> Self {
        let conv =
            |i, o, p| Conv2dConfig::new([i, o], [5, 5]).with_padding(PaddingConfig2d::Explicit(p, p, p, p)).init(d);
        Self {
            c1: conv(1, 6, 2),
            c2: conv(6, 16, 0),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            f: [(400, 120), (120, 84), (84, 10)].map(|(i, o)| LinearConfig::new(i, o).init(d)),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = relu(self.pool.forward(self.c1.forward(x)));
        let x = relu(self.pool.forward(self.c2.forward(x)));
        let [a, b, c] = &self.f;
        c.forward(relu(b.forward(relu(a.forward(x.flatten(1, 3))))))
    }
}

#[derive(Module, Debug)]
struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvNorm {
    fn new(i: usize, o: usize, k: usize, stride: usize, d: &Device) -> Self {
        let p = k / 2;
        let conv = Conv2dConfig::new([i, o], [k, k]).with_stride([stride, stride]).with_bias(false);
        let conv = conv.with_padding(PaddingConfig2d::Explicit(p, p, p, p)).init(d);
        Self { conv, norm: BatchNormConfig::new(o).init(d) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.conv.forward(x))
    }
}

#[derive(Module, Debug)]
struct Block {
    a: ConvNorm,
    b: ConvNorm,
    skip: Option<ConvNorm>,
}

#[derive(Module, Debug)]
struct ResNet18 {
    stem: ConvNorm,
    blocks: Vec<Block>,
    head: Linear,
}

impl ResNet18 {
    fn new(d: &Device) -> Self {
        let shapes = [
            (64, 64, 1),
            (64, 64, 1),
            (64, 128, 2),
            (128, 128, 1),
            (128, 256, 2),
            (256, 256, 1),
            (256, 512, 2),
            (512, 512, 1),
        ];
        let block = |(i, o, s)| Block {
            a: ConvNorm::new(i, o, 3, s, d),
            b: ConvNorm::new(o, o, 3, 1, d),
            skip: (s != 1).then(|| ConvNorm::new(i, o, 1, s, d)),
        };
        Self {
            stem: ConvNorm::new(3, 64, 3, 1, d),
            blocks: shapes.map(block).into(),
            head: LinearConfig::new(512, 10).init(d),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let mut x = relu(self.stem.forward(x));
        for block in &self.blocks {
            let skip = block.skip.as_ref().map_or_else(|| x.clone(), |s| s.forward(x.clone()));
            x = relu(block.b.forward(relu(block.a.forward(x))) + skip);
        }
        let mean: Tensor<3> = x.flatten(2, 3);
        self.head.forward(mean.mean_dim(2).flatten(1, 2))
    }
}

fn train<M: Module, const D: usize>(
    name: &str,
    d: &Device,
    decay: f32,
    model: M,
    x: Tensor<D>,
    forward: impl Fn(&M, Tensor<D>) -> Tensor<2>,
) {
    let y = Tensor::<1, Int>::zeros([x.dims()[0]], d);
    let loss = CrossEntropyLossConfig::new().init(d);
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
    let decay = (decay > 0.0).then(|| WeightDecayConfig::new(decay));
    let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).with_weight_decay(decay).init();
    let mut model = Some(model);
    let step = || {
        let m = model.take().unwrap();
        let grads = loss.forward(forward(&m, x.clone()), y.clone()).backward();
        let grads = GradientsParams::from_grads(grads, &m);
        model = Some(optimizer.step(1e-9, m, grads));
        d.sync().unwrap();
    };
    report_us("burn", name, measure(3.0, step));
}

fn main() {
    let plain = Device::flex();
    let normal = Distribution::Normal(0.0, 1.0);
    let d = plain.clone().autodiff();
    for batch in [128, 16, 1] {
        let x = Tensor::random([batch, 784], normal, &d);
        train(&format!("W1-b{batch}"), &d, 0.0, Mlp::new(&d), x, |m, x| m.forward(x));
    }
    let x = Tensor::random([64, 1, 28, 28], normal, &d);
    train("W2", &d, 0.0, LeNet::new(&d), x, |m, x| m.forward(x));
    let x = Tensor::random([16, 3, 32, 32], normal, &d);
    train("W3", &d, 5e-4, ResNet18::new(&d), x, |m, x| m.forward(x));

    let (model, one) = (LeNet::new(&plain), Tensor::random([1, 1, 28, 28], normal, &plain));
    report_us("burn", "W9-lenet", measure(2.0, || drop(model.forward(one.clone()).into_data())));
    for log in [10, 16, 24] {
        let x = Tensor::<1>::random([1 << log], normal, &plain);
        let step = || {
            let t = (x.clone() * 1.5 + 0.25).tanh() * sigmoid(x.clone() * 0.75);
            plain.sync().unwrap();
            drop(t);
        };
        report_us("burn", &format!("W10-2^{log}"), measure(2.0, step));
    }
    let square = [32, 64, 128, 256, 512, 1024, 2048].map(|s| (s, s, s));
    for (m, k, n) in square.into_iter().chain([(128, 784, 512), (32, 256, 1024), (1, 1024, 1024)]) {
        let (a, b) = (Tensor::<2>::random([m, k], normal, &plain), Tensor::<2>::random([k, n], normal, &plain));
        let step = || {
            let c = a.clone().matmul(b.clone());
            plain.sync().unwrap();
            drop(c);
        };
        report_us("burn", &format!("W11-{m}x{k}x{n}"), measure(1.0, step));
    }
}
