//! The stages of optimisation one after the other.

use bespoke_graph::{Graph, NodeId, Operator, inline_customs};
use bespoke_tensor::Type;
use rustc_hash::FxHashMap;

use crate::{
    Candidate, Config, Finding, Fired, OptimizeError, Policy, Report, Rounding, Saturation, bodies, cost,
    extract::{self, Choice, Choices},
    loops,
    regions::{self, Region, SIZES},
    rematerialise, rule,
    saturate::{self, Saturated},
    tier0,
};

/// Rewrites a graph into a cheaper equal one with the same inputs, states and outputs.
///
/// # Errors
/// [`OptimizeError`] if a rule breaks its promise.
pub fn optimize(graph: &Graph, config: &Config) -> Result<(Graph, Report), OptimizeError> {
    let cost = |graph: &Graph| cost::of_graph(config, graph);
    let graph = inline_customs(graph);
    let whole = with_loops(&graph, config)?;
    if !config.egraph || config.rounding < Rounding::Reassociates {
        return Ok(whole);
    }
    let Some(split) = loops::fission(&graph) else { return Ok(whole) };
    let (split, mut report) = with_loops(&split, config)?;
    if cost(&split) >= cost(&whole.0) || largest(&split) > LARGER.saturating_mul(largest(&graph)) {
        return Ok(whole);
    }
    (report.nodes[0], report.flops[0], report.costs[0]) =
        (whole.1.nodes[0], whole.1.flops[0], whole.1.costs[0]);
    report.loops = [loops::count(&graph), loops::count(&split)];
    Ok((split, report))
}

/// A loop that is taken apart may need values so many times as large as the largest of the graph.
const LARGER: usize = 4;

/// The most bytes of a value.
fn largest(graph: &Graph) -> usize {
    let live = graph.live();
    graph.ids().filter(|id| live[id.index()]).map(|id| graph.ty(id).bytes()).max().unwrap_or(0)
}

/// [`optimize`] without taking loops apart: a loop within a loop may be there to save memory.
pub fn with_loops(graph: &Graph, config: &Config) -> Result<(Graph, Report), OptimizeError> {
    let cost = |graph: &Graph| cost::of_graph(config, graph);
    let mut report = Report::default();
    let graph = &bodies::rewrite(graph, config, &mut report)?;
    let (mut result, applied) = tier0::tier0(graph, config)?;
    let (given_cost, mut tier0_cost) = (cost(graph), cost(&result));
    if tier0_cost > given_cost {
        // Rules that are better alone may cost a node together.
        (result, tier0_cost) = (tier0::compact(graph), given_cost);
    }
    let rules = rule::all().iter().zip(&applied.rules).filter(|(_, n)| **n > 0);
    report.always = rules.map(|(c, &times)| Fired { rule: c.rule.name, times }).collect();
    report.folded = applied.folded;
    if config.egraph {
        result = regions::search_regions(result, SIZES, config, &mut report)?;
    }
    if config.policy != Policy::KeepAll {
        let (again, done) = rematerialise(&result, config.policy);
        (result, report.rematerialised) = (again, Some(done));
    }
    report.nodes = [graph.len(), result.len()];
    report.flops = [cost::graph_flops(graph), cost::graph_flops(&result)];
    report.costs = [given_cost, tier0_cost, cost(&result)];
    debug_assert!(
        bespoke_graph::verify(&result).is_empty(),
        "{:?}\n{result}",
        bespoke_graph::verify(&result)
    );
    Ok((result, report))
}

/// What a search found.
pub struct Found {
    /// The cheapest graph; none if that is the one given.
    pub graph: Option<Graph>,
    /// The rewrites that are part of it, with nodes of the graph given.
    pub findings: Vec<Finding>,
    /// How rewriting went.
    pub saturation: Saturation,
    /// The candidates of extraction, the cheapest first.
    pub candidates: Vec<Candidate>,
}

