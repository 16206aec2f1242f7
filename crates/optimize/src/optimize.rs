//! The stages of optimisation one after the other.

use std::time::Instant;

use std::borrow::Cow;

use bespoke_graph::{Graph, inline_customs};

use crate::{
    Candidate, Config, Finding, Fired, OptimizeError, Policy, Report, Rounding, Saturation, Timings, bodies,
    cost,
    extract::{self, Choices},
    findings::findings,
    loops,
    notes::{Clock, Notes, Part},
    regions::{self, Region, SIZES},
    rematerialise, rule, saturate, tier0,
    trace::Reason,
};

/// Rewrites a graph into a cheaper equal one with the same inputs, states and outputs.
///
/// # Errors
/// [`OptimizeError`] if a rule breaks its promise.
pub fn optimize(graph: &Graph, config: &Config) -> Result<(Graph, Report), OptimizeError> {
    optimize_noted(graph, config, &mut Notes::default())
}

/// [`optimize`], and what took how long.
///
/// ```
/// use bespoke_graph::Graph;
/// use bespoke_optimize::{Config, optimize_timed};
/// use bespoke_tensor::{DType, Type};
///
/// let mut g = Graph::new();
/// let x = g.input("x", Type::new(DType::F32, [3]))?;
/// let y = g.times(x, x);
/// g.set_output("y", y)?;
/// let (_, _, timings) = optimize_timed(&g, &Config::default())?;
/// assert!(timings.total >= timings.saturation);
/// assert!(timings.rules.iter().any(|r| r.rule == "algebra/mul-one" && r.searches > 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`optimize`].
pub fn optimize_timed(graph: &Graph, config: &Config) -> Result<(Graph, Report, Timings), OptimizeError> {
    let start = Instant::now();
    let mut notes = Notes { clock: Some(Clock::default()), trace: None };
    let (result, report) = optimize_noted(graph, config, &mut notes)?;
    let clock = notes.clock.expect("it was asked for");
    Ok((result, report, Timings::new(start.elapsed(), &clock)))
}

/// [`optimize`], with notes.
pub fn optimize_noted(
    graph: &Graph,
    config: &Config,
    notes: &mut Notes,
) -> Result<(Graph, Report), OptimizeError> {
    let cost = |graph: &Graph| cost::of_graph(config, graph);
    let mut graph = inline_customs(graph);
    let loops = config.egraph && config.rounding >= Rounding::Reassociates;
    // Whatever the number of steps: it decides about no code.
    if let Some(behind) = loops.then(|| loops::sums_behind(&graph)).flatten() {
        note_loops(notes, &graph, &behind);
        graph = Cow::Owned(behind);
    }
    let mut others = notes.fork();
    let whole = with_loops(&graph, config, notes)?;
    if !loops {
        return Ok(whole);
    }
    let Some(split) = loops::fission(&graph) else { return Ok(whole) };
    note_loops(&mut others, &graph, &split);
    let (split, mut report) = with_loops(&split, config, &mut others)?;
    notes.join(&others);
    if cost(&split) >= cost(&whole.0) || largest(&split) > LARGER.saturating_mul(largest(&graph)) {
        return Ok(whole);
    }
    (report.nodes[0], report.flops[0], report.costs[0]) =
        (whole.1.nodes[0], whole.1.flops[0], whole.1.costs[0]);
    report.loops = [loops::count(&graph), loops::count(&split)];
    notes.trace = others.trace;
    Ok((split, report))
}

/// Notes that both graphs have the same roots.
fn note_loops(notes: &mut Notes, graph: &Graph, split: &Graph) {
    let Some(trace) = &mut notes.trace else { return };
    let (before, after) = (trace.import(graph), trace.import(split));
    for (old, new) in graph.roots().zip(split.roots()) {
        trace.equal(before[old.index()], after[new.index()], Reason::Loops);
    }
}

/// A loop that is taken apart may need values so many times as large as the largest of the graph.
const LARGER: usize = 4;

/// The most bytes of a value.
fn largest(graph: &Graph) -> usize {
    let live = graph.live();
    graph.ids().filter(|id| live[id.index()]).map(|id| graph.ty(id).bytes()).max().unwrap_or(0)
}

/// [`optimize`] without taking loops apart: a loop within a loop may be there to save memory.
pub fn with_loops(
    graph: &Graph,
    config: &Config,
    notes: &mut Notes,
) -> Result<(Graph, Report), OptimizeError> {
    let cost = |graph: &Graph| cost::of_graph(config, graph);
    let mut report = Report { minimise: config.minimise, ..Report::default() };
    let graph = &bodies::rewrite(graph, config, &mut report, notes)?;
    let (mut result, applied) = tier0::tier0(graph, config, notes)?;
    let (given_cost, mut tier0_cost) = (cost(graph), cost(&result));
    if tier0_cost > given_cost {
        // Rules that are better alone may cost a node together.
        (result, tier0_cost) = (tier0::compact(graph), given_cost);
    }
    let rules = rule::all().iter().zip(&applied.rules).filter(|(_, n)| **n > 0);
    report.always = rules.map(|(c, &times)| Fired { rule: c.rule.name, times }).collect();
    report.folded = applied.folded;
    if config.egraph {
        result = regions::search_regions(result, SIZES, config, &mut report, notes)?;
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
    /// What was noted.
    pub notes: Notes,
}

/// The cheapest graph found by saturation. Values that a region shows to others are outputs of it if they are computed;
/// they are numbered after its own.
pub fn search(region: &Region, config: &Config, mut notes: Notes) -> Result<Found, OptimizeError> {
    let cost = |graph: &Graph| cost::of_graph(config, graph);
    let graph = &region.graph;
    let saturated = saturate::saturate(region, config, &mut notes)?;
    let start = notes.start();
    let choices = Choices::new(region, &saturated, config);
    let (best, candidates) = extract::extract(region, &choices, config.extraction);
    notes.stop(Part::Extraction, start);
    let (mut better, mut found) = (None, vec![]);
    if let Some((best, choice)) = best {
        // What has just come together may be simplified further; a result that is not cheaper is not worth a change.
        let (tidy, _) = tier0::tier0(&best, config, &mut notes)?;
        let best = if cost(&tidy) <= cost(&best) { tidy } else { tier0::compact(&best) };
        if cost(&best) < cost(graph) {
            better = Some(best);
            found = findings(graph, &saturated, &choices, &choice, config);
        }
    }
    Ok(Found { graph: better, findings: found, saturation: saturated.saturation, candidates, notes })
}
