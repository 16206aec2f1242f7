//! Why values are computed as they are, and the proofs.

use std::collections::BTreeSet;

use bespoke_graph::{Graph, NodeId, Op, Values, op::Unary};
use bespoke_tensor::{DType, Type};

use super::{
    Random,
    decisions::{mlp, naive_cross_entropy, two_units},
    difference,
    random::random_graph,
    run, sources,
};
use crate::{
    Config, Origin, Proof, Why, expression, optimize, optimize_timed,
    rule::{self, Form},
    tier0,
    view::{self, Term},
    why,
};

/// The values of all expressions of a proof: leaves have those that they have in the graph given.
fn evaluate(given: &Graph, proof: &Proof, random: &mut Random) -> Values {
    let mut values = sources(given, random, false);
    let mut all = given.clone();
    all.clear_outputs();
    for (_, leaf) in &proof.leaves {
        all.set_output(&leaf.given.to_string(), leaf.given).unwrap();
    }
    values.extend(run(&all, &values).outputs);
    let mut expressions = proof.graph.clone();
    let steps = proof.steps.iter().flat_map(|s| [s.from, s.to, s.whole]);
    for id in steps.chain([proof.start]).collect::<BTreeSet<NodeId>>() {
        expressions.set_output(&format!("value {id}"), id).unwrap();
    }
    run(&expressions, &values)
}

/// Both sides of each step are equal, and so are the whole expressions; the number of steps.
fn check(given: &Graph, why: &Why, seed: u64) -> usize {
    let values = evaluate(given, &why.proof, &mut Random(seed));
    let value = |id: NodeId| &values.outputs[&format!("value {id}")];
    let mut whole = why.proof.start;
    for step in &why.proof.steps {
        for (a, b) in [(step.from, step.to), (whole, step.whole)] {
            // Where values are huge, so are the differences of their roundings.
            if value(a).scalars().all(|v| v.to_f64().abs() <= 1e6) {
                let tolerance =
                    if given.ty(given.roots().next().unwrap()).dtype == DType::F32 { 2e-4 } else { 1e-6 };
                let difference = difference(value(a), value(b), tolerance);
                assert_eq!(difference, None, "by {}\n{given}\n{why}\n{}", step.rule, why.proof);
            }
        }
        whole = step.whole;
    }
    why.proof.steps.len()
}

/// Of the value of an output, in the optimised graph: why it is computed as it is.
fn of_output(graph: &Graph, name: &str) -> Why {
    let (result, _) = optimize(graph, &Config::default()).unwrap();
    let why = why(graph, &Config::default(), result.output(name).unwrap()).unwrap();
    check(graph, &why, 11);
    why
}

/// The text and the proof, without figures of time, which change with the cost model.
fn text(why: &Why) -> String {
    let text = format!("{why}\n{}", why.proof);
    let words: Vec<&str> = text.split(' ').collect();
    let is_unit = |word: &str| ["ns", "µs", "ms"].iter().any(|unit| word.starts_with(unit));
    let without = words.iter().enumerate().map(|(i, word)| match words.get(i + 1) {
        Some(next) if is_unit(next) => word.replace(|c: char| c.is_ascii_digit(), "").replace('.', "…"),
        _ => (*word).to_owned(),
    });
    without.collect::<Vec<_>>().join(" ")
}

#[test]
fn log_sigmoid_is_explained() {
    let mut g = Graph::new();
    let x = g.input("x", Type::new(DType::F32, [6])).unwrap();
    let s = g.unary(Unary::Sigmoid, x);
    let y = g.unary(Unary::Log, s);
    g.set_output("y", y).unwrap();
    let why = of_output(&g, "y");
    assert_eq!(why.origin, Origin::Rewritten(y));
    assert_eq!(why.replaced, [(s, "sigmoid"), (y, "log")]);
    insta::assert_snapshot!("log_sigmoid", text(&why));
}

#[test]
fn composed_units_are_explained() {
    let graph = two_units(128, [784, 512, 10], true, false);
    insta::assert_snapshot!("two_units", text(&of_output(&graph, "y")));
    // The product of the weights is new.
    let (result, _) = optimize(&graph, &Config::default()).unwrap();
    let weights = result.ids().find(|&id| result.ty(id) == Type::new(DType::F32, [784, 10])).unwrap();
    let why = why(&graph, &Config::default(), weights).unwrap();
    assert!(matches!(why.origin, Origin::New { .. }), "{why}");
    insta::assert_snapshot!("weights", text(&why));
}

