//! Graphs that are unusual in size, not in kind.

use bespoke_graph::{Graph, NodeId, op};
use bespoke_tensor::{DType, Type};
use bespoke_testkit::random_inputs;

use crate::columns::{agree, no_failures, optimized_agrees, passes};

fn inputs(g: &mut Graph, count: usize, ty: Type) -> Vec<NodeId> {
    (0..count).map(|i| g.input(&format!("x{i}"), ty).expect("names are numbered")).collect()
}

fn output(g: &mut Graph, node: NodeId) {
    g.set_output(&format!("y{}", g.outputs().len()), node).expect("names are numbered");
}

fn sum_of(g: &mut Graph, terms: &[NodeId]) {
    let sum = terms.iter().copied().reduce(|a, b| g.plus(a, b)).expect("there are terms");
    output(g, sum);
}

/// A sum of many inputs.
fn many_operands(g: &mut Graph) {
    let x = inputs(g, 100, Type::new(DType::F32, [7]));
    sum_of(g, &x);
}

/// Short reductions of many inputs.
fn many_reductions(g: &mut Graph) {
    let x = inputs(g, 100, Type::new(DType::F32, [3]));
    let sums: Vec<NodeId> = x.into_iter().map(|x| g.sum_all(x)).collect();
    sum_of(g, &sums);
}

/// Many reductions of one input.
fn many_siblings(g: &mut Graph) {
    let x = inputs(g, 1, Type::new(DType::F32, [5, 3]))[0];
    let mut sums = vec![];
    for i in 0..100 {
        let factor = g.fill_like(x, f64::from(i));
        let scaled = g.times(x, factor);
        let sum = g.sum(scaled, &[1]);
        sums.push(sum);
    }
    sum_of(g, &sums);
}

fn long_concatenation(g: &mut Graph) {
    let x = inputs(g, 100, Type::new(DType::I32, [2]));
    let y = g.must(op::Concatenate { axis: 0 }, &x);
    output(g, y);
}

fn many_outputs(g: &mut Graph) {
    let x = inputs(g, 2, Type::new(DType::F32, [9]));
    for i in 0..100 {
        let factor = g.fill_like(x[0], f64::from(i) * 0.1);
        let y = g.times(x[i as usize % 2], factor);
        output(g, y);
    }
}

fn many_states(g: &mut Graph) {
    let states: Vec<NodeId> =
        (0..100).map(|i| g.state(&format!("s{i}"), Type::new(DType::F32, [4])).expect("numbered")).collect();
    for (i, &state) in states.iter().enumerate() {
        let sum = g.plus(state, states[(i + 1) % states.len()]);
        g.set_next(state, sum).expect("once each");
    }
}

/// A chain of functions, each of one value.
fn long_chain(g: &mut Graph) {
    let mut x = inputs(g, 1, Type::new(DType::F32, [5]))[0];
    for i in 0..3000 {
        x = g.unary([op::Unary::Sin, op::Unary::Neg, op::Unary::Cos][i % 3], x);
    }
    output(g, x);
}

/// What is cheap is recomputed, but not a million times.
fn doubling(g: &mut Graph) {
    let mut x = inputs(g, 1, Type::new(DType::I32, [2, 2, 2]))[0];
    for i in 0..40 {
        let reversed = g.must(op::Reverse { axes: vec![i % 3] }, &[x]);
        let turned = g.transpose(x, &[1, 2, 0]);
        let sum = g.plus(reversed, turned);
        x = g.must(op::Slice { start: vec![0; 3], limit: vec![2; 3], step: vec![1; 3] }, &[sum]);
    }
    output(g, x);
}

fn eight_dimensions(g: &mut Graph) {
    let x = inputs(g, 2, Type::new(DType::F32, [2, 1, 3, 2, 1, 2, 3, 2]));
    let y = g.transpose(x[1], &[7, 4, 2, 3, 1, 5, 6, 0]);
    let y = g.plus(x[0], y);
    let sum = g.sum(y, &[1, 3, 6]);
    output(g, y);
    output(g, sum);
}

fn check(name: &str, build: fn(&mut Graph)) {
    let mut g = Graph::new();
    build(&mut g);
    let sources = random_inputs(&g, 1, false);
    let failures: Vec<String> = [agree, optimized_agrees]
        .into_iter()
        .filter_map(|way| passes(way, &g, &sources).err())
        .map(|e| format!("{name}: {}", e.chars().take(3000).collect::<String>()))
        .collect();
    no_failures(&failures);
}

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        mod graphs_of {
            $(#[test]
            fn $name() {
                super::check(stringify!($name), super::$name);
            })*
        }
    };
}

tests!(
    many_operands,
    many_reductions,
    many_siblings,
    long_concatenation,
    many_outputs,
    many_states,
    long_chain,
    doubling,
    eight_dimensions,
);
