//! What is decided, for graphs that a person can judge.

use bespoke_graph::{Graph, NodeId, Op, Operator, op, op::Binary, op::Unary, parse};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

use super::{Random, difference, run, sources};
use crate::{Config, Machine, Report, Rounding, cost, optimize};

fn f32(shape: impl Into<bespoke_tensor::Shape>) -> Type {
    Type::new(DType::F32, shape)
}

/// Optimises, and checks that the result is equal on random values and not dearer.
pub fn check(graph: &Graph) -> Graph {
    let (result, report) = optimize(graph, &Config::default()).unwrap();
    assert!(report.costs[2] <= report.costs[0], "dearer than its input:\n{graph}\n{result}\n{report}");
    let values = sources(graph, &mut Random(7), false);
    let (a, b) = (run(graph, &values), run(&result, &values));
    for (name, value) in &a.outputs {
        let difference = difference(value, &b.outputs[name], 2e-4);
        assert_eq!(difference, None, "output {name}\n{graph}\n{result}");
    }
    for (name, value) in &a.states {
        assert_eq!(difference(value, &b.states[name], 2e-4), None, "state {name}\n{graph}\n{result}");
    }
    result
}

/// The report, without the number of rules there are.
pub fn text(report: &Report) -> String {
    let tried = report.saturation.as_ref().expect("it was searched").tried;
    report.to_string().replace(&format!("of {tried} rules"), "of all rules")
}

fn dots(graph: &Graph) -> usize {
    let live = graph.live();
    graph.ids().filter(|id| live[id.index()] && matches!(graph.node(*id).op, Op::Dot(_))).count()
}

/// Two linear units one after the other; weights are states, or constants.
pub fn two_units(batch: usize, widths: [usize; 3], biases: bool, constants: bool) -> Graph {
    let mut g = Graph::new();
    let mut h = g.input("x", f32([batch, widths[0]])).unwrap();
    for i in 0..2 {
        let ty = f32([widths[i], widths[i + 1]]);
        let w = if constants {
            let value = Tensor::from_fn(ty, |k| Scalar::F32(((k * 7 + i) % 11) as f32 * 0.01 - 0.05));
            g.must(op::Constant { value }, &[])
        } else {
            g.state(&format!("w{i}"), ty).unwrap()
        };
        h = g.matmul(h, w);
        if biases {
            let b = g.state(&format!("b{i}"), f32([widths[i + 1]])).unwrap();
            let wide = g.broadcast(b, [batch, widths[i + 1]].into(), &[1]);
            h = g.plus(h, wide);
        }
    }
    g.set_output("y", h).unwrap();
    g
}

/// Is nothing of the hidden width left, but the weights?
fn is_composed(batch: usize, widths: [usize; 3], biases: bool, constants: bool) -> bool {
    let graph = two_units(batch, widths, biases, constants);
    let (result, report) = optimize(&graph, &Config::default()).unwrap();
    assert!(cost::graph(&Machine::fixed(), &result) <= cost::graph(&Machine::fixed(), &graph), "{report}");
    assert_eq!(result.inputs().count(), 1);
    let live = result.live();
    let is_hidden = |id: NodeId| {
        matches!(result.node(id).op, Op::Dot(_)) && result.ty(id).shape[..] == [batch, widths[1]]
    };
    !result.ids().any(|id| live[id.index()] && is_hidden(id))
}

#[test]
fn linear_units_compose_when_that_is_cheaper() {
    for biases in [false, true] {
        // A query of frozen weights: one product of weights, in advance.
        assert!(is_composed(1, [784, 64, 10], biases, true), "constants, biases: {biases}");
        // Weights that are states are multiplied in each run, which pays for many rows only.
        assert!(is_composed(128, [784, 512, 10], biases, false), "batch 128, biases: {biases}");
        assert!(!is_composed(1, [784, 512, 10], biases, false), "batch 1, biases: {biases}");
        assert!(is_composed(8192, [784, 512, 500], biases, false), "batch 8192, biases: {biases}");
        assert!(!is_composed(128, [784, 512, 500], biases, false), "batch 128, biases: {biases}");
    }
}

#[test]
fn a_narrow_waist_is_kept_at_any_batch() {
    for batch in [1, 128, 65536] {
        for biases in [false, true] {
            assert!(!is_composed(batch, [784, 8, 784], biases, false), "batch {batch}, biases: {biases}");
        }
    }
    assert!(!is_composed(128, [784, 8, 784], false, true), "constants");
}

