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
/// How often all speeds are fitted one after the other.
const ROUNDS: usize = 4;

/// The arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only show what was measured, do not keep it
    #[arg(long)]
    dry_run: bool,
}

/// A program that is bound by one speed of the machine, which is the second word.
const SPEEDS: [(&str, &str, fn(&mut Graph) -> NodeId); 11] = [
    ("64 sums of 8 numbers, one after the other", "launch", |g| {
        let x = input(g, [8]);
        (0..64)
            .fold(x, |x, _| g.must(op::Cumulative { combine: Combine::Sum, axis: 0, reverse: false }, &[x]))
    }),
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
    ("2·x of 32k numbers", "near", |g| doubled(g, NEAR)),
    ("2·x of 1M numbers", "cache", |g| doubled(g, CACHED)),
    ("2·x of 32M numbers", "memory", |g| doubled(g, FAR)),
    ("256 sums of 512 numbers", "reduction", |g| {
        let x = input(g, [256, 512]);
        g.sum(x, &[1])
    }),
    ("dot of 256³", "dot_f32", |g| dot(g, DType::F32, [256, 256, 256])),
    ("dot of 8×512×512", "packing", |g| dot(g, DType::F32, [8, 512, 512])),
    ("dot of 256³ in f64", "dot_f64", |g| dot(g, DType::F64, [256, 256, 256])),
    ("3×3 convolution, 32 to 32 features of 2·32²", "convolution", |g| convolution(g, [2, 32, 32], 32, 3)),
];

/// Numbers of values that lie in each level of the caches, and beyond them.
const NEAR: usize = 1 << 15;
const CACHED: usize = 1 << 20;
const FAR: usize = 1 << 25;

/// Programs of several kinds, to compare the model with.
const CHECKS: [(&str, fn(&mut Graph) -> NodeId); 10] = [
    ("dot of 512³", |g| dot(g, DType::F32, [512, 512, 512])),
    ("dot of 64³", |g| dot(g, DType::F32, [64, 64, 64])),
    ("dot of 128×784×256", |g| dot(g, DType::F32, [128, 784, 256])),
    ("dot of 1×784×256", |g| dot(g, DType::F32, [1, 784, 256])),
    ("1×1 convolution, 64 to 64 features of 8·16²", |g| convolution(g, [8, 64, 16], 64, 1)),
    ("3×3 convolution, 32 to 32 features of 8·32²", |g| convolution(g, [8, 32, 32], 32, 3)),
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
    ("transpose of 256×1024", |g| {
        let x = input(g, [256, 1024]);
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
    let row = |what, make: fn(&mut Graph) -> NodeId| {
        let graph = graph(make);
        measure(&graph).map(|time| (what, graph, time))
    };
    let mut rows = SPEEDS.iter().map(|&(what, _, make)| row(what, make)).collect::<Result<Vec<_>, _>>()?;
    let mut machine = sizes()?;
    // Each program takes a little of the other speeds too.
    for _ in 0..ROUNDS {
        for ((_, speed, _), (_, graph, time)) in SPEEDS.iter().zip(&rows) {
            machine = fit(&machine, speed, graph, time * 1e9);
        }
    }
    for (what, make) in CHECKS {
        rows.push(row(what, make)?);
    }
    let mut text = format!("{:<38} {:>9} {:>9}\n", "one core of this machine", "measured", "default");
    for (name, unit, what) in Machine::SPEEDS {
        let [speed, fixed] = [machine, Machine::fixed()].map(|m| m.speed(name).expect("a speed"));
        text.push_str(&format!("{what:<38} {speed:>9} {fixed:>9} {unit}\n"));
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

/// How much the levels of the caches hold: the largest values that are still read and written rather at their speed than at
/// that of the next level.
fn sizes() -> Result<Machine, Failure> {
    let bytes_per_second = |elements: usize| {
        let mut graph = Graph::new();
        let y = doubled(&mut graph, elements);
        graph.set_output("y", y).expect("the only output");
        measure(&graph).map(|time| (2 * 4 * elements) as f64 / time)
    };
    let [near, cached, far] = [bytes_per_second(NEAR)?, bytes_per_second(CACHED)?, bytes_per_second(FAR)?];
    let largest = |from: usize, to: usize, speeds: f64| {
        let mut elements = from;
        while elements < to && bytes_per_second(2 * elements)? > speeds.sqrt() {
            elements *= 2;
        }
        Ok::<u32, Failure>((4 * elements / 1000) as u32)
    };
    let (near_size, cache_size) =
        (largest(NEAR, CACHED / 2, near * cached)?, largest(CACHED, FAR / 2, cached * far)?);
    Ok(Machine { near_size, cache_size, ..Machine::fixed() })
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
    let mut program =
        compile(graph, &Config { optimize: None, threads: 1, ..Config::default() }, &mut |_| ())?;
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
        let of = |name: &str| if name == speed { Some(value) } else { machine.speed(name) };
        Machine::from_speeds(of).expect("no speed is 0")
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
