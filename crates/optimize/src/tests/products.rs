//! What is decided about dots and convolutions, for graphs that a person can judge.

use bespoke_graph::{Graph, NodeId, Op, op, op::Binary, op::Convolution, op::Dot, op::Unary};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

use super::decisions::{check, text as report_text};
use crate::{Config, optimize};

fn f32(shape: impl Into<bespoke_tensor::Shape>) -> Type {
    Type::new(DType::F32, shape)
}

/// A parameter: a state, or a constant as in a query of frozen weights.
fn parameter(g: &mut Graph, name: &str, ty: Type, frozen: bool) -> NodeId {
    if !frozen {
        return g.state(name, ty).unwrap();
    }
    let seed = name.bytes().fold(0, |sum, b| sum * 3 + usize::from(b));
    // Positive, as variances are.
    let value = Tensor::from_fn(ty, |k| Scalar::F64(((k * 7 + seed) % 13 + 1) as f64 * 0.03));
    g.must(op::Constant { value }, &[])
}

fn count(graph: &Graph, is: fn(&Op) -> bool) -> usize {
    let live = graph.live();
    graph.ids().filter(|id| live[id.index()] && is(&graph.node(*id).op)).count()
}

/// Without the numbers of constants.
fn text(graph: &Graph) -> String {
    let line = |line: &str| match line.split_once("values=(").map(|(a, b)| (a, b.rsplit_once(')'))) {
        Some((before, Some((_, after)))) => format!("{before}values=(…){after}\n"),
        _ => format!("{line}\n"),
    };
    graph.to_string().lines().map(line).collect()
}

fn convolutions(graph: &Graph) -> usize {
    count(graph, |op| matches!(op, Op::Convolution(_)))
}

fn dots(graph: &Graph) -> usize {
    count(graph, |op| matches!(op, Op::Dot(_)))
}

fn relu(g: &mut Graph, x: NodeId) -> NodeId {
    let zero = g.fill_like(x, 0.0);
    g.binary(Binary::Max, x, zero)
}

/// Convolution, batch norm of frozen statistics, ReLU, as `nn` builds them for a query.
fn conv_bn_relu(g: &mut Graph, x: NodeId, name: &str, kernel: [usize; 4], frozen: bool) -> NodeId {
    let w = parameter(g, &format!("{name}/weight"), f32(kernel), frozen);
    let padding = kernel[2] / 2;
    let y = g.must(Convolution::new(&[1, 1], &[padding, padding]), &[x, w]);
    let shape = g.ty(y).shape;
    let [mean, variance, weight, bias] = ["positive_mean", "positive_variance", "bn_weight", "bn_bias"]
        .map(|p| parameter(g, &format!("{p}/{name}"), f32([kernel[0]]), frozen));
    let eps = g.fill_like(variance, 1e-5);
    let above = g.plus(variance, eps);
    let scale = g.unary(Unary::Rsqrt, above);
    let wide = |g: &mut Graph, v| g.broadcast(v, shape, &[1]);
    let (mean, scale, weight, bias) = (wide(g, mean), wide(g, scale), wide(g, weight), wide(g, bias));
    let centred = g.minus(y, mean);
    let normal = g.times(centred, scale);
    let scaled = g.times(normal, weight);
    let y = g.plus(scaled, bias);
    relu(g, y)
}

#[test]
fn batch_norm_of_frozen_statistics_folds_into_the_convolution() {
    for frozen in [true, false] {
        let mut g = Graph::new();
        let x = g.input("x", f32([8, 16, 14, 14])).unwrap();
        let y = conv_bn_relu(&mut g, x, "conv", [24, 16, 3, 3], frozen);
        g.set_output("y", y).unwrap();
        let result = check(&g);
        assert_eq!(convolutions(&result), 1, "{}", text(&result));
        let wide = result.ids().filter(|&id| result.ty(id) == g.ty(y));
        let wide: Vec<&str> = wide.map(|id| op_name(&result, id)).filter(|n| *n != "broadcast").collect();
        assert_eq!(wide, ["convolution", "add", "max"], "bias and ReLU are left:\n{}", text(&result));
        insta::assert_snapshot!(if frozen { "frozen_conv_bn_relu" } else { "conv_bn_relu" }, text(&result));
    }
}

fn op_name(graph: &Graph, id: NodeId) -> &'static str {
    use bespoke_graph::Operator;
    graph.node(id).op.name()
}

/// The branches of an inception module that begin with 1×1 convolutions (Szegedy et al. 2014, 3a), of an image of 192 features.
fn inception(frozen: bool) -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", f32([1, 192, 28, 28])).unwrap();
    let [single, reduce3, reduce5] = [("single", 64), ("reduce3", 96), ("reduce5", 16)]
        .map(|(name, features)| conv_bn_relu(&mut g, x, name, [features, 192, 1, 1], frozen));
    let conv3 = conv_bn_relu(&mut g, reduce3, "conv3", [128, 96, 3, 3], frozen);
    let conv5 = conv_bn_relu(&mut g, reduce5, "conv5", [32, 16, 5, 5], frozen);
    let y = g.must(op::Concatenate { axis: 1 }, &[single, conv3, conv5]);
    g.set_output("y", y).unwrap();
    g
}

