//! The stages of optimisation one after the other.

use bespoke_graph::Graph;

use crate::{Config, Fired, OptimizeError, Report, cost, rule, tier0};

/// Rewrites a graph into a cheaper equal one with the same inputs, states and outputs.
///
/// # Errors
/// [`OptimizeError`] if a rule breaks its promise.
pub fn optimize(graph: &Graph, config: &Config) -> Result<(Graph, Report), OptimizeError> {
    let (result, applied) = tier0::tier0(graph, config)?;
    let fired = |counts: &[usize]| {
        let rules = rule::all().iter().zip(counts).filter(|(_, n)| **n > 0);
        rules.map(|(c, &times)| Fired { rule: c.rule.name, times }).collect()
    };
    let tier0_cost = cost::graph(&result);
    let report = Report {
        nodes: [graph.len(), result.len()],
        flops: [cost::graph_flops(graph), cost::graph_flops(&result)],
        costs: [cost::graph(graph), tier0_cost, tier0_cost],
        always: fired(&applied.rules),
        folded: applied.folded,
        ..Report::default()
    };
    debug_assert!(
        bespoke_graph::verify(&result).is_empty(),
        "{:?}\n{result}",
        bespoke_graph::verify(&result)
    );
    Ok((result, report))
}
