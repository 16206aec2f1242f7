//! Random small graphs: optimised or not, they mean the same.

use bespoke_graph::{
    Graph, NodeId, Windows, op,
    op::{Binary, Convolution, Dot, Unary},
};
use bespoke_loops::Combine;
use bespoke_tensor::{DType, Shape, Type};

use super::{Random, difference, run, sources};
use crate::{Config, Machine, Rounding, cost, optimize};

const GRAPHS: u64 = 400;

/// A graph of `n` operators on f64 that keep values moderate.
pub fn random_graph(random: &mut Random, n: usize) -> Graph {
    let mut g = Graph::new();
    let extents = [1, 2, 3];
    for i in 0..3 {
        let rank = random.below(3);
        let dims: Vec<usize> = (0..rank).map(|_| extents[random.below(3)]).collect();
        let ty = Type::new(DType::F64, Shape::new(&dims).unwrap());
        if i == 2 { g.state("s", ty) } else { g.input(&format!("x{i}"), ty) }.unwrap();
    }
    while g.len() < n {
        step(&mut g, random);
    }
    let last = NodeId(g.len() as u32 - 1);
    g.set_output("last", last).unwrap();
    let middle = NodeId(g.len() as u32 / 2);
    g.set_output("middle", middle).unwrap();
    g
}

fn step(g: &mut Graph, random: &mut Random) {
    let floats: Vec<NodeId> = g.ids().filter(|&i| g.ty(i).dtype == DType::F64).collect();
    let x = floats[random.below(floats.len())];
    let ty = g.ty(x);
    let rank = ty.rank();
    let axes: Vec<usize> = (0..rank).filter(|_| random.below(2) == 0).collect();
    let same: Vec<NodeId> = g.ids().filter(|&i| g.ty(i) == ty).collect();
    let y = same[random.below(same.len())];
    match random.below(20) {
        0 | 1 => {
            let functions = [Unary::Neg, Unary::Tanh, Unary::Sigmoid, Unary::Abs, Unary::Sin, Unary::Erf];
            g.unary(functions[random.below(functions.len())], x);
        }
        2..=5 => {
            let functions = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Max, Binary::Min];
            g.binary(functions[random.below(functions.len())], x, y);
        }
        6 => {
            let constants = [0.0, 1.0, -1.0, 2.0, 0.5, 3.0];
            let c = g.fill(ty, constants[random.below(6)]);
            let functions = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Max];
            let f = functions[random.below(4)];
            if random.below(2) == 0 {
                g.binary(f, x, c)
            } else {
                g.binary(f, c, x)
            };
        }
        7 if rank > 0 => {
            let combine = [Combine::Sum, Combine::Max, Combine::Min][random.below(3)];
            g.reduce(combine, x, &axes);
        }
        8 if rank > 1 => {
            let mut permutation: Vec<usize> = (0..rank).collect();
            permutation.swap(random.below(rank), random.below(rank));
            g.transpose(x, &permutation);
        }
        9 if rank < 3 => {
            let mut dims = ty.shape.to_vec();
            let at = random.below(rank + 1);
            dims.insert(at, 1 + random.below(3));
            let axes: Vec<usize> = (0..=rank).filter(|&a| a != at).collect();
            g.broadcast(x, Shape::new(&dims).unwrap(), &axes);
        }
        10 => {
            let mut dims = ty.shape.to_vec();
            if rank < 3 && random.below(2) == 0 {
                dims.insert(random.below(rank + 1), 1);
            } else {
                dims.reverse();
            }
            g.reshape(x, Shape::new(&dims).unwrap());
        }
        11 => {
            let y = floats[random.below(floats.len())];
            let other = g.ty(y);
            if rank + other.rank() > 4 {
                return;
            }
            let mut contract = (vec![], vec![]);
            for a in 0..rank {
                let fits = |b: &usize| ty.shape[a] == other.shape[*b] && !contract.1.contains(b);
                if let Some(b) = (0..other.rank()).find(fits)
                    && random.below(3) > 0
                {
                    contract.0.push(a);
                    contract.1.push(b);
                }
            }
            if rank + other.rank() - 2 * contract.0.len() <= 3 {
                g.must(Dot { batch: (vec![], vec![]), contract }, &[x, y]);
            }
        }
        12 => {
            let y = NodeId(random.below(3) as u32);
            let bounded = g.unary([Unary::Sigmoid, Unary::Tanh][random.below(2)], y);
            let e = g.unary([Unary::Exp, Unary::Softplus][random.below(2)], bounded);
            let same: Vec<NodeId> = g.ids().filter(|&i| g.ty(i) == g.ty(e)).collect();
            let other = same[random.below(same.len())];
            let quotient = g.over(other, e);
            if random.below(2) == 0 {
                g.times(quotient, e);
            }
        }
        13 => {
            // Sources are not near 0; a comparison of what rounding changes would not be continuous.
            let x = NodeId(random.below(3) as u32);
            let zero = g.fill_like(x, 0.0);
            let c = g.binary([Binary::Lt, Binary::Ge][random.below(2)], x, zero);
            let same: Vec<NodeId> = g.ids().filter(|&i| g.ty(i) == g.ty(x)).collect();
            let (y, z) = (same[random.below(same.len())], same[random.below(same.len())]);
            let s = g.select(c, y, z);
            if random.below(2) == 0 {
                let one = g.convert(c, DType::F64);
                g.times(one, s);
            }
        }
        14 if rank > 0 && ty.elements() > 0 => {
            let start: Vec<usize> = ty.shape.iter().map(|&d| random.below(d.min(2))).collect();
            let slice = op::Slice { start, limit: ty.shape.to_vec(), step: vec![1 + random.below(2); rank] };
            g.must(slice, &[x]);
        }
        15 if rank > 0 => {
            let zero = g.scalar(0.0f64);
            let mut some = |n| (0..rank).map(|_| random.below(n)).collect::<Vec<_>>();
            let pad = op::Pad { low: some(2), high: some(2), inner: some(2) };
            g.must(pad, &[x, zero]);
        }
        16 if rank > 0 => {
            g.must(op::Concatenate { axis: random.below(rank) }, &[x, y]);
        }
        17 | 18 if rank == 3 && ty.elements() > 0 => convolve(g, random, x, &floats),
        19 if rank > 0 && ty.elements() > 0 => {
            let extent = 1 + random.below(ty.shape[rank - 1].min(2));
            let windows = Windows::new(&[extent], &[1 + random.below(2)]);
            let combine = [Combine::Sum, Combine::Max][random.below(2)];
            g.must(op::WindowReduce { combine, windows }, &[x]);
        }
        _ => {}
    }
}