#[test]
fn the_1x1_convolutions_of_an_inception_module_are_one() {
    let graph = inception(true);
    let (result, report) = optimize(&graph, &Config::default()).unwrap();
    assert_eq!(convolutions(&result) + dots(&result), 3, "one for three 1×1:\n{report}");
    let rules: Vec<&str> = report.found.iter().flat_map(|f| f.rules.clone()).collect();
    assert!(rules.contains(&"merge/convolutions"), "{report}");
    insta::assert_snapshot!("inception_report", report_text(&report));
}

/// Queries, keys and values of one activation, with biases, and what attention makes of them, but for the softmax.
fn attention(rows: usize, width: usize, frozen: bool) -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", f32([rows, width])).unwrap();
    let [q, k, v] = ["q", "k", "v"].map(|name| {
        let w = parameter(&mut g, &format!("{name}/weight"), f32([width, width]), frozen);
        let b = parameter(&mut g, &format!("{name}/bias"), f32([width]), frozen);
        let y = g.matmul(x, w);
        let wide = g.broadcast(b, [rows, width].into(), &[1]);
        g.plus(y, wide)
    });
    let scores = g.must(Dot { batch: (vec![], vec![]), contract: (vec![1], vec![1]) }, &[q, k]);
    let squashed = g.unary(Unary::Tanh, scores);
    let y = g.matmul(squashed, v);
    g.set_output("y", y).unwrap();
    g
}

#[test]
fn queries_keys_and_values_are_one_product() {
    let (result, report) = optimize(&attention(128, 64, true), &Config::default()).unwrap();
    assert_eq!(dots(&result), 3, "one for queries, keys and values:\n{report}");
    insta::assert_snapshot!("attention_report", report_text(&report));
    check(&attention(16, 8, true));
    // Weights that are states are put side by side in each step, which costs less than packing the activation three times.
    let (result, report) = optimize(&attention(128, 64, false), &Config::default()).unwrap();
    assert_eq!(dots(&result), 3, "{report}");
}

/// Linear units one after the other; weights are states, or constants.
fn linear_units(batch: usize, widths: &[usize], frozen: bool) -> Graph {
    let mut g = Graph::new();
    let mut h = g.input("x", f32([batch, widths[0]])).unwrap();
    for (i, pair) in widths.windows(2).enumerate() {
        let w = parameter(&mut g, &format!("dense{i}/weight"), f32([pair[0], pair[1]]), frozen);
        let b = parameter(&mut g, &format!("dense{i}/bias"), f32([pair[1]]), frozen);
        h = g.matmul(h, w);
        let wide = g.broadcast(b, [batch, pair[1]].into(), &[1]);
        h = g.plus(h, wide);
    }
    g.set_output("y", h).unwrap();
    g
}

/// L05: composition of linear units is a linear unit, where that is cheaper.
#[test]
fn two_linear_units_are_one_for_many_rows() {
    for (name, batch, widths) in [
        ("linear_units_for_many_rows", 8192, [784, 512, 512]),
        ("linear_units_for_few_rows", 128, [784, 512, 512]),
        ("linear_units_with_a_waist", 8192, [784, 8, 784]),
    ] {
        let (result, _) = optimize(&linear_units(batch, &widths, false), &Config::default()).unwrap();
        insta::assert_snapshot!(name, text(&result));
    }
    for batch in [1, 128, 65536] {
        let (result, report) =
            optimize(&linear_units(batch, &[784, 8, 784], false), &Config::default()).unwrap();
        assert!(result.ids().all(|id| result.ty(id).shape[..] != [784, 784]), "the waist is gone:\n{report}");
    }
}

#[test]
fn a_query_of_linear_units_is_one_dot() {
    for batch in [1, 128] {
        let (result, report) =
            optimize(&linear_units(batch, &[64, 32, 48, 10], true), &Config::default()).unwrap();
        assert_eq!(dots(&result), 1, "{report}");
        let (result, report) =
            optimize(&linear_units(batch, &[784, 8, 784], true), &Config::default()).unwrap();
        assert_eq!(dots(&result), 2, "the waist is cheaper:\n{report}");
    }
    check(&linear_units(5, &[12, 7, 9, 4], true));
}

#[test]
fn transposes_around_convolutions_vanish() {
    let is_transpose = |op: &Op| matches!(op, Op::Transpose(_));
    // Features come last, before a unit of single positions and behind it.
    let mut g = Graph::new();
    let x = g.input("x", f32([8, 16, 16, 32])).unwrap();
    let w = g.state("w", f32([48, 32, 1, 1])).unwrap();
    let first = g.transpose(x, &[0, 3, 1, 2]);
    let y = g.must(Convolution::new(&[1, 1], &[0, 0]), &[first, w]);
    let y = relu(&mut g, y);
    let y = g.transpose(y, &[0, 2, 3, 1]);
    g.set_output("y", y).unwrap();
    let result = check(&g);
    assert_eq!((count(&result, is_transpose), convolutions(&result), dots(&result)), (0, 0, 1), "{result}");

    // Images on their side: the kernel is turned once.
    let mut g = Graph::new();
    let x = g.input("x", f32([8, 16, 24, 24])).unwrap();
    let w = parameter(&mut g, "w", f32([16, 16, 3, 3]), true);
    let side = g.transpose(x, &[0, 1, 3, 2]);
    let y = g.must(Convolution::new(&[1, 2], &[1, 0]), &[side, w]);
    let y = relu(&mut g, y);
    let y = g.transpose(y, &[0, 1, 3, 2]);
    g.set_output("y", y).unwrap();
    let result = check(&g);
    assert_eq!((count(&result, is_transpose), convolutions(&result)), (0, 1), "{result}");
}
