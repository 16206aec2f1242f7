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

#[test]
fn gradients_of_normalisation_are_short() {
    for (name, axes) in [("layer_norm", 1), ("batch_norm", 0)] {
        let graph = layer_norm(128, 64, &[axes], DType::F32);
        let (result, report) = optimize(&graph, &Config::default()).unwrap();
        println!("{graph}\n{result}\n{report}");
        check(&layer_norm(6, 8, &[axes], DType::F64));
        let reductions = result.ids().filter(|&id| matches!(result.node(id).op, Op::Reduce(_))).count();
        assert_eq!(reductions, 0, "{name}");
    }
}