#[test]
fn composition_is_equal() {
    for (biases, constants) in [(false, false), (true, false), (true, true)] {
        let result = check(&two_units(64, [24, 32, 3], biases, constants));
        assert!(dots(&result) >= 1);
    }
}

/// −Σ y·log softmax(x), spelled out, and its gradient by x.
pub fn naive_cross_entropy(dims: [usize; 2], one_hot: bool, stable: bool) -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", f32(dims)).unwrap();
    let y = if one_hot {
        let label = g.input("label", Type::new(DType::I32, [dims[0]])).unwrap();
        let counter = g.must(op::Iota { ty: Type::new(DType::I32, dims), axis: 1 }, &[]);
        let spread = g.broadcast(label, dims.into(), &[0]);
        let equal = g.binary(Binary::Eq, counter, spread);
        g.convert(equal, DType::F32)
    } else {
        g.input("y", f32(dims)).unwrap()
    };
    let z = if stable {
        let max = g.reduce(bespoke_loops::Combine::Max, x, &[1]);
        let max = g.must(op::StopGradient, &[max]);
        let wide = g.unreduce(max, dims.into(), &[1]);
        g.minus(x, wide)
    } else {
        x
    };
    let exp = g.unary(Unary::Exp, z);
    let sum = g.sum(exp, &[1]);
    let wide = g.unreduce(sum, dims.into(), &[1]);
    let p = g.over(exp, wide);
    let log = g.unary(Unary::Log, p);
    let product = g.times(y, log);
    let total = g.sum_all(product);
    let loss = g.negate(total);
    let dx = bespoke_autodiff::grad(&mut g, loss, &[x]).unwrap()[0];
    g.set_output("loss", loss).unwrap();
    g.set_output("d_x", dx).unwrap();
    g
}

fn count(graph: &Graph, op: impl Into<Op>) -> usize {
    let op = op.into();
    graph.ids().filter(|&id| graph.node(id).op == op).count()
}

/// The optimised loss −Σ likelihood, with its gradient.
fn trained(mut g: Graph, likelihood: NodeId, x: NodeId) -> Graph {
    let total = g.sum_all(likelihood);
    let loss = g.negate(total);
    let dx = bespoke_autodiff::grad(&mut g, loss, &[x]).unwrap()[0];
    g.set_output("loss", loss).unwrap();
    g.set_output("d_x", dx).unwrap();
    check(&g)
}

#[test]
fn the_gradient_of_a_naive_cross_entropy_is_p_minus_y() {
    for one_hot in [false, true] {
        for stable in [false, true] {
            let result = check(&naive_cross_entropy([5, 4], one_hot, stable));
            assert_eq!(count(&result, Binary::Div), 1, "only the softmax divides:\n{result}");
            let log = result.ids().find(|&id| result.node(id).op == Unary::Log.into()).expect("log of a sum");
            assert_eq!(result.ty(log), f32([5]), "{result}");
        }
    }
    insta::assert_snapshot!("cross_entropy", check(&naive_cross_entropy([128, 10], true, false)));
    let rare = naive_cross_entropy([2, 3], false, false);
    // Where a probability underflows, nothing is NaN.
    let (result, _) = optimize(&rare, &Config::default()).unwrap();
    let mut values = sources(&rare, &mut Random(3), false);
    values.insert(
        "x".to_owned(),
        Tensor::from_vec([2, 3], vec![0.0f32, -200.0, 1.0, 80.0, -80.0, 0.0]).unwrap(),
    );
    let after = run(&result, &values);
    assert!(after.outputs["d_x"].scalars().all(|v| v.to_f64().is_finite()), "{after:?}");
    assert!(run(&rare, &values).outputs["d_x"].scalars().any(|v| v.to_f64().is_nan()), "the naive one is");
}

#[test]
fn log_sigmoid_and_its_gradient_are_stable() {
    let mut g = Graph::new();
    let x = g.input("x", f32([6])).unwrap();
    let (negative, one) = (g.negate(x), g.fill_like(x, 1.0));
    let exp = g.unary(Unary::Exp, negative);
    let below = g.plus(one, exp);
    let s = g.over(one, below);
    let log = g.unary(Unary::Log, s);
    let result = trained(g, log, x);
    assert_eq!(count(&result, Binary::Div), 0, "{result}");
    assert_eq!(count(&result, Unary::Exp), 0, "{result}");
    insta::assert_snapshot!("log_sigmoid", result);
}

