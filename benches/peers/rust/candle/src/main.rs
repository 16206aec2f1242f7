//! W1, W2, W3, W9 (LeNet-5), W10 and W11 in candle. Its SGD has neither momentum nor weight decay, so it
//! does less work than the others.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{BatchNorm, Conv2d, Conv2dConfig, Module, ModuleT, Optimizer, SGD, VarBuilder, VarMap};
use candle_nn::{batch_norm, conv2d, conv2d_no_bias, linear, loss};
use peer_bench::{measure, report_us};

const CPU: Device = Device::Cpu;

fn train(name: &str, vars: &VarMap, x: Tensor, forward: impl Fn(&Tensor) -> Result<Tensor>) -> Result<()> {
    let y = Tensor::zeros(x.dim(0)?, DType::U32, &CPU)?;
    let mut optimizer = SGD::new(vars.all_vars(), 1e-9)?;
    let step = || {
        let loss = loss::cross_entropy(&forward(&x).unwrap(), &y).unwrap();
        optimizer.backward_step(&loss).unwrap();
    };
    report_us("candle", name, measure(3.0, step));
    Ok(())
}

fn mlp(batch: usize) -> Result<()> {
    let vars = VarMap::new();
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &CPU);
    let (a, b, c) = (linear(784, 512, vb.pp("a"))?, linear(512, 256, vb.pp("b"))?, linear(256, 10, vb.pp("c"))?);
    let x = Tensor::randn(0f32, 1., (batch, 784), &CPU)?;
    train(&format!("W1-b{batch}"), &vars, x, |x| c.forward(&b.forward(&a.forward(x)?.relu()?)?.relu()?))
}

fn lenet() -> Result<()> {
    let vars = VarMap::new();
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &CPU);
    let c1 = conv2d(1, 6, 5, Conv2dConfig { padding: 2, ..Default::default() }, vb.pp("c1"))?;
    let c2 = conv2d(6, 16, 5, Default::default(), vb.pp("c2"))?;
    let (f1, f2, f3) = (linear(400, 120, vb.pp("f1"))?, linear(120, 84, vb.pp("f2"))?, linear(84, 10, vb.pp("f3"))?);
    let forward = |x: &Tensor| {
        let x = c1.forward(x)?.max_pool2d(2)?.relu()?;
        let x = c2.forward(&x)?.max_pool2d(2)?.relu()?.flatten_from(1)?;
        f3.forward(&f2.forward(&f1.forward(&x)?.relu()?)?.relu()?)
    };
    let one = Tensor::randn(0f32, 1., (1, 1, 28, 28), &CPU)?;
    report_us("candle", "W9-lenet", measure(2.0, || drop(forward(&one).unwrap())));
    train("W2", &vars, Tensor::randn(0f32, 1., (64, 1, 28, 28), &CPU)?, forward)
}

struct ConvNorm(Conv2d, BatchNorm);

impl ConvNorm {
    fn new(i: usize, o: usize, k: usize, stride: usize, vb: VarBuilder) -> Result<Self> {
        let config = Conv2dConfig { padding: k / 2, stride, ..Default::default() };
        Ok(Self(conv2d_no_bias(i, o, k, config, vb.pp("conv"))?, batch_norm(o, 1e-5, vb.pp("norm"))?))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.1.forward_t(&self.0.forward(x)?, true)
    }
}

fn resnet18() -> Result<()> {
    let vars = VarMap::new();
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &CPU);
    let stem = ConvNorm::new(3, 64, 3, 1, vb.pp("stem"))?;
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
    let mut blocks = Vec::new();
    for (n, (i, o, s)) in shapes.into_iter().enumerate() {
        let vb = vb.pp(n);
        let skip = if s != 1 { Some(ConvNorm::new(i, o, 1, s, vb.pp("skip"))?) } else { None };
        blocks.push((ConvNorm::new(i, o, 3, s, vb.pp("a"))?, ConvNorm::new(o, o, 3, 1, vb.pp("b"))?, skip));
    }
    let head = linear(512, 10, vb.pp("head"))?;
    train("W3", &vars, Tensor::randn(0f32, 1., (16, 3, 32, 32), &CPU)?, |x| {
        let mut x = stem.forward(x)?.relu()?;
        for (a, b, skip) in &blocks {
            let shortcut = skip.as_ref().map_or(Ok(x.clone()), |s| s.forward(&x))?;
            x = (b.forward(&a.forward(&x)?.relu()?)? + shortcut)?.relu()?;
        }
        head.forward(&x.flatten_from(2)?.mean(2)?)
    })
}

fn sigmoid_chain() -> Result<()> {
    for log in [10, 16, 24] {
        let x = Tensor::randn(0f32, 1., 1 << log, &CPU)?;
        let step = || {
            let t = x.affine(1.5, 0.25).unwrap().tanh().unwrap();
            let s = candle_nn::ops::sigmoid(&x.affine(0.75, 0.).unwrap()).unwrap();
            drop((t * s).unwrap());
        };
        report_us("candle", &format!("W10-2^{log}"), measure(2.0, step));
    }
    Ok(())
}

fn gemms() -> Result<()> {
    let square = [32, 64, 128, 256, 512, 1024, 2048].map(|s| (s, s, s));
    for (m, k, n) in square.into_iter().chain([(128, 784, 512), (32, 256, 1024), (1, 1024, 1024)]) {
        let (a, b) = (Tensor::randn(0f32, 1., (m, k), &CPU)?, Tensor::randn(0f32, 1., (k, n), &CPU)?);
        report_us("candle", &format!("W11-{m}x{k}x{n}"), measure(1.0, || drop(a.matmul(&b).unwrap())));
    }
    Ok(())
}

fn main() -> Result<()> {
    for batch in [128, 16, 1] {
        mlp(batch)?;
    }
    lenet()?;
    resnet18()?;
    sigmoid_chain()?;
    gemms()
}