/// The cheapest graph found by saturation. Values that a region shows to others are outputs of it if they are computed;
/// they are numbered after its own.
pub fn search(region: &Region, config: &Config) -> Result<Found, OptimizeError> {
    let cost = |graph: &Graph| cost::of_graph(config, graph);
    let graph = &region.graph;
    let saturated = saturate::saturate(region, config)?;
    let choices = Choices::new(region, &saturated, config);
    let (best, candidates) = extract::extract(region, &choices, config.extraction);
    let (mut better, mut found) = (None, vec![]);
    if let Some((best, choice)) = best {
        // What has just come together may be simplified further; a result that is not cheaper is not worth a change.
        let (tidy, _) = tier0::tier0(&best, config)?;
        let best = if cost(&tidy) <= cost(&best) { tidy } else { tier0::compact(&best) };
        if cost(&best) < cost(graph) {
            better = Some(best);
            found = findings(graph, &saturated, &choices, &choice);
        }
    }
    Ok(Found { graph: better, findings: found, saturation: saturated.saturation, candidates })
}

fn node_flops(graph: &Graph, id: NodeId) -> f64 {
    let node = graph.node(id);
    let types: Vec<Type> = node.inputs.iter().map(|&i| graph.ty(i)).collect();
    cost::flops(&node.op, &types, &node.ty)
}

/// The rewrites that are part of a choice, with the nodes of the graph that they replace.
fn findings(graph: &Graph, saturated: &Saturated, choices: &Choices<'_>, choice: &Choice) -> Vec<Finding> {
    let Some(order) = choices.order(choice) else { return vec![] };
    let mut used = vec![false; choices.classes.len()];
    let mut made: Vec<(u32, Vec<u32>)> = vec![];
    let mut group: FxHashMap<u32, usize> = FxHashMap::default();
    for &class in &order {
        used[class as usize] = true;
        let origin = choices.node(choice, class).origin;
        if origin > 0 {
            let g = *group.entry(origin).or_insert(made.len());
            if g == made.len() {
                made.push((origin, vec![]));
            }
            made[g].1.push(class);
        }
    }
    let mut first: FxHashMap<egg::Id, NodeId> = FxHashMap::default();
    for id in graph.ids() {
        first.entry(saturated.egraph.find(saturated.given[id.index()])).or_insert(id);
    }
    let live = graph.live();
    // A node of the graph is replaced if its class is not used, or is computed in a new way.
    let is_replaced = |id: NodeId| {
        let class = choices.given[id.index()] as usize;
        let is_computed = live[id.index()] && !graph.node(id).inputs.is_empty();
        is_computed && (!used[class] || choices.node(choice, class as u32).origin > 0)
    };
    let mut counted = vec![false; graph.len()];
    let mut findings = vec![];
    let mut pending: Option<Finding> = None;
    for (origin, classes) in made {
        let application = saturated.applications[origin as usize - 1];
        let mut before = vec![];
        let mut stack: Vec<NodeId> =
            first.get(&saturated.egraph.find(application.class)).copied().into_iter().collect();
        while let Some(id) = stack.pop() {
            if is_replaced(id) && !std::mem::replace(&mut counted[id.index()], true) {
                before.push(id);
                stack.extend(graph.node(id).inputs.iter().rev());
            }
        }
        before.sort_unstable();
        let rule = rule::all()[application.rule].rule.name;
        // What replaces nothing given is part of what uses it, which comes next.
        let finding = pending.get_or_insert_with(Finding::default);
        finding.rules.push(rule);
        finding.after.extend(classes.iter().map(|&c| choices.op(choices.node(choice, c)).name()));
        finding.flops_after += classes.iter().map(|&c| choices.flops(choice, c)).sum::<f64>();
        finding.flops_before += before.iter().map(|&id| node_flops(graph, id)).sum::<f64>();
        finding.before.extend(before.iter().map(|id| (*id, graph.node(*id).op.name())));
        if !finding.before.is_empty() {
            findings.extend(pending.take());
        }
    }
    findings.extend(pending);
    findings
}
