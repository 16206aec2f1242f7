//! `bespoke calibrate`: measures what the cost model needs to know of this machine.

use std::time::Instant;

use bespoke_compiler::{Config, compile, save_machine};
use bespoke_graph::{Graph, NodeId, op, op::Unary};
use bespoke_loops::Combine;
use bespoke_optimize::{Machine, modelled};
use bespoke_runtime::Executable;
use bespoke_tensor::{DType, Scalar, Tensor, Type};

use crate::error::Failure;

/// Each program is timed so often, and each time for about so many seconds.
const PASSES: usize = 5;
const TIME: f64 = 0.04;
/// How often all speeds are fitted one after the other.
const ROUNDS: usize = 4;
/// No speed is as high.
const FASTEST: u32 = 1 << 24;

/// The arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only show what was measured, do not keep it
    #[arg(long)]
    dry_run: bool,
}

/// What appends a program's value to a graph.
type Made = fn(&mut Graph) -> NodeId;

/// A program that is bound by one speed of the machine, which is the second word.
const SPEEDS: [(&str, &str, Made); 11] = [
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
    ("2·x of 16M numbers", "memory", |g| doubled(g, FAR)),
    ("64 sums of 512 numbers", "reduction", |g| {
        let x = input(g, [64, 512]);
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
const FAR: usize = 1 << 24;

/// Programs of several kinds, to compare the model with.
const CHECKS: [(&str, Made); 10] = [
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
    let speeds = SPEEDS.iter().map(|&(what, _, make)| Timed::new(what.to_owned(), make));
    let checks = CHECKS.iter().map(|&(what, make)| Timed::new(what.to_owned(), make));
    let sizes = (0..=(FAR / NEAR).ilog2()).map(|i| {
        Timed::new(format!("2·x of {}k numbers", (NEAR << i) / 1024), move |g| doubled(g, NEAR << i))
    });
    let mut speeds = speeds.collect::<Result<Vec<_>, _>>()?;
    let mut checks = checks.collect::<Result<Vec<_>, _>>()?;
    let mut sizes = sizes.collect::<Result<Vec<_>, _>>()?;
    // Other work on the machine comes and goes: nothing is measured within one moment only.
    for _ in 0..PASSES {
        for timed in speeds.iter_mut().chain(&mut checks).chain(&mut sizes) {
            timed.run()?;
        }
    }
    let machine = machine(&speeds, &sizes);
    let mut text = format!("{:<38} {:>9} {:>9}\n", "one core of this machine", "measured", "default");
    for (name, unit, what) in Machine::SPEEDS {
        let [speed, fixed] = [machine, Machine::fixed()].map(|m| m.speed(name).expect("a speed"));
        text.push_str(&format!("{what:<38} {speed:>9} {fixed:>9} {unit}\n"));
    }
    text.push_str(&format!(
        "\n{:<44} {:>11} {:>11} {:>6} {:>8}\n",
        "program", "measured us", "modelled us", "ratio", "default"
    ));
    for Timed { what, graph, least, .. } in speeds.iter().chain(&checks) {
        let [model, fixed] = [machine, Machine::fixed()].map(|m| modelled(&m, graph) / 1e3);
        let time = least * 1e6;
        let (ratio, fixed) = (model / time, fixed / time);
        text.push_str(&format!("{what:<44} {time:>11.2} {model:>11.2} {ratio:>6.2} {fixed:>8.2}\n"));
    }
    if !arguments.dry_run {
        text.push_str(&format!("\nkept in {}\n", save_machine(&machine)?.display()));
    }
    Ok(text)
}

/// The machine on which the programs of [`SPEEDS`], and 2·x of more and more numbers, take as long as they did.
fn machine(speeds: &[Timed], sizes: &[Timed]) -> Machine {
    let bytes_per_second = |i: usize| ((2 * 4 * NEAR) << i) as f64 / sizes[i].least;
    let level = |elements: usize| (elements / NEAR).ilog2() as usize;
    // The largest value that is still read and written rather at the speed of its level than at that of the next.
    let largest = |from: usize, to: usize| {
        let between = (bytes_per_second(level(from)) * bytes_per_second(level(to))).sqrt();
        let slow = (level(from)..level(to)).find(|&i| bytes_per_second(i) < between);
        let last = slow.unwrap_or(level(to)).saturating_sub(1).max(level(from));
        (4 * (NEAR << last)).div_ceil(1000) as u32
    };
    let (near_size, cache_size) = (largest(NEAR, CACHED), largest(CACHED, FAR));
    let mut machine = Machine { near_size, cache_size, ..Machine::fixed() };
    // Each program takes a little of the other speeds too.
    for _ in 0..ROUNDS {
        for ((_, speed, _), timed) in SPEEDS.iter().zip(speeds) {
            machine = fit(&machine, speed, &timed.graph, timed.least * 1e9);
        }
    }
    machine
}

/// A program that is timed, as it is, on one thread.
struct Timed {
    what: String,
    graph: Graph,
    program: Executable,
    inputs: Vec<(String, Tensor)>,
    /// The least seconds of a run: other work on the machine only ever adds to it.
    least: f64,
}

impl Timed {
    fn new(what: String, make: impl Fn(&mut Graph) -> NodeId) -> Result<Timed, Failure> {
        let mut graph = Graph::new();
        let y = make(&mut graph);
        graph.set_output("y", y).expect("the only output");
        let config = Config { optimize: None, threads: 1, ..Config::default() };
        let program = compile(&graph, &config, &mut |_| ())?;
        let inputs = graph.inputs().map(|(name, id)| (name.to_owned(), noise(graph.ty(id)))).collect();
        Ok(Timed { what, graph, program, inputs, least: f64::INFINITY })
    }

    fn run(&mut self) -> Result<(), Failure> {
        let inputs: Vec<(&str, &Tensor)> = self.inputs.iter().map(|(n, v)| (n.as_str(), v)).collect();
        self.program.run(&inputs)?; // its memory comes back to the cache
        let start = Instant::now();
        while start.elapsed().as_secs_f64() < TIME {
            let run = Instant::now();
            self.program.run(&inputs)?;
            self.least = self.least.min(run.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// Numbers within ±1.
fn noise(ty: Type) -> Tensor {
    Tensor::from_fn(ty, |i| Scalar::F64((i * 7919 % 2001) as f64 / 1000.0 - 1.0))
}

/// The machine with that speed changed so that the graph's modelled time is the measured one, in nanoseconds; as it was if no
/// such speed is that of a machine.
fn fit(machine: &Machine, speed: &str, graph: &Graph, time: f64) -> Machine {
    let with = |value: u32| {
        let of = |name: &str| if name == speed { Some(value) } else { machine.speed(name) };
        Machine::from_speeds(of).expect("no speed is 0")
    };
    // More of a speed takes less time; more of a launch takes more.
    let is_too_fast = |value: u32| (modelled(&with(value), graph) < time) != (speed == "launch");
    let (mut low, mut high) = (1, FASTEST);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if is_too_fast(middle) { high = middle } else { low = middle }
    }
    if low == 1 || high == FASTEST { *machine } else { with(low) }
}