/// σ(−x) is not 1 − σ(x), which has no digits left where σ(x) is nearly 1, though it would save a function.
#[test]
fn a_small_sigmoid_keeps_its_digits_beside_a_large_one() {
    let mut g = Graph::new();
    let x = g.input("x", f32([3])).unwrap();
    let negative = g.negate(x);
    for (name, at) in [("large", x), ("small", negative)] {
        let y = g.unary(Unary::Sigmoid, at);
        g.set_output(name, y).unwrap();
    }
    let result = check(&g);
    assert_eq!(count(&result, Unary::Sigmoid), 2, "{result}");
    let at = Tensor::from_slice([3], &[12.0f32, 20.0, 50.0]).unwrap();
    let small = run(&result, &[("x".to_owned(), at)].into()).outputs["small"].to_vec::<f32>().unwrap();
    for (got, x) in small.iter().zip([12.0f64, 20.0, 50.0]) {
        let expected = 1.0 / (1.0 + x.exp());
        assert!((f64::from(*got) / expected - 1.0).abs() < 1e-6, "{got}, expected {expected}");
    }
}

#[test]
fn the_gradient_of_a_naive_binary_cross_entropy_divides_by_nothing() {
    let mut g = Graph::new();
    let x = g.input("x", f32([6])).unwrap();
    let t = g.input("positive_target", f32([6])).unwrap();
    let one = g.fill_like(x, 1.0);
    let s = g.unary(Unary::Sigmoid, x);
    let (rest, other) = (g.minus(one, s), g.minus(one, t));
    let (a, b) = (g.unary(Unary::Log, s), g.unary(Unary::Log, rest));
    let (ta, ub) = (g.times(t, a), g.times(other, b));
    let sum = g.plus(ta, ub);
    let result = trained(g, sum, x);
    assert_eq!(count(&result, Binary::Div), 0, "{result}");
    assert_eq!(count(&result, Unary::Log), 0, "{result}");
    insta::assert_snapshot!("binary_cross_entropy", result);
}

/// A linear unit under L₂, one sample: w ← w − ηδx.
fn delta_rule() -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", f32([1, 3])).unwrap();
    let target = g.input("target", f32([1, 2])).unwrap();
    let w = g.state("w", f32([3, 2])).unwrap();
    let y = g.matmul(x, w);
    let delta = g.minus(y, target);
    let square = g.times(delta, delta);
    let sum = g.sum_all(square);
    let half = g.scalar(0.5f32);
    let loss = g.times(half, sum);
    g.set_output("loss", loss).unwrap();
    let dw = bespoke_autodiff::grad(&mut g, loss, &[w]).unwrap()[0];
    let eta = g.fill_like(w, 0.1);
    let step = g.times(eta, dw);
    let next = g.minus(w, step);
    g.set_next(w, next).unwrap();
    g
}

#[test]
fn the_delta_rule_reads_as_in_the_lecture() {
    let result = check(&delta_rule());
    assert_eq!(dots(&result), 1, "the outer product fuses into the update:\n{result}");
    insta::assert_snapshot!("delta_rule", result);
}

