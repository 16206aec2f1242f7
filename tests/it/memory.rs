//! Memory for time: programs whose forward values are computed again.

use bespoke::{
    compiler::Artifact,
    graph::{Graph, NodeId, Values, Windows, eval, op, verify},
    optimize::{Policy, optimize, rematerialise},
    prelude::{Adam, Config, DType, Executable, Trainer, Type, compile},
};
use bespoke_loops::Combine;
use bespoke_testkit::{compare_values, random_graph, random_inputs, reference};

use crate::columns;

/// A step down the gradient of Σ hₙ² by all weights, where hᵢ = tanh(hᵢ₋₁ Wᵢ).
fn deep(layers: usize, batch: usize, width: usize) -> Graph {
    activated(layers, batch, width, &[op::Unary::Tanh])
}

/// The same with other functions behind each product.
fn activated(layers: usize, batch: usize, width: usize, functions: &[op::Unary]) -> Graph {
    let mut g = Graph::new();
    let mut h = g.input("x", Type::new(DType::F32, [batch, width])).unwrap();
    let square = Type::new(DType::F32, [width, width]);
    let weights: Vec<NodeId> = (0..layers).map(|i| g.state(&format!("w{i}"), square).unwrap()).collect();
    for &w in &weights {
        h = g.matmul(h, w);
        h = functions.iter().fold(h, |h, &function| g.unary(function, h));
    }
    let squares = g.times(h, h);
    let loss = g.sum_all(squares);
    g.set_output("loss", loss).unwrap();
    let gradients = bespoke::autodiff::grad(&mut g, loss, &weights).unwrap();
    let rate = g.fill(square, 0.01);
    for (&w, gradient) in weights.iter().zip(gradients) {
        let step = g.times(rate, gradient);
        let next = g.minus(w, step);
        g.set_next(w, next).unwrap();
    }
    g
}

/// Runs a graph as it is.
fn run(graph: &Graph) -> (Executable, Values) {
    let config = Config { optimize: None, ..Config::default() };
    let mut program = compile(graph, &config, &mut |_| ()).unwrap();
    let values = columns::run(&mut program, graph, &random_inputs(graph, 5, false)).unwrap();
    (program, values)
}

#[test]
fn budgets_shrink_the_arena_and_keep_the_results() {
    let (layers, batch, width) = (24, 64, 32);
    let bytes = 4 * batch * width;
    let (step, _) = optimize(&deep(layers, batch, width), &Default::default()).unwrap();
    let (program, expected) = run(&step);
    let before = program.arena_bytes();
    assert!(before > layers * bytes, "{before}");
    for budget in [18 * bytes, 14 * bytes, 12 * bytes] {
        let (again, report) = rematerialise(&step, Policy::Budget(budget));
        assert!(report.bytes[1] <= budget && budget < report.bytes[0], "{report}");
        assert!(report.flops < 0.5 * 2.0 * (layers * batch * width * width) as f64 * 2.0, "{report}");
        let (program, values) = run(&again);
        // Packed panels and padding come on top.
        let after = program.arena_bytes();
        assert!(after <= budget + 4 * bytes && after < before, "{report}; arena {before} → {after}");
        columns::same_bits(&values, &expected).unwrap();
    }
}

/// Values that are cheap to compute again need not be kept beside what they are made of.
#[test]
fn elementwise_values_need_not_be_kept() {
    let functions = [op::Unary::Sin, op::Unary::Softplus, op::Unary::Tanh];
    let (step, _) = optimize(&activated(12, 64, 32, &functions), &Default::default()).unwrap();
    let (program, expected) = run(&step);
    for policy in [Policy::RecomputeElementwise, Policy::KeepProducts] {
        let (again, report) = rematerialise(&step, policy);
        assert!(report.bytes[1] * 2 < report.bytes[0], "{report}");
        let (less, values) = run(&again);
        assert!(
            less.arena_bytes() * 3 < program.arena_bytes() * 2,
            "{} of {}",
            less.arena_bytes(),
            program.arena_bytes()
        );
        columns::same_bits(&values, &expected).unwrap();
    }
}

/// About 2√n of n equal layers are enough.
#[test]
fn very_deep_nets_need_memory_of_the_root_of_their_depth() {
    let graph = deep(300, 8, 8);
    let all = rematerialise(&graph, Policy::KeepAll).1.bytes[0];
    let (_, report) = rematerialise(&graph, Policy::Budget(all / 8));
    assert!(report.bytes[1] <= all / 8, "{report}");
}

