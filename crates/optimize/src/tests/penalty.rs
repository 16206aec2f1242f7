//! The contractive penalty Σ ‖∂h/∂x‖² of h = σ(x·W + b) (Rifai et al. 2011), however it is spelled, is Σ (h(1 − h))² · ΣW², without
//! a Jacobian in memory, and so is its gradient.

use bespoke_graph::{Graph, NodeId, op, op::Binary, op::Dot, op::Unary};
use bespoke_tensor::{DType, Type};

use super::{Random, difference, run, sources};
use crate::{Config, Machine, cost, optimize};

const EXAMPLES: usize = 8;
const PIXELS: usize = 60;
const CODE: usize = 20;

/// h(1 − h), and what it is made of.
struct Code {
    x: NodeId,
    h: NodeId,
    w: NodeId,
    b: NodeId,
    slope: NodeId,
}

fn code(g: &mut Graph) -> Code {
    let ty = |dims: &[usize]| Type { dtype: DType::F64, shape: bespoke_tensor::Shape::new(dims).unwrap() };
    let x = g.input("x", ty(&[EXAMPLES, PIXELS])).unwrap();
    let w = g.state("w", ty(&[PIXELS, CODE])).unwrap();
    let b = g.state("b", ty(&[CODE])).unwrap();
    let z = g.matmul(x, w);
    let wide = g.broadcast(b, [EXAMPLES, CODE].into(), &[1]);
    let z = g.plus(z, wide);
    let h = g.unary(Unary::Sigmoid, z);
    let one = g.fill_like(h, 1.0);
    let rest = g.minus(one, h);
    let slope = g.times(h, rest);
    Code { x, h, w, b, slope }
}

/// 1 where two counters are equal.
fn unit(g: &mut Graph, n: usize) -> NodeId {
    let ty = Type::new(DType::I32, [n, n]);
    let [a, b] = [0, 1].map(|axis| g.must(op::Iota { ty, axis }, &[]));
    let equal = g.binary(Binary::Eq, a, b);
    g.convert(equal, DType::F64)
}

/// ∂hⱼ/∂xᵢ of each example as [example, j, i], by a product.
fn product(g: &mut Graph, c: &Code) -> NodeId {
    let shape = [EXAMPLES, CODE, PIXELS].into();
    let slope = g.broadcast(c.slope, shape, &[0, 1]);
    let transposed = g.transpose(c.w, &[1, 0]);
    let w = g.broadcast(transposed, shape, &[1, 2]);
    g.times(slope, w)
}

/// With the axes in another order, and the factors too.
fn permuted(g: &mut Graph, c: &Code) -> NodeId {
    let shape = [PIXELS, EXAMPLES, CODE].into();
    let w = g.must(op::Broadcast { shape: [EXAMPLES, PIXELS, CODE].into(), axes: vec![1, 2] }, &[c.w]);
    let w = g.transpose(w, &[1, 0, 2]);
    let slope = g.broadcast(c.slope, shape, &[1, 2]);
    g.times(w, slope)
}

/// Row by row, as reverse mode has it: each unit vector, times the slope, times Wᵀ.
fn by_rows(g: &mut Graph, c: &Code) -> NodeId {
    let units = unit(g, CODE);
    let shape = [CODE, EXAMPLES, CODE].into();
    let units = g.broadcast(units, shape, &[0, 2]);
    let slope = g.broadcast(c.slope, shape, &[1, 2]);
    let rows = g.times(units, slope);
    g.must(Dot { batch: (vec![], vec![]), contract: (vec![2], vec![1]) }, &[rows, c.w])
}

/// Column by column, as forward mode has it: each unit vector, times W, times the slope.
fn by_columns(g: &mut Graph, c: &Code) -> NodeId {
    let units = unit(g, PIXELS);
    let shape = [PIXELS, EXAMPLES, PIXELS].into();
    let units = g.broadcast(units, shape, &[0, 2]);
    let columns = g.must(Dot { batch: (vec![], vec![]), contract: (vec![2], vec![0]) }, &[units, c.w]);
    let slope = g.broadcast(c.slope, [PIXELS, EXAMPLES, CODE].into(), &[1, 2]);
    g.times(slope, columns)
}

/// By the compiler's own derivative, a loop over rows.
fn by_loop(g: &mut Graph, c: &Code) -> NodeId {
    bespoke_autodiff::batch_jacobian(g, c.h, c.x).unwrap()
}

/// Σ J².
fn square(g: &mut Graph, j: NodeId) -> NodeId {
    let square = g.times(j, j);
    g.sum_all(square)
}

/// Σ J², one axis after the other.
fn axis_by_axis(g: &mut Graph, j: NodeId) -> NodeId {
    let mut sum = g.times(j, j);
    for axis in [1, 0, 0] {
        sum = g.sum(sum, &[axis]);
    }
    sum
}

/// Σ J² as a product of J with itself.
fn by_dot(g: &mut Graph, j: NodeId) -> NodeId {
    let all: Vec<usize> = vec![0, 1, 2];
    g.must(Dot { batch: (vec![], vec![]), contract: (all.clone(), all) }, &[j, j])
}

type Jacobian = fn(&mut Graph, &Code) -> NodeId;
type Norm = fn(&mut Graph, NodeId) -> NodeId;

const SPELLINGS: [(&str, Jacobian, Norm); 8] = [
    ("product", product, square),
    ("permuted", permuted, square),
    ("rows", by_rows, square),
    ("columns", by_columns, square),
    ("axis by axis", product, axis_by_axis),
    ("dot", permuted, by_dot),
    ("rows, dot", by_rows, by_dot),
    ("loop", by_loop, square),
];

fn penalty(jacobian: Jacobian, norm: Norm, gradient: bool) -> Graph {
    let mut g = Graph::new();
    let c = code(&mut g);
    let j = jacobian(&mut g, &c);
    let penalty = norm(&mut g, j);
    g.set_output("penalty", penalty).unwrap();
    if gradient {
        let d = bespoke_autodiff::grad(&mut g, penalty, &[c.w, c.b]).unwrap();
        g.set_output("d_w", d[0]).unwrap();
        g.set_output("d_b", d[1]).unwrap();
    }
    g
}

#[test]
fn the_penalty_is_short_in_every_spelling() {
    for gradient in [false, true] {
        let mut costs = vec![];
        for (name, jacobian, norm) in SPELLINGS {
            let graph = penalty(jacobian, norm, gradient);
            let (result, report) = optimize(&graph, &Config::default()).unwrap();
            let largest = result.ids().map(|id| result.ty(id).elements()).max().unwrap();
            assert!(largest <= PIXELS * CODE, "{name}, gradient {gradient}: {largest}\n{result}\n{report}");
            let values = sources(&graph, &mut Random(5), false);
            let (a, b) = (run(&graph, &values), run(&result, &values));
            for (output, value) in &a.outputs {
                assert_eq!(difference(value, &b.outputs[output], 1e-9), None, "{name}, {output}\n{result}");
            }
            costs.push((name, cost::graph(&Machine::fixed(), &result).round()));
        }
        assert!(costs.iter().all(|c| c.1 == costs[0].1), "gradient {gradient}: {costs:?}");
    }
    let (result, _) = optimize(&penalty(by_rows, square, false), &Config::default()).unwrap();
    insta::assert_snapshot!("penalty", result);
    let (result, _) = optimize(&penalty(by_rows, square, true), &Config::default()).unwrap();
    insta::assert_snapshot!("penalty_gradient", result);
}
