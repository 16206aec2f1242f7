//! Loops are taken apart where that is cheaper, and mean the same.

use bespoke_graph::{Body, Graph, NodeId, Op, op, op::Binary, op::Scan, op::Unary};
use bespoke_tensor::{DType, Type};

use super::{Random, difference, run, sources};
use crate::{Config, loops, optimize};

const STEPS: usize = 5;

fn f64(dims: &[usize]) -> Type {
    Type { dtype: DType::F64, shape: bespoke_tensor::Shape::new(dims).unwrap() }
}

fn scan(body: Graph, carried: usize, stepped: usize, reverse: bool) -> Scan {
    Scan { body: Body::new(body), length: STEPS, carried, stepped, reverse, recompute: false, result: 0 }
}

fn check(graph: &Graph, expected: [usize; 2]) -> Graph {
    let behind = loops::sums_behind(graph).unwrap_or_else(|| graph.clone());
    let split = loops::fission(&behind).unwrap_or(behind);
    assert_eq!([loops::count(graph), loops::count(&split)], expected, "{graph}\n{split}");
    for result in [split.clone(), optimize(graph, &Config::default()).unwrap().0] {
        let violations = bespoke_graph::verify(&result);
        assert!(violations.is_empty(), "{violations:?}\n{result}");
        let values = sources(graph, &mut Random(3), false);
        let (a, b) = (run(graph, &values), run(&result, &values));
        for (name, value) in &a.outputs {
            assert_eq!(difference(value, &b.outputs[name], 1e-9), None, "{name}\n{graph}\n{result}");
        }
    }
    split
}

/// h ← tanh(x·w + h·u), and the sums Σ xᵀ·h and Σ h of all steps, in either direction.
fn recurrent(reverse: bool) -> Graph {
    let mut b = Graph::new();
    let h = b.input("h", f64(&[2, 3])).unwrap();
    let product = b.input("product", f64(&[4, 3])).unwrap();
    let total = b.input("total", f64(&[2, 3])).unwrap();
    let x = b.input("x", f64(&[2, 4])).unwrap();
    let w = b.input("w", f64(&[4, 3])).unwrap();
    let u = b.input("u", f64(&[3, 3])).unwrap();
    let (xw, hu) = (b.matmul(x, w), b.matmul(h, u));
    let sum = b.plus(xw, hu);
    let next = b.unary(Unary::Tanh, sum);
    let outer = b.must(op::Dot { batch: (vec![], vec![]), contract: (vec![0], vec![0]) }, &[x, next]);
    let product = b.plus(product, outer);
    let total = b.plus(next, total);
    for (name, id) in [("h", next), ("product", product), ("total", total), ("each", next)] {
        b.set_output(name, id).unwrap();
    }
    let scan = scan(b, 3, 1, reverse);
    let mut g = Graph::new();
    let start = [[2, 3], [4, 3], [2, 3]].map(|dims| {
        let name = format!("start{}", g.len());
        g.input(&name, f64(&dims)).unwrap()
    });
    let x = g.input("x", f64(&[STEPS, 2, 4])).unwrap();
    let w = g.input("w", f64(&[4, 3])).unwrap();
    let u = g.input("u", f64(&[3, 3])).unwrap();
    for result in 0..4 {
        let id = g.must(scan.of_result(result), &[start[0], start[1], start[2], x, w, u]);
        g.set_output(&format!("y{result}"), id).unwrap();
    }
    g
}

#[test]
fn a_sum_of_products_leaves_a_recurrent_loop() {
    for reverse in [false, true] {
        let split = check(&recurrent(reverse), [1, 1]);
        let dots = |graph: &Graph| graph.ids().filter(|&id| matches!(graph.node(id).op, Op::Dot(_))).count();
        assert_eq!(dots(&split), 1, "behind the loop:\n{split}");
        let id = split.ids().find(|&id| matches!(split.node(id).op, Op::Scan(_))).unwrap();
        let Op::Scan(scan) = &split.node(id).op else { unreachable!() };
        assert_eq!((scan.carried, dots(&scan.body)), (2, 2), "{split}");
    }
}