/// A convolution of `[N, C, L]` by a kernel that is repeated from a matrix, if there is one that fits.
fn convolve(g: &mut Graph, random: &mut Random, x: NodeId, floats: &[NodeId]) {
    let features = g.ty(x).shape[1];
    let fits = |&&w: &&NodeId| g.ty(w).rank() == 2 && [1, features].contains(&g.ty(w).shape[1]);
    let Some(&w) = floats.iter().rev().find(fits) else { return };
    let [o, c] = [0, 1].map(|a| g.ty(w).shape[a]);
    let groups = features / c;
    if !o.is_multiple_of(groups) || o == 0 {
        return;
    }
    let kernel = g.broadcast(w, [o, c, 1 + random.below(2)].into(), &[0, 1]);
    let padding = (random.below(2) as i64, random.below(3) as i64 - 1);
    let convolution = Convolution {
        stride: vec![1 + random.below(2)],
        padding: vec![padding],
        input_dilation: vec![1 + random.below(2)],
        kernel_dilation: vec![1 + random.below(2)],
        groups,
    };
    g.must(convolution, &[x, kernel]);
}

#[test]
fn optimised_graphs_mean_the_same() {
    compare(1..=GRAPHS);
}

#[test]
#[ignore = "takes a minute: cargo test --release -p bespoke-optimize -- --ignored many"]
fn many_optimised_graphs_mean_the_same() {
    compare(1..=20_000);
}

fn compare(seeds: std::ops::RangeInclusive<u64>) {
    for seed in seeds {
        let mut random = Random(seed * 0x9e37_79b9);
        let size = 5 + random.below(35);
        let graph = random_graph(&mut random, size);
        // Some with tight bounds, since stopping early is always safe.
        let config = Config {
            rounding: if seed % 3 == 0 { Rounding::AssumesFinite } else { Rounding::Reassociates },
            growth: if seed % 4 == 0 { 1 } else { 10 },
            matches_per_rule: if seed % 5 == 0 { 1 } else { 500 },
            ..Config::default()
        };
        let (result, report) = optimize(&graph, &config).unwrap_or_else(|e| panic!("{e}\n{graph}"));
        let violations = bespoke_graph::verify(&result);
        assert!(violations.is_empty(), "{violations:?}\n{result}");
        assert!(
            cost::graph(&Machine::fixed(), &result) <= cost::graph(&Machine::fixed(), &graph) + 1e-6,
            "graph {seed} is dearer:\n{graph}\n{result}\n{report}"
        );
        let values = sources(&graph, &mut Random(seed), false);
        let (before, after) = (run(&graph, &values), run(&result, &values));
        for (name, value) in &before.outputs {
            // Sums of products can grow large and cancel.
            if value.scalars().any(|v| v.to_f64().abs() > 1e6) {
                continue;
            }
            let difference = difference(value, &after.outputs[name], 1e-6);
            assert_eq!(difference, None, "graph {seed}, output {name}\n{graph}\n{result}\n{report}");
        }
        let again = optimize(&graph, &config).unwrap().0;
        assert_eq!(again.to_string(), result.to_string(), "graph {seed} is optimised in two ways");
    }
}