/// A network of dense layers with ReLU, cross-entropy as above, and SGD with momentum.
pub fn mlp(batch: usize, widths: &[usize]) -> Graph {
    let mut g = Graph::new();
    let x = g.input("image", f32([batch, widths[0]])).unwrap();
    let classes = *widths.last().unwrap();
    let label = g.input("label", Type::new(DType::I32, [batch])).unwrap();
    let mut parameters: Vec<NodeId> = vec![];
    let mut h = x;
    for (i, pair) in widths.windows(2).enumerate() {
        let w = g.state(&format!("dense{i}/weight"), f32([pair[0], pair[1]])).unwrap();
        let b = g.state(&format!("dense{i}/bias"), f32([pair[1]])).unwrap();
        parameters.extend([w, b]);
        h = g.matmul(h, w);
        let wide = g.broadcast(b, [batch, pair[1]].into(), &[1]);
        h = g.plus(h, wide);
        if i + 2 < widths.len() {
            let zero = g.fill_like(h, 0.0);
            h = g.binary(Binary::Max, h, zero);
        }
    }
    let dims = [batch, classes];
    let max = g.reduce(bespoke_loops::Combine::Max, h, &[1]);
    let max = g.must(op::StopGradient, &[max]);
    let max = g.unreduce(max, dims.into(), &[1]);
    let z = g.minus(h, max);
    let exp = g.unary(Unary::Exp, z);
    let sum = g.sum(exp, &[1]);
    let log = g.unary(Unary::Log, sum);
    let log = g.unreduce(log, dims.into(), &[1]);
    let log_p = g.minus(z, log);
    let counter = g.must(op::Iota { ty: Type::new(DType::I32, dims), axis: 1 }, &[]);
    let spread = g.broadcast(label, dims.into(), &[0]);
    let equal = g.binary(Binary::Eq, counter, spread);
    let y = g.convert(equal, DType::F32);
    let product = g.times(y, log_p);
    let total = g.sum_all(product);
    let scale = g.scalar(-1.0f32 / batch as f32);
    let loss = g.times(total, scale);
    g.set_output("loss", loss).unwrap();
    let gradients = bespoke_autodiff::grad(&mut g, loss, &parameters).unwrap();
    for (i, (&p, &d)) in parameters.iter().zip(&gradients).enumerate() {
        let v = g.state(&format!("velocity{i}"), g.ty(p)).unwrap();
        let (mu, eta) = (g.fill_like(p, 0.9), g.fill_like(p, 0.1));
        let kept = g.times(mu, v);
        let velocity = g.plus(kept, d);
        let step = g.times(eta, velocity);
        let next = g.minus(p, step);
        g.set_next(v, velocity).unwrap();
        g.set_next(p, next).unwrap();
    }
    g
}

#[test]
fn a_training_step_of_a_network() {
    let result = check(&mlp(4, &[6, 5, 3]));
    insta::assert_snapshot!("mlp", result);
    let (_, report) = optimize(&mlp(128, &[784, 256, 10]), &Config::default()).unwrap();
    insta::assert_snapshot!("mlp_report", text(&report));
}

#[test]
fn the_report_says_what_was_found() {
    let (_, report) = optimize(&two_units(128, [784, 512, 10], true, false), &Config::default()).unwrap();
    insta::assert_snapshot!("composition_report", text(&report));
}

#[test]
fn large_graphs_are_searched_by_regions() {
    let graph = mlp(4, &[5; 200]);
    let result = check(&graph);
    let (_, report) = optimize(&graph, &Config::default()).unwrap();
    assert!(graph.len() > 4000 && report.regions > 4, "{report}");
    assert!(result.len() <= graph.len(), "{report}");
    // Two linear units in the midst of it are still composed.
    let mut g = mlp(4, &[5; 200]);
    let mut h = g.input("h", f32([1000, 40])).unwrap();
    for i in 0..2 {
        let w = g.input(&format!("u{i}"), f32([40, 40])).unwrap();
        h = g.matmul(h, w);
    }
    g.set_output("h", h).unwrap();
    let (result, report) = optimize(&g, &Config::default()).unwrap();
    assert!(report.found.iter().any(|f| f.rules.contains(&"linear/compose")), "{report}");
    assert!(bespoke_graph::verify(&result).is_empty());
}

#[test]
fn finiteness_is_assumed_on_request_only() {
    let mut g = Graph::new();
    let x = g.input("x", f32([3])).unwrap();
    let zero = g.fill_like(x, 0.0);
    let y = g.times(x, zero);
    g.set_output("y", y).unwrap();
    let (result, _) = optimize(&g, &Config::default()).unwrap();
    assert_eq!(count(&result, Binary::Mul), 1, "0·∞ is NaN:\n{result}");
    let loose = Config { rounding: Rounding::AssumesFinite, ..Config::default() };
    assert_eq!(count(&optimize(&g, &loose).unwrap().0, Binary::Mul), 0);
    let mut g = Graph::new();
    let x = g.input("x", f32([3])).unwrap();
    let c = g.fill_like(x, 3.0);
    let y = g.over(x, c);
    g.set_output("y", y).unwrap();
    assert_eq!(count(&optimize(&g, &Config::default()).unwrap().0, Binary::Div), 0);
    let strict = Config { rounding: Rounding::Exact, ..Config::default() };
    assert_eq!(count(&optimize(&g, &strict).unwrap().0, Binary::Div), 1, "x/3 is not x·(1/3)");
}