/// Σ xᵀ·w·x and Σ w of all steps: sums alone go from step to step.
#[test]
fn sums_are_added_up_at_once() {
    for reverse in [false, true] {
        let mut b = Graph::new();
        let total = b.input("total", f64(&[4, 4])).unwrap();
        let same = b.input("same", f64(&[4, 4])).unwrap();
        let x = b.input("x", f64(&[2, 4])).unwrap();
        let w = b.input("w", f64(&[4, 4])).unwrap();
        let xw = b.matmul(x, w);
        let outer = b.must(op::Dot { batch: (vec![], vec![]), contract: (vec![0], vec![0]) }, &[x, xw]);
        let total = b.plus(total, outer);
        let same = b.plus(w, same);
        for (name, id) in [("total", total), ("same", same), ("each", xw)] {
            b.set_output(name, id).unwrap();
        }
        let scan = scan(b, 2, 1, reverse);
        let mut g = Graph::new();
        let start = g.input("start", f64(&[4, 4])).unwrap();
        let x = g.input("x", f64(&[STEPS, 2, 4])).unwrap();
        let w = g.input("w", f64(&[4, 4])).unwrap();
        for result in 0..3 {
            let id = g.must(scan.of_result(result), &[start, start, x, w]);
            g.set_output(&format!("y{result}"), id).unwrap();
        }
        check(&g, [1, 0]);
    }
}

/// A loop without carried values: each operator that has a form for all steps.
#[test]
fn a_loop_of_independent_steps_is_none() {
    let mut b = Graph::new();
    let x = b.input("x", f64(&[2, 3])).unwrap();
    let w = b.input("w", f64(&[3, 4])).unwrap();
    let step = b.input("step", Type::new(DType::I32, [])).unwrap();
    let values: Vec<NodeId> = vec![
        b.matmul(x, w),
        b.must(op::Dot { batch: (vec![1], vec![0]), contract: (vec![], vec![]) }, &[x, w]),
        b.must(op::Dot { batch: (vec![0], vec![1]), contract: (vec![], vec![]) }, &[w, x]),
        b.must(op::Dot { batch: (vec![0], vec![0]), contract: (vec![1], vec![1]) }, &[x, x]),
        b.transpose(x, &[1, 0]),
        b.reshape(x, [6].into()),
        b.broadcast(x, [2, 2, 3].into(), &[0, 2]),
        b.must(op::Slice { start: vec![0, 1], limit: vec![2, 3], step: vec![1, 2] }, &[x]),
        b.must(op::Concatenate { axis: 1 }, &[x, x]),
        b.must(op::Reverse { axes: vec![1] }, &[x]),
        b.sum(x, &[0]),
        b.unary(Unary::Exp, w),
        {
            let all = b.broadcast(step, [2, 3].into(), &[]);
            let counter = b.must(op::Iota { ty: Type::new(DType::I32, [2, 3]), axis: 1 }, &[]);
            let here = b.binary(Binary::Eq, counter, all);
            let zero = b.fill_like(x, 0.0);
            b.select(here, x, zero)
        },
    ];
    for (i, &id) in values.iter().enumerate() {
        b.set_output(&i.to_string(), id).unwrap();
    }
    let scan = scan(b, 0, 1, false);
    let mut g = Graph::new();
    let x = g.input("x", f64(&[STEPS, 2, 3])).unwrap();
    let w = g.input("w", f64(&[3, 4])).unwrap();
    let step = g.input("step", Type::new(DType::I32, [])).unwrap();
    for result in 0..values.len() {
        let id = g.must(scan.of_result(result), &[x, w, step]);
        g.set_output(&format!("y{result}"), id).unwrap();
    }
    check(&g, [1, 0]);
}