#[test]
fn p_minus_y_is_explained() {
    let graph = naive_cross_entropy([128, 10], false, false);
    insta::assert_snapshot!("cross_entropy", text(&of_output(&graph, "d_x")));
}

#[test]
fn what_does_not_change_is_said_not_to() {
    let graph = mlp(4, &[6, 5, 3]);
    let (result, _) = optimize(&graph, &Config::default()).unwrap();
    let product = result.ids().find(|&id| matches!(result.node(id).op, Op::Dot(_))).unwrap();
    let why = why(&graph, &Config::default(), product).unwrap();
    assert!(matches!(why.origin, Origin::Unchanged(_)), "{why}");
    assert_eq!((why.proof.steps.len(), why.replaced.len(), why.rules.len()), (0, 0, 0), "{why}");
    // Each value comes from somewhere, and those that are only used in another way have nothing to prove.
    let mut kinds = [0; 4];
    for id in result.ids() {
        let why = crate::why(&graph, &Config::default(), id).unwrap();
        let steps = check(&graph, &why, 5);
        match why.origin {
            Origin::Unchanged(given) => {
                kinds[0] += 1;
                assert_eq!((steps, &graph.node(given).op), (0, &result.node(id).op), "{why}");
            }
            Origin::Operands(given, _) => {
                kinds[1] += 1;
                assert_eq!((steps, &graph.node(given).op), (0, &result.node(id).op), "{why}\n{}", why.proof);
            }
            Origin::Rewritten(_) => {
                kinds[2] += 1;
                assert!(steps > 0, "{why}");
            }
            Origin::New { user, .. } => {
                kinds[3] += 1;
                assert!(user > id, "{why}");
            }
        }
    }
    assert!(kinds[0] > 10 && kinds[1] > 0 && kinds[2] > 0, "{kinds:?}");
}

/// The expression as text, with the operands of sums and products in a fixed order.
fn sorted(graph: &Graph, id: NodeId) -> String {
    let node = graph.node(id);
    let mut operands: Vec<String> = node.inputs.iter().map(|&i| sorted(graph, i)).collect();
    if view::is_commutative(&node.op) {
        operands.sort();
    }
    format!("{:?}{} {operands:?}", node.op, node.ty)
}

/// Does the rule rewrite the expression into the other?
fn rewrites(graph: &Graph, name: &str, from: NodeId, to: NodeId) -> bool {
    let compiled = rule::all().iter().find(|c| c.rule.name == name).unwrap();
    let expected = sorted(graph, to);
    let leads_there = |graph: &Graph, term: &Term| {
        let mut graph = graph.clone();
        let new = tier0::add_term(&mut graph, term).unwrap();
        sorted(&graph, new) == expected
    };
    if let Form::Whole { propose } = compiled.rule.form {
        // As the whole graph, not as a part of it.
        let mut alone = graph.clone();
        alone.set_output("root", from).unwrap();
        let alone = tier0::compact(&alone);
        let root = alone.output("root").unwrap();
        return propose(&alone).iter().any(|(id, term)| *id == root && leads_there(&alone, term));
    }
    tier0::with_view(graph, |view| {
        let mut found = false;
        compiled.search(view, from.0, &mut |term| {
            found |= leads_there(graph, &term);
            !found
        });
        found
    })
}

