//! Differentiation four ways (L14): by differences, symbolically, with dual numbers, and with jets.
//!
//! `cargo run --release --example differentiation`

use std::time::Instant;

use bespoke::{
    Error,
    autodiff::{grad, hvp, jet, jvp, numerical},
    compiler::Artifact,
    graph::{Graph, NodeId, eval_all, op::Unary},
    inspect, nn, optimize,
    prelude::{Config, DType, F32, Sgd, Tensor, Trainer, Type, compile},
};

fn main() -> Result<(), Error> {
    jets()?;
    formulas()?;
    four_ways()?;
    contractive()
}

/// The lecture's numbers x = 2 + ε₀ and y = 3 + ε₁, where εᵢεⱼ = 0.
fn jets() -> Result<(), Error> {
    let mut g = Graph::new();
    let (x, y) = (g.input("x", Type::scalar(DType::F64))?, g.input("y", Type::scalar(DType::F64))?);
    let product = g.times(x, y);
    let (square, skew) = (g.times(product, product), g.times(y, product));
    println!("jets");
    for (name, value) in [("x", x), ("y", y), ("x·y", product), ("(x·y)²", square), ("y·(x·y)", skew)] {
        let jet = jet(&mut g, value, &[x, y])?;
        let at = |name: &str| Some(Tensor::scalar(if name == "x" { 2.0 } else { 3.0 }));
        let values = eval_all(&g, &at)?;
        println!("  {name:<8}= {}", jet.map(|id| number(&values[id.index()])));
    }
    Ok(())
}

/// f(x) = sin(x)·σ(x²), written once.
fn function(g: &mut Graph, x: NodeId) -> NodeId {
    let square = g.times(x, x);
    let (sine, gate) = (g.unary(Unary::Sin, x), g.unary(Unary::Sigmoid, square));
    g.times(sine, gate)
}

/// The symbolic derivative is elegant but convoluted; the rules that always pay tidy it up.
fn formulas() -> Result<(), Error> {
    let mut g = Graph::new();
    let x = g.input("x", Type::scalar(DType::F64))?;
    let y = function(&mut g, x);
    let slope = grad(&mut g, y, &[x])?[0];
    g.set_output("f′", slope)?;
    let show = |graph: &Graph| inspect::formulas(graph).iter().for_each(|line| println!("  {line}"));
    println!("the derivative of f(x) = sin(x)·σ(x²), as it was derived");
    show(&g);
    println!("and after the rules that always pay");
    let simple = optimize::Config { egraph: false, ..Default::default() };
    let config = Config { optimize: Some(simple), ..Default::default() };
    compile(&g, &config, &mut |event| {
        if let Artifact::Optimized(graph, _) = event.artifact {
            show(graph);
        }
    })?;
    Ok(())
}

/// All ways agree, as far as each can.
fn four_ways() -> Result<(), Error> {
    let at = 0.7f64;
    let mut g = Graph::new();
    let x = g.input("x", Type::scalar(DType::F64))?;
    let y = function(&mut g, x);
    let source = |_: &str| Some(Tensor::scalar(at));
    let differences = number(&numerical(&g, y, x, &source)?);

    let one = g.fill_like(x, 1.0);
    let symbolic = grad(&mut g, y, &[x])?[0];
    let dual = jvp(&mut g, &[y], &[(x, one)])?[0].unwrap_or(one);
    let part = jet(&mut g, y, &[x])?.parts[0];
    let second = hvp(&mut g, y, &[x], &[one])?[0];
    for (name, id) in [("symbolic", symbolic), ("dual", dual), ("jet", part), ("second", second)] {
        g.set_output(name, id)?;
    }
    let mut program = compile(&g, &Config::default(), &mut |_| ())?;
    let outputs = program.run(&[("x", &Tensor::scalar(at))])?;
    let output = |name: &str| outputs.get(name).map(number).unwrap_or(f64::NAN);

    let gate = 1.0 / (1.0 + (-at * at).exp());
    let exact = at.cos() * gate + at.sin() * gate * (1.0 - gate) * 2.0 * at;
    println!("f′({at}) = {exact:.15}");
    for (way, got) in [
        ("numerical, by differences", differences),
        ("symbolic, compiled", output("symbolic")),
        ("dual numbers, compiled", output("dual")),
        ("jets, compiled", output("jet")),
    ] {
        let error = (got - exact).abs();
        println!("  {way:<28} {got:.15}   error {error:.1e}");
        assert!(error < 1e-9, "{way} does not agree");
    }
    println!("  f″, forward over reverse     {:.15}", output("second"));
    Ok(())
}

/// The contractive autoencoder's loss has a derivative in it (L33); its gradient is a derivative of a derivative.
fn contractive() -> Result<(), Error> {
    let start = Instant::now();
    let g = nn::Graph::new();
    let x = g.input("x", F32, [32, 784]);
    let code = x.dense(256).sigmoid();
    let jacobians = g.batch_jacobian(code, x);
    let loss = (code.dense(784).sigmoid() - x).pow(2.0).mean() + (jacobians * jacobians).sum() / 32.0 * 0.1;
    let training = Trainer::new(loss, Sgd::new(0.1)).compile()?;
    println!("mean (x − g(f(x)))² + λ·mean Σᵢ‖∇ₓhᵢ‖², 784-256-784");
    let elapsed = start.elapsed().as_secs_f64() * 1e3;
    let parameters = training.summary().parameters;
    println!(
        "  {parameters} parameters; training step and query, from model to machine code: {elapsed:.1} ms"
    );
    Ok(())
}

fn number(value: &Tensor) -> f64 {
    value.get(0).to_f64()
}
