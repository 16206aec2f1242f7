//! What is left of the gradients of normalisation.

use bespoke_graph::{Graph, NodeId, Op, op::Unary};
use bespoke_tensor::{DType, Type};

use super::decisions::check;
use crate::{Config, optimize};

/// x normalised over axes, as `nn` spells it: c·rsqrt(mean c² + ε) with c = x − mean x.
fn standardized(g: &mut Graph, x: NodeId, axes: &[usize]) -> NodeId {
    let ty = g.ty(x);
    let count: usize = axes.iter().map(|&a| ty.shape[a]).product();
    let mean = |g: &mut Graph, v: NodeId| {
        let sum = g.sum(v, axes);
        let share = g.fill_like(sum, 1.0 / count as f64);
        g.times(sum, share)
    };
    let m = mean(g, x);
    let wide = g.unreduce(m, ty.shape, axes);
    let centred = g.minus(x, wide);
    let square = g.times(centred, centred);
    let variance = mean(g, square);
    let eps = g.fill_like(variance, 1e-5);
    let above = g.plus(variance, eps);
    let scale = g.unary(Unary::Rsqrt, above);
    let wide = g.unreduce(scale, ty.shape, axes);
    g.times(centred, wide)
}

/// y = x̂·w + b with cotangent dy, and the gradients of x, w and b.
fn layer_norm(rows: usize, width: usize, axes: &[usize], dtype: DType) -> Graph {
    let mut g = Graph::new();
    let ty = Type::new(dtype, [rows, width]);
    let x = g.input("x", ty).unwrap();
    let cotangent = g.input("dy", ty).unwrap();
    let per_feature = Type::new(dtype, [width]);
    let (w, b) = (g.state("w", per_feature).unwrap(), g.state("b", per_feature).unwrap());
    let normal = standardized(&mut g, x, axes);
    let (wide_w, wide_b) = (g.broadcast(w, ty.shape, &[1]), g.broadcast(b, ty.shape, &[1]));
    let scaled = g.times(normal, wide_w);
    let y = g.plus(scaled, wide_b);
    let product = g.times(y, cotangent);
    let loss = g.sum_all(product);
    let gradients = bespoke_autodiff::grad(&mut g, loss, &[x, w, b]).unwrap();
    g.set_output("y", y).unwrap();
    for (name, d) in ["dx", "dw", "db"].into_iter().zip(gradients) {
        g.set_output(name, d).unwrap();
    }
    g
}

/// How many sums over the data come one after another on the way to dx: each waits for the one before.
fn passes(graph: &Graph) -> usize {
    let mut depth = vec![0; graph.len()];
    for id in graph.ids() {
        let node = graph.node(id);
        let is_pass = matches!(node.op, Op::Reduce(_)) && graph.ty(node.inputs[0]).rank() > 1;
        let before = node.inputs.iter().map(|i| depth[i.index()]).max().unwrap_or(0);
        depth[id.index()] = before + usize::from(is_pass);
    }
    depth[graph.output("dx").unwrap().index()]
}

#[test]
fn gradients_of_normalisation_take_one_pass() {
    for (name, axis, sums) in [("layer_norm", 1, 6), ("batch_norm", 0, 4)] {
        let graph = layer_norm(128, 60, &[axis], DType::F32);
        assert_eq!(
            passes(&graph),
            3,
            "the mean, the variance beside a sum of the gradient, another sum of it"
        );
        let (result, _) = optimize(&graph, &Config::default()).unwrap();
        assert_eq!(passes(&result), 2, "with the variance, all sums of the gradient are taken:\n{result}");
        let reductions = result.ids().filter(|&id| matches!(result.node(id).op, Op::Reduce(_))).count();
        assert_eq!(reductions, sums, "{name}:\n{result}");
        insta::assert_snapshot!(name, result);
        check(&layer_norm(6, 7, &[axis], DType::F64));
    }
}
