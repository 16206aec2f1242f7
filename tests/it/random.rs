//! Random graphs: evaluator, interpreted program and machine code agree.

use std::ops::Range;

use bespoke_autodiff::grad;
use bespoke_graph::{Graph, NodeId, parse};
use bespoke_tensor::DType;
use bespoke_testkit::{random_graph, random_inputs, reference};

use crate::columns::{Check, agree, no_failures, optimized_agrees, passes, report};

/// A third of the graphs get values such as NaN, infinities and denormals.
fn is_spicy(seed: u64) -> bool {
    seed % 3 == 2
}

/// Rewriting may change what overflows, and extreme values overflow.
fn never(_: u64) -> bool {
    false
}

fn check_all(check: Check, spice: fn(u64) -> bool, seeds: impl Iterator<Item = u64>) {
    let mut failures = vec![];
    for seed in seeds {
        let graph = random_graph(seed, 5 + seed as usize % 56);
        let sources = |g: &Graph| random_inputs(g, seed, spice(seed));
        if passes(check, &graph, &sources(&graph)).is_err() {
            failures.push(report(&format!("random{seed}"), check, &graph, &sources));
        }
        if failures.len() >= 10 {
            break;
        }
    }
    no_failures(&failures);
}

#[test]
fn five_hundred_graphs_agree() {
    check_all(agree, is_spicy, 0..500);
}

#[test]
fn five_hundred_optimized_graphs_agree() {
    check_all(optimized_agrees, never, 0..500);
}

/// The graph with the gradients of its outputs of floats as further outputs, and as updates of states; none if nothing
/// can be differentiated.
fn with_gradients(mut graph: Graph) -> Option<Graph> {
    let float = |g: &Graph, id: NodeId| g.ty(id).dtype == DType::F32;
    let outputs: Vec<NodeId> = graph.outputs().iter().map(|o| o.1).filter(|&id| float(&graph, id)).collect();
    let sums: Vec<NodeId> = outputs.into_iter().map(|id| graph.sum_all(id)).collect();
    let loss = sums.into_iter().reduce(|a, b| graph.plus(a, b))?;
    let sources = graph.inputs().map(|i| i.1).chain(graph.states().iter().map(|s| s.node));
    let reached = |x: &NodeId| float(&graph, *x) && grad(&mut graph.clone(), loss, &[*x]).is_ok();
    let wrt: Vec<NodeId> = sources.filter(reached).collect();
    let gradients = grad(&mut graph, loss, &wrt).expect("each alone has one");
    for (i, (&x, d)) in wrt.iter().zip(gradients).enumerate() {
        if graph.states().iter().any(|s| s.node == x) {
            let rate = graph.fill_like(d, 0.125);
            let step = graph.times(rate, d);
            let next = graph.minus(x, step);
            graph.replace_next(x, Some(next));
        } else {
            graph.set_output(&format!("d{i}"), d).expect("names are numbered");
        }
    }
    (!wrt.is_empty()).then_some(graph)
}

#[test]
fn random_training_steps_agree() {
    let (mut failures, mut steps) = (vec![], 0);
    for seed in 0..300 {
        let Some(graph) = with_gradients(random_graph(seed, 5 + seed as usize % 36)) else { continue };
        steps += 1;
        let sources = |g: &Graph| random_inputs(g, seed, false);
        for check in [agree, optimized_agrees] {
            if passes(check, &graph, &sources(&graph)).is_err() {
                failures.push(report(&format!("step{seed}"), check, &graph, &sources));
            }
        }
        if failures.len() >= 10 {
            break;
        }
    }
    no_failures(&failures);
    assert!(steps > 150, "only {steps} graphs had gradients");
}

/// `BESPOKE_RANDOM_GRAPHS` says how many (100,000), `BESPOKE_RANDOM_SEED` from which seed (500).
fn many() -> Range<u64> {
    let number = |name: &str, otherwise: u64| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, got {text:?}")),
        Err(_) => otherwise,
    };
    let start = number("BESPOKE_RANDOM_SEED", 500);
    start..start + number("BESPOKE_RANDOM_GRAPHS", 100_000)
}

#[test]
#[ignore = "takes long"]
fn many_graphs_agree() {
    check_all(agree, is_spicy, many());
}

#[test]
#[ignore = "takes long"]
fn many_optimized_graphs_agree() {
    check_all(optimized_agrees, never, many());
}

#[test]
fn texts_of_random_graphs_round_trip() {
    for seed in 0..500 {
        let graph = random_graph(seed, 5 + seed as usize % 56);
        let text = graph.to_string();
        let again = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(again, graph);
        assert_eq!(again.to_string(), text);
    }
}

/// Comparisons mean something: bounds are finite and small for nearly all elements.
#[test]
fn bounds_are_tight() {
    let (mut elements, mut unknown, mut loose) = (0, 0, 0);
    for seed in (0..200).filter(|s| !is_spicy(*s)) {
        let graph = random_graph(seed, 5 + seed as usize % 56);
        let inputs = random_inputs(&graph, seed, false);
        let expected = reference(&graph, &|n| inputs.get(n).cloned()).unwrap();
        for bounded in expected.outputs.values().chain(expected.states.values()) {
            for (value, error) in bounded.value.scalars().zip(&bounded.error) {
                elements += 1;
                unknown += usize::from(error.is_infinite());
                loose += usize::from(error.is_finite() && *error > 1e-4 * value.to_f64().abs().max(1.0));
            }
        }
    }
    assert!(elements > 10_000, "only {elements} elements");
    assert!(unknown * 50 < elements, "{unknown} of {elements} elements are unknown");
    assert!(loose * 20 < elements, "{loose} of {elements} elements have loose bounds");
}