/// Through the whole way: the policy is a choice of optimisation, and its report says what was done.
#[test]
fn the_policy_is_part_of_the_configuration() {
    let graph = deep(12, 32, 16);
    let sources = random_inputs(&graph, 5, false);
    let expected = reference(&graph, &|n| sources.get(n).cloned()).unwrap();
    for policy in [Policy::RecomputeElementwise, Policy::KeepProducts, Policy::Budget(9 * 4 * 32 * 16)] {
        let options = bespoke::optimize::Config { policy, ..Default::default() };
        let config = Config { optimize: Some(options), ..Config::default() };
        let mut text = String::new();
        let mut program = compile(&graph, &config, &mut |event| {
            if let Artifact::Optimized(_, report) = &event.artifact {
                text = report.to_string();
            }
        })
        .unwrap();
        let values = columns::run(&mut program, &graph, &sources).unwrap();
        compare_values(&values, &expected).unwrap();
        assert!(text.contains("nodes computed again"), "{policy:?}: {text}");
    }
}

#[test]
fn random_graphs_mean_the_same_whatever_is_computed_again() {
    let mut changed = 0;
    for seed in 0..200 {
        let graph = random_graph(seed, 40);
        let sources = random_inputs(&graph, seed, false);
        let source = |n: &str| sources.get(n).cloned();
        let expected = eval(&graph, &source).unwrap();
        for policy in
            [Policy::KeepAll, Policy::RecomputeElementwise, Policy::KeepProducts, Policy::Budget(64)]
        {
            let (again, report) = rematerialise(&graph, policy);
            assert_eq!(verify(&again), Vec::<String>::new());
            changed += report.nodes;
            assert!(report.bytes[1] <= report.bytes[0], "{report}\n{graph}");
            let values = eval(&again, &source).unwrap();
            columns::same_bits(&values, &expected)
                .unwrap_or_else(|e| panic!("{policy:?}: {e}\n{graph}\n{again}"));
        }
    }
    assert!(changed > 100, "{changed}");
}

/// The update of a weight ends its gradient at once, though all updates wait for the optimiser's corrections.
#[test]
fn updates_do_not_hold_up_the_memory_of_gradients() {
    let (layers, batch, width) = (12, 64, 32);
    let g = bespoke::nn::Graph::new();
    let x = g.input("x", DType::F32, [batch, width]);
    let last = (0..layers).fold(x, |h, _| h.dense(width).tanh());
    let (step, _) = Trainer::new(last.pow(2.0).mean(), Adam::new(0.01)).graphs().unwrap();
    let (step, _) = optimize(&step, &Default::default()).unwrap();
    let (program, expected) = run(&step);
    let bytes = 4 * batch * width;
    assert!(program.arena_bytes() < (layers + 8) * bytes, "{} of {bytes} each", program.arena_bytes());
    let (again, report) = rematerialise(&step, Policy::Budget(8 * bytes));
    let (less, values) = run(&again);
    assert!(less.arena_bytes() < 13 * bytes, "{report}: {}", less.arena_bytes());
    columns::same_bits(&values, &expected).unwrap();
}

/// What the estimate holds for stored is what lowering stores: values of windows, of lines and of order too.
#[test]
fn estimates_are_near_the_arena() {
    let square = Type::new(DType::F32, [64, 64]);
    let mut windows = Windows::new(&[3, 3], &[1, 1]);
    windows.padding = vec![(1, 1); 2];
    let largest = op::WindowReduce { combine: Combine::Max, windows };
    let sums = op::Cumulative { combine: Combine::Sum, axis: 0, reverse: false };
    let order = op::ArgSort { axis: 0, descending: false };
    type Apply<'a> = &'a dyn Fn(&mut Graph, NodeId) -> NodeId;
    let cases: [(&str, Apply<'_>); 3] = [
        ("windows", &|g, x| g.must(largest.clone(), &[x])),
        ("lines", &|g, x| g.must(sums.clone(), &[x])),
        ("order", &|g, x| {
            let order = g.must(order.clone(), &[x]);
            g.must(op::Gather { axis: 0, batch: 0 }, &[x, order])
        }),
    ];
    for (name, apply) in cases {
        let mut g = Graph::new();
        let x = g.input("x", if name == "order" { Type::new(DType::F32, [4096]) } else { square }).unwrap();
        // Each but the last has one user, which does not read it again and again.
        let mut h = x;
        for _ in 0..6 {
            let y = apply(&mut g, h);
            h = g.unary(op::Unary::Neg, y);
        }
        let squares = g.times(h, h);
        let loss = g.sum_all(squares);
        let gradient = bespoke::autodiff::grad(&mut g, loss, &[x]).unwrap()[0];
        g.set_output("d", gradient).unwrap();
        let (_, report) = rematerialise(&g, Policy::KeepAll);
        let arena = run(&g).0.arena_bytes() as f64;
        let ratio = report.bytes[0] as f64 / arena;
        assert!((0.6..1.4).contains(&ratio), "{name}: {} estimated, {arena} in the arena", report.bytes[0]);
    }
}
