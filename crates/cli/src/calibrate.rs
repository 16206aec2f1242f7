//! `bespoke calibrate`: measures what the cost model needs to know of this machine.

use std::time::Instant;

use bespoke_compiler::{Config, clear_cache, compile, save_machine};
use bespoke_graph::{Graph, NodeId, op, op::Unary};
use bespoke_loops::Combine;
use bespoke_optimize::{Machine, modelled};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

use crate::error::Failure;

/// Each program is timed about so long, in seconds.
const TIME: f64 = 0.2;

/// The arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only show what was measured, do not keep it
    #[arg(long)]
    dry_run: bool,
}

/// A program that is bound by one speed of the machine, which is the second word.
const SPEEDS: [(&str, &str, fn(&mut Graph) -> NodeId); 9] = [
    ("64 sums of 8 numbers, one after the other", "launch", |g| {
        let x = input(g, [8]);
        (0..64)
            .fold(x, |x, _| g.must(op::Cumulative { combine: Combine::Sum, axis: 0, reverse: false }, &[x]))
    }),
    ("2·x of 64k numbers", "cache", |g| doubled(g, 1 << 16)),
    ("2·x of 32M numbers", "memory", |g| doubled(g, 1 << 25)),
    ("64 products and sums of 4k numbers", "elementwise", |g| {
        let x = input(g, [4096]);
        let factor = g.fill_like(x, 0.99);
        (0..32).fold(x, |y, _| {
            let scaled = g.times(y, factor);
            g.plus(scaled, x)
        })
    }),
    ("exp, tanh and σ of 16k numbers", "function", |g| {
        let x = input(g, [1 << 14]);
        [Unary::Sigmoid, Unary::Tanh, Unary::Exp].into_iter().fold(x, |x, f| g.unary(f, x))
    }),
    ("256 sums of 512 numbers", "reduction", |g| {
        let x = input(g, [256, 512]);
        g.sum(x, &[1])
    }),
    ("dot of 512³", "dot_f32", |g| dot(g, DType::F32, [512, 512, 512])),
    ("dot of 256³ in f64", "dot_f64", |g| dot(g, DType::F64, [256, 256, 256])),
    ("3×3 convolution, 32 to 32 features of 8·32²", "convolution", |g| convolution(g, [8, 32, 32], 32, 3)),
];

/// Programs of several kinds, to compare the model with.
const CHECKS: [(&str, fn(&mut Graph) -> NodeId); 9] = [
    ("dot of 256³", |g| dot(g, DType::F32, [256, 256, 256])),
    ("dot of 64³", |g| dot(g, DType::F32, [64, 64, 64])),
    ("dot of 128×784×256", |g| dot(g, DType::F32, [128, 784, 256])),
    ("dot of 1×784×256", |g| dot(g, DType::F32, [1, 784, 256])),
    ("1×1 convolution, 64 to 64 features of 8·16²", |g| convolution(g, [8, 64, 16], 64, 1)),
    ("5×5 convolution, 1 to 6 features of 64·28²", |g| convolution(g, [64, 1, 28], 6, 5)),
    ("softmax of 128 rows of 1000", |g| {
        let x = input(g, [128, 1000]);
        let wide = |g: &mut Graph, x| g.broadcast(x, [128, 1000].into(), &[0]);
        let most = g.reduce(Combine::Max, x, &[1]);
        let most = wide(g, most);
        let shifted = g.minus(x, most);
        let exp = g.unary(Unary::Exp, shifted);
        let sum = g.sum(exp, &[1]);
        let sum = wide(g, sum);
        g.over(exp, sum)
    }),
    ("tanh(x·y + z) of 1M numbers", |g| {
        let [x, y, z] = ["x", "y", "z"].map(|name| named(g, name, DType::F32, &[1 << 20]));
        let product = g.times(x, y);
        let sum = g.plus(product, z);
        g.unary(Unary::Tanh, sum)
    }),
    ("transpose of 1024×1024", |g| {
        let x = input(g, [1024, 1024]);
        g.must(op::Transpose { permutation: vec![1, 0] }, &[x])
    }),
];

fn named(g: &mut Graph, name: &str, dtype: DType, shape: &[usize]) -> NodeId {
    let ty = Type { dtype, shape: shape.try_into().expect("few axes") };
    g.input(name, ty).expect("names differ")
}

fn input<const N: usize>(g: &mut Graph, shape: [usize; N]) -> NodeId {
    named(g, "x", DType::F32, &shape)
}

fn doubled(g: &mut Graph, elements: usize) -> NodeId {
    let x = input(g, [elements]);
    let two = g.fill_like(x, 2.0);
    g.times(x, two)
}

fn dot(g: &mut Graph, dtype: DType, [m, k, n]: [usize; 3]) -> NodeId {
    let (x, y) = (named(g, "x", dtype, &[m, k]), named(g, "y", dtype, &[k, n]));
    g.matmul(x, y)
}