#[test]
fn proofs_of_the_rules_examples_hold_step_by_step() {
    let (mut steps, mut others, mut by_rule) = (0, vec![], BTreeSet::new());
    for compiled in rule::all() {
        for seed in 1..=3 {
            let graph = rule::graph_of(compiled.rule.example, seed);
            let config = Config { rounding: compiled.rule.rounding, ..Config::default() };
            let (result, _) = optimize(&graph, &config).unwrap();
            let root = result.output("root").unwrap();
            let why = why(&graph, &config, root).unwrap();
            steps += check(&graph, &why, seed);
            for step in &why.proof.steps {
                let (from, to) = if step.forward { (step.from, step.to) } else { (step.to, step.from) };
                if rule::all().iter().any(|c| c.rule.name == step.rule) {
                    by_rule.insert(step.rule);
                    // A rule may have looked into a value that the proof does not look into.
                    let has_leaf = expression(&why.proof.graph, from).contains('%');
                    if !has_leaf && !rewrites(&why.proof.graph, step.rule, from, to) {
                        let [from, to] = [from, to].map(|id| expression(&why.proof.graph, id));
                        others.push(format!("{}: {from} → {to}", step.rule));
                    }
                }
            }
        }
    }
    assert!(
        others.is_empty(),
        "{} of {steps} steps are not what their rules do:\n{}",
        others.len(),
        others.join("\n")
    );
    let rules = rule::all().len();
    assert!(by_rule.len() * 2 > rules, "{} of {rules} rules are part of a proof", by_rule.len());
}

#[test]
fn all_values_of_random_graphs_are_explained() {
    let (mut steps, mut rewritten) = (0, 0);
    for seed in 1..=300 {
        let mut random = Random(seed * 0x5851_f42d);
        let graph = random_graph(&mut random, 8 + seed as usize % 24);
        let (result, _) = optimize(&graph, &Config::default()).unwrap();
        for _ in 0..4 {
            let node = NodeId(random.below(result.len()) as u32);
            let why = why(&graph, &Config::default(), node).unwrap();
            steps += check(&graph, &why, seed);
            rewritten += usize::from(matches!(why.origin, Origin::Rewritten(_)));
            let text = text(&why);
            assert!(text.starts_with(&format!("{node} = ")), "{text}");
        }
    }
    assert!(steps > 150 && rewritten > 40, "{steps} steps, {rewritten} values");
}

#[test]
fn a_deep_expression_is_explained() {
    // −(−(… x)) is x again, in one step for each pair.
    let mut g = Graph::new();
    let x = g.input("x", Type::new(DType::F32, [3])).unwrap();
    let mut y = x;
    for _ in 0..1000 {
        let negative = g.negate(y);
        let t = g.negate(negative);
        y = g.unary(Unary::Tanh, t);
    }
    g.set_output("y", y).unwrap();
    let why = of_output(&g, "y");
    assert_eq!(why.proof.steps.len(), 0, "{why}");
    let mut g = Graph::new();
    let x = g.input("x", Type::new(DType::F32, [3])).unwrap();
    let mut y = x;
    for _ in 0..2000 {
        let zero = g.fill_like(y, 0.0);
        let y2 = g.binary(bespoke_graph::op::Binary::Max, y, zero);
        y = g.negate(y2);
    }
    g.set_output("y", y).unwrap();
    of_output(&g, "y");
}

#[test]
fn notes_change_nothing() {
    for seed in 1..=20 {
        let graph = random_graph(&mut Random(seed), 30);
        let (result, report) = optimize(&graph, &Config::default()).unwrap();
        let (timed, same, timings) = optimize_timed(&graph, &Config::default()).unwrap();
        assert_eq!((timed.to_string(), same), (result.to_string(), report.clone()));
        assert!(timings.total >= timings.local + timings.saturation + timings.extraction, "{timings}");
        let fired = report.saturation.iter().flat_map(|s| &s.fired).chain(&report.always);
        for fired in fired {
            let rule = timings.rules.iter().find(|r| r.rule == fired.rule);
            assert!(rule.is_some_and(|r| r.searches > 0), "{}\n{timings}", fired.rule);
        }
        let last = NodeId(result.len() as u32 - 1);
        assert_eq!(why(&graph, &Config::default(), last).unwrap().node, last);
    }
}

#[test]
fn nodes_that_are_not_there_are_named() {
    let mut g = Graph::new();
    let error = why(&g, &Config::default(), NodeId(0)).err().unwrap();
    assert_eq!(error.to_string(), "there is no %0 in the optimised graph; it has no nodes");
    let x = g.input("x", Type::new(DType::F32, [3])).unwrap();
    let y = g.unary(Unary::Tanh, x);
    g.set_output("y", y).unwrap();
    let error = why(&g, &Config::default(), NodeId(17)).err().unwrap();
    assert_eq!(error.to_string(), "there is no %17 in the optimised graph; its nodes are %0 to %1");
}