#[test]
fn equal_graphs_give_equal_texts() {
    let graph = mlp(16, &[12, 8, 8, 4]);
    let text = optimize(&graph, &Config::default()).unwrap().0.to_string();
    for _ in 0..3 {
        assert_eq!(optimize(&graph, &Config::default()).unwrap().0.to_string(), text);
    }
    let read = parse(&graph.to_string()).unwrap();
    assert_eq!(optimize(&read, &Config::default()).unwrap().0.to_string(), text);
}

#[test]
fn inputs_and_states_stay() {
    let text = r#"graph {
  %0 = input {name="unused"} : f32[3]
  %1 = state {name="kept"} : f32[2]
  %2 = input {name="x"} : f32[2]
  %3 = state {name="counter"} : f32[2]
  %4 = neg %2 : f32[2]
  %5 = neg %4 : f32[2]
  output "y" = %5
  output "again" = %2
  next "counter" = %5
}"#;
    let graph = parse(text).unwrap();
    let (result, report) = optimize(&graph, &Config::default()).unwrap();
    assert_eq!(result.inputs().map(|i| i.0.to_owned()).collect::<Vec<_>>(), ["unused", "x"], "{result}");
    assert_eq!(result.states().len(), 2);
    assert_eq!((result.output("y"), result.output("again")), (result.source("x"), result.source("x")));
    assert_eq!(result.states()[1].next, result.source("x"));
    assert_eq!(report.always.len(), 1, "{report}");
}

#[test]
fn graphs_that_compute_nothing_are_legal() {
    let mut g = Graph::new();
    assert_eq!(optimize(&g, &Config::default()).unwrap().0.len(), 0);
    let w = g.state("w", f32([2, 0])).unwrap();
    let t = g.transpose(w, &[1, 0]);
    let product = g.matmul(w, t);
    g.set_output("zeros", product).unwrap();
    let result = check(&g);
    assert_eq!(dots(&result), 0, "an empty sum is known:\n{result}");
}

#[test]
fn places_in_the_program_are_kept() {
    let mut g = Graph::new();
    let x = g.input("x", f32([3])).unwrap();
    let here = std::panic::Location::caller();
    g.set_location(Some(here));
    let n = g.negate(x);
    let y = g.minus(x, n);
    let y = g.unary(Unary::Tanh, y);
    g.set_output("y", y).unwrap();
    let (result, _) = optimize(&g, &Config::default()).unwrap();
    let y = result.output("y").unwrap();
    assert_eq!(result.node(y).location.map(|l| l.line()), Some(here.line()));
}

#[test]
#[ignore = "a measurement: cargo test --release -p bespoke-optimize -- --ignored --nocapture time"]
fn time() {
    let tier0 = Config { egraph: false, ..Config::default() };
    let graphs = [
        mlp(128, &[784, 512, 256, 10]),
        naive_cross_entropy([128, 10], true, true),
        two_units(128, [784, 512, 10], true, false),
        mlp(128, &[64; 100]),
        mlp(128, &[64; 600]),
    ];
    for graph in graphs {
        for (name, config) in [("tier 0", &tier0), ("all", &Config::default())] {
            let mut best = f64::INFINITY;
            for _ in 0..10 {
                let start = std::time::Instant::now();
                optimize(&graph, config).unwrap();
                best = best.min(start.elapsed().as_secs_f64() * 1e3);
            }
            println!("{name}: {} nodes in {best:.2} ms", graph.len());
        }
        println!("{}", optimize(&graph, &Config::default()).unwrap().1);
    }
}

/// What is behind a barrier is computed again, constants too.
#[test]
fn barriers_are_not_looked_through() {
    let mut g = Graph::new();
    let x = g.input("x", Type::new(DType::F32, [3])).unwrap();
    let behind = g.must(op::Barrier, &[x]);
    let (first, second) = (g.unary(Unary::Sin, x), g.unary(Unary::Sin, behind));
    let one = g.fill_like(x, 1.0);
    let hidden = g.must(op::Barrier, &[one]);
    let difference = g.minus(first, second); // not zero
    let product = g.times(difference, hidden); // not times one
    g.set_output("y", product).unwrap();
    let (result, _) = optimize(&g, &Config::default()).unwrap();
    let count = |name: &str| result.ids().filter(|&id| result.node(id).op.name() == name).count();
    assert_eq!((count("sin"), count("barrier"), count("mul")), (2, 2, 1), "{result}");
}