/// Of images `[batch, channels, size]`, as many positions as the images have.
fn convolution(g: &mut Graph, [batch, channels, size]: [usize; 3], features: usize, kernel: usize) -> NodeId {
    let x = named(g, "x", DType::F32, &[batch, channels, size, size]);
    let w = named(g, "w", DType::F32, &[features, channels, kernel, kernel]);
    g.must(op::Convolution::new(&[1, 1], &[kernel / 2; 2]), &[x, w])
}

/// Measures, shows and keeps the speeds of this machine.
pub fn calibrate(arguments: &Arguments) -> Result<String, Failure> {
    let mut machine = Machine::fixed();
    let mut rows = vec![];
    for (what, speed, make) in SPEEDS {
        let graph = graph(make);
        let time = measure(&graph)?;
        machine = fit(&machine, speed, &graph, time * 1e9);
        rows.push((what, graph, time));
        if speed == "memory" {
            machine = Machine { cache_size: cache_size(&machine)?, ..machine };
        }
    }
    for (what, make) in CHECKS {
        let graph = graph(make);
        let time = measure(&graph)?;
        rows.push((what, graph, time));
    }
    let mut text = format!("{:<34} {:>9} {:>9}\n", "one core of this machine", "measured", "default");
    for (i, (_, unit, what)) in Machine::SPEEDS.into_iter().enumerate() {
        let (speed, fixed) = (machine.speeds()[i].1, Machine::fixed().speeds()[i].1);
        text.push_str(&format!("{what:<34} {speed:>9} {fixed:>9} {unit}\n"));
    }
    text.push_str(&format!(
        "\n{:<44} {:>11} {:>11} {:>6}\n",
        "program", "measured us", "modelled us", "ratio"
    ));
    for (what, graph, time) in rows {
        let (time, model) = (time * 1e6, modelled(&machine, &graph) / 1e3);
        text.push_str(&format!("{what:<44} {time:>11.2} {model:>11.2} {:>6.2}\n", model / time));
    }
    if !arguments.dry_run {
        text.push_str(&format!("\nkept in {}\n", save_machine(&machine)?.display()));
    }
    Ok(text)
}

/// The kilobytes of the largest value that is still read and written rather at the speed of the caches than at that of memory.
fn cache_size(machine: &Machine) -> Result<u32, Failure> {
    let between = (f64::from(machine.cache) * f64::from(machine.memory)).sqrt() * 1e6;
    let mut elements = 1 << 16;
    while elements < 1 << 24 {
        let mut graph = Graph::new();
        let y = doubled(&mut graph, 2 * elements);
        graph.set_output("y", y).expect("the only output");
        // Read and written, of four bytes each.
        if (2 * 2 * elements * 4) as f64 / measure(&graph)? < between {
            break;
        }
        elements *= 2;
    }
    Ok((elements * 4 / 1000) as u32)
}

fn graph(make: fn(&mut Graph) -> NodeId) -> Graph {
    let mut graph = Graph::new();
    let y = make(&mut graph);
    graph.set_output("y", y).expect("the only output");
    graph
}

/// The least seconds of a run of the graph as it is, on one thread: other work on the machine only ever adds to it.
fn measure(graph: &Graph) -> Result<f64, Failure> {
    clear_cache();
    let mut program = compile(graph, &Config { optimize: None, threads: 1, keep_text: false }, &mut |_| ())?;
    let inputs: Vec<(String, Tensor)> =
        graph.inputs().map(|(n, id)| (n.to_owned(), noise(graph.ty(id)))).collect();
    let inputs: Vec<(&str, &Tensor)> = inputs.iter().map(|(n, v)| (n.as_str(), v)).collect();
    let mut least = f64::INFINITY;
    let start = Instant::now();
    while least == f64::INFINITY || start.elapsed().as_secs_f64() < TIME {
        let run = Instant::now();
        program.run(&inputs)?;
        least = least.min(run.elapsed().as_secs_f64());
    }
    Ok(least)
}

/// Numbers within ±1.
fn noise(ty: Type) -> Tensor {
    Tensor::from_fn(ty, |i| Scalar::F64((i * 7919 % 2001) as f64 / 1000.0 - 1.0))
}

/// The machine with that speed changed so that the graph's modelled time is the measured one, in nanoseconds.
fn fit(machine: &Machine, speed: &str, graph: &Graph, time: f64) -> Machine {
    let with = |value: u32| {
        let of = |name: &str| machine.speeds().iter().find(|s| s.0 == name).map(|s| s.1);
        Machine::from_speeds(|name| if name == speed { Some(value) } else { of(name) })
            .expect("all are there")
    };
    // More of a speed takes less time; more of a launch takes more.
    let is_too_fast = |value: u32| (modelled(&with(value), graph) < time) != (speed == "launch");
    let (mut low, mut high) = (1, 1 << 24);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if is_too_fast(middle) { high = middle } else { low = middle }
    }
    with(low)
}
