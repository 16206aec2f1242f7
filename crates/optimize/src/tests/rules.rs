//! Every rule on random instances of its example.

use std::collections::BTreeSet;

use bespoke_graph::{Graph, NodeId};

use super::{Random, difference, run, sources};
use crate::{
    Machine, Rounding, cost,
    rule::{self, Compiled, Form, Rule},
    tier0,
    view::Term,
};

const INSTANCES: u64 = 1000;

fn first_match(compiled: &Compiled, graph: &Graph, root: NodeId) -> Option<Term> {
    if let Form::Whole { propose } = compiled.rule.form {
        return propose(graph).into_iter().find(|(node, _)| *node == root).map(|(_, term)| term);
    }
    tier0::with_view(graph, |view| {
        let mut found = None;
        compiled.search(view, root.0, &mut |term| {
            found = Some(term);
            false
        });
        found
    })
}

#[test]
fn rules_are_sound() {
    for compiled in rule::all() {
        let rule = compiled.rule;
        for seed in 1..=INSTANCES {
            let before = rule::graph_of(rule.example, seed);
            let root = before.output("root").expect("an example has a root");
            let term = first_match(compiled, &before, root);
            let term =
                term.unwrap_or_else(|| panic!("`{}` does not fire on its example {before}", rule.name));
            let mut after = before.clone();
            let new = tier0::add_term(&mut after, &term);
            let new = new.unwrap_or_else(|e| panic!("`{}` is ill-typed: {e}\n{before}\n{term:?}", rule.name));
            assert_ne!(new, root, "`{}` changes nothing", rule.name);
            assert_eq!(after.ty(new), after.ty(root), "`{}` changes the type of {before}", rule.name);
            after.clear_outputs();
            after.set_output("root", new).expect("no outputs");
            // Exact rules hold for infinities and NaN, the others for finite values.
            let exact = rule.rounding == Rounding::Exact;
            let values = sources(&before, &mut Random(seed), exact && seed % 2 == 0);
            let (a, b) = (&run(&before, &values).outputs["root"], &run(&after, &values).outputs["root"]);
            let tolerance = if exact { 0.0 } else { 1e-9 };
            if let Some(difference) = difference(a, b, tolerance) {
                panic!("`{}`, instance {seed}: {difference}\n{before}\n{after}\n{values:?}", rule.name);
            }
        }
    }
}

#[test]
fn rules_leave_alone_what_only_looks_alike() {
    let mut missing = vec![];
    for compiled in rule::all() {
        let rule = compiled.rule;
        let can_refuse = rule.condition.is_some()
            || !rule.attributes.is_empty()
            || !matches!(rule.form, Form::Pattern { .. });
        let Some(near_miss) = rule.near_miss else {
            missing.extend(can_refuse.then_some(rule.name));
            continue;
        };
        for seed in 1..=20 {
            let graph = rule::graph_of(near_miss, seed);
            let root = graph.output("root").expect("it was just set");
            let found = first_match(compiled, &graph, root);
            assert_eq!(found, None, "`{}` fires on its near miss {graph}", rule.name);
        }
    }
    assert!(missing.is_empty(), "these rules can refuse, but have no near miss: {missing:?}");
}

#[test]
fn without_its_condition_a_rule_fires_on_its_near_miss() {
    let mut idle = vec![];
    for rule in rule::all().iter().map(|c| c.rule).filter(|r| r.condition.is_some()) {
        let near_miss = rule.near_miss.expect("it can refuse");
        let free: &'static Rule = Box::leak(Box::new(Rule { condition: None, ..*rule }));
        let compiled = Compiled::new(free);
        let fires = |seed| {
            let graph = rule::graph_of(near_miss, seed);
            let root = graph.output("root").expect("it was just set");
            first_match(&compiled, &graph, root).is_some()
        };
        idle.extend((!(1..=20).any(fires)).then_some(rule.name));
    }
    assert!(idle.is_empty(), "no near miss shows what the conditions of these rules are for: {idle:#?}");
}

#[test]
fn rules_are_documented() {
    let mut names = BTreeSet::new();
    for compiled in rule::all() {
        let rule = compiled.rule;
        assert!(names.insert(rule.name), "two rules are called `{}`", rule.name);
        assert!(rule.name.split('/').count() == 2, "`{}` is not topic/what", rule.name);
        assert!(!rule.why.is_empty(), "`{}` does not say why", rule.name);
    }
    let topics: BTreeSet<&str> = names.iter().map(|n| n.split('/').next().expect("a topic")).collect();
    assert!(names.len() >= 20 && topics.len() >= 4, "{} rules of {topics:?}", names.len());
}

#[test]
fn rules_that_are_always_better_are_not_dearer() {
    for compiled in rule::all().iter().filter(|c| c.rule.always) {
        let before = rule::graph_of(compiled.rule.example, 1);
        let term = first_match(compiled, &before, before.output("root").expect("a root")).expect("it fires");
        let mut after = before.clone();
        let new = tier0::add_term(&mut after, &term).expect("it is well typed");
        after.clear_outputs();
        after.set_output("root", new).expect("no outputs");
        let (was, is) = (cost::graph(&Machine::fixed(), &before), cost::graph(&Machine::fixed(), &after));
        // Two launches more are granted: the examples are tiny, and a sum that replaces products pays for larger ones.
        assert!(is <= was + 610.0, "`{}`: {was} → {is}", compiled.rule.name);
    }
}
