//! Rewriting in the e-graph, within bounds that are counts.

use bespoke_graph::NodeId;
use egg::{Id, Language};
use rustc_hash::FxHashSet;

use crate::{
    Config, Fired, OptimizeError, Saturation, Stop,
    language::{self, EGraph, ENode, Knowledge, Seen},
    notes::{Notes, Part},
    regions::Region,
    rule::{self, Form},
    trace::{Reason, Trace},
    view::{self, KINDS, Term},
    witness::witness,
};

/// A rewrite sees this many levels below its root, so users this far above a changed class are tried again.
pub const REACH: usize = 3;

/// A rule applied at a class.
#[derive(Clone, Copy, Debug)]
pub struct Application {
    /// The rule, by its position in [`rule::all`].
    pub rule: usize,
    /// The class as it was called then.
    pub class: Id,
}

/// An e-graph with the graph that it came from.
pub struct Saturated {
    /// The e-graph, rebuilt.
    pub egraph: EGraph,
    /// The class of each node of the graph.
    pub given: Vec<Id>,
    /// The rewrites, numbered from 1 as in [`ENode::origin`].
    pub applications: Vec<Application>,
    /// How it went.
    pub saturation: Saturation,
}

/// The region's nodes as classes, each of one node, but that inputs are united with their definitions.
fn import(Region { graph, halo, .. }: &Region) -> (EGraph, Vec<Id>) {
    let mut egraph = EGraph::new(Knowledge::default());
    let mut given: Vec<Id> = Vec::with_capacity(graph.len());
    for id in graph.ids() {
        let node = graph.node(id);
        let children = node.inputs.iter().map(|i: &NodeId| given[i.index()]).collect();
        given.push(language::add(&mut egraph, node.op.clone(), children).expect("the graph is well typed"));
    }
    for (input, definition) in halo {
        egraph.union(given[input.index()], given[definition.index()]);
    }
    egraph.rebuild();
    (egraph, given)
}

/// Applies the rules that the configuration allows until nothing is new or a bound is reached.
///
/// # Errors
/// [`OptimizeError`] if a rule breaks its promise.
pub fn saturate(region: &Region, config: &Config, notes: &mut Notes) -> Result<Saturated, OptimizeError> {
    let started = notes.start();
    let (mut egraph, given) = import(region);
    let allowed: Vec<usize> = (0..rule::all().len())
        .filter(|&i| rule::all()[i].rule.is_allowed(config) && !rule::all()[i].rule.local)
        .collect();
    let mut by_kind = vec![vec![]; KINDS];
    for &i in &allowed {
        rule::all()[i].kinds.iter().for_each(|k| by_kind[k as usize].push(i));
    }
    let bound = egraph.total_size().saturating_mul(config.growth.max(1));
    let mut fired = vec![0; rule::all().len()];
    let mut applications = vec![];
    let names = notes.trace.as_mut().map(|trace| trace.import(&region.graph)).unwrap_or_default();
    for &i in &allowed {
        let Form::Whole { propose } = rule::all()[i].rule.form else { continue };
        let start = notes.start();
        for (node, term) in propose(&region.graph) {
            if let Some(trace) = &mut notes.trace {
                let right = trace.term(&term, &|c| names[c as usize]);
                trace.equal(names[node.index()], right, Reason::Rule(i));
            }
            let class = given[node.index()];
            applications.push(Application { rule: i, class });
            fired[i] += usize::from(apply(
                &mut egraph,
                &applications,
                &term.map(&|c| language::class(given[c as usize])),
            )?);
        }
        notes.stop_rule(i, 1, start);
    }
    egraph.rebuild();
    sort_operands(&mut egraph);
    let mut dirty: Vec<Id> = egraph.classes().map(|c| c.id).collect();
    dirty.sort_unstable();
    let mut stop = Stop::Iterations;
    let mut iterations = 0;
    let mut rewrites = vec![];
    'rounds: while iterations < config.iterations {
        let (matches, postponed) = search(&egraph, &dirty, &by_kind, config, notes);
        iterations += 1;
        egraph.analysis.touched.clear();
        let mut changed = false;
        for Found { rule: i, class, term, witness } in matches {
            applications.push(Application { rule: i, class });
            let start = notes.start();
            if apply(&mut egraph, &applications, &term)? {
                fired[i] += 1;
                changed = true;
                rewrites.extend(witness.map(|left| (left, term, i)));
            }
            notes.stop_rule(i, 0, start);
            if egraph.total_size() > bound {
                egraph.rebuild();
                stop = Stop::Growth;
                break 'rounds;
            }
        }
        egraph.rebuild();
        sort_operands(&mut egraph);
        if !changed && postponed.is_empty() {
            stop = Stop::Saturated;
            break;
        }
        dirty = above(&egraph, &postponed);
    }
    if let Some(trace) = &mut notes.trace {
        note(trace, &egraph, &rewrites);
    }
    let fired = rule::all().iter().zip(&fired).filter(|(_, n)| **n > 0);
    let fired = fired.map(|(c, &times)| Fired { rule: c.rule.name, times }).collect();
    let (nodes, classes) = (egraph.total_size(), egraph.number_of_classes());
    let saturation =
        Saturation { iterations, nodes, classes, stops: [(stop, 1)].into(), tried: allowed.len(), fired };
    notes.stop(Part::Saturation, started);
    Ok(Saturated { egraph, given, applications, saturation })
}

/// Unites the class of the last application with a term. Is that new?
fn apply(egraph: &mut EGraph, applications: &[Application], term: &Term) -> Result<bool, OptimizeError> {
    let &Application { rule, class } = applications.last().expect("an application");
    let ill_typed = |message| OptimizeError::IllTyped { rule: rule::all()[rule].rule.name, message };
    egraph.analysis.origin = applications.len() as u32;
    let new = language::add_term(egraph, term).map_err(ill_typed)?;
    let (was, is) = (egraph[egraph.find(class)].data.ty, egraph[egraph.find(new)].data.ty);
    if was != is {
        return Err(ill_typed(format!("{was} became {is}")));
    }
    Ok(egraph.union(class, new))
}

/// Notes the rewrites of a saturation. The expression of a class is what it was called by then.
fn note(trace: &mut Trace, egraph: &EGraph, rewrites: &[(Term, Term, usize)]) {
    let mut names: Vec<NodeId> = Vec::with_capacity(egraph.nodes().len());
    for node in egraph.nodes() {
        let inputs: Vec<NodeId> = node.children.iter().map(|&c| names[usize::from(c)]).collect();
        names.push(trace.node(egraph.analysis.op(node), &inputs));
    }
    for (left, right, rule) in rewrites {
        let [left, right] = [left, right].map(|term| trace.term(term, &|class| names[class as usize]));
        trace.equal(left, right, Reason::Rule(*rule));
    }
}

/// A match of a rule.
struct Found {
    rule: usize,
    class: Id,
    /// What the class is equal to.
    term: Term,
    /// What the rule looked at, if that is traced.
    witness: Option<Term>,
}

/// New matches at the `dirty` classes, and the classes that a rule was not done with when it had as many as it may: they come
/// again in the next round, where what was found in this one is not new.
fn search(
    egraph: &EGraph,
    dirty: &[Id],
    by_kind: &[Vec<usize>],
    config: &Config,
    notes: &mut Notes,
) -> (Vec<Found>, Vec<Id>) {
    let mut matches = vec![];
    let mut postponed = vec![];
    let mut counts = vec![0; rule::all().len()];
    let mut rules: Vec<usize> = vec![];
    let seen = Seen::new(egraph);
    for &id in dirty {
        rules.clear();
        let mut last = None;
        for node in &egraph[id].nodes {
            // Nodes are sorted.
            if last.replace(node.kind) != Some(node.kind) {
                rules.extend(&by_kind[node.kind as usize]);
            }
        }
        rules.sort_unstable();
        rules.dedup();
        for &i in &rules {
            if counts[i] < config.matches_per_rule {
                let (start, class) = (notes.start(), language::class(id));
                rule::all()[i].search(&seen, class, &mut |term| {
                    if language::find_term(egraph, &term) != Some(id) {
                        counts[i] += 1;
                        let witness =
                            notes.trace.as_ref().map(|_| witness(&rule::all()[i], &seen, class, &term));
                        matches.push(Found { rule: i, class: id, term, witness });
                    }
                    counts[i] < config.matches_per_rule
                });
                notes.stop_rule(i, 1, start);
            }
            if counts[i] >= config.matches_per_rule {
                postponed.push(id);
            }
        }
    }
    // What simplifies comes first, since there may not be room for all.
    matches.sort_by_key(|m| rule::all()[m.rule].rule.formulas);
    (matches, postponed)
}

/// The operands of commutative operators are kept sorted, but classes have new names after they are united.
fn sort_operands(egraph: &mut EGraph) {
    let mut same = vec![];
    for class in egraph.classes() {
        for node in &class.nodes {
            let [a, b] = node.children() else { continue };
            if a > b && view::is_commutative(egraph.analysis.op(node)) {
                let sorted = ENode { children: [*b, *a].into_iter().collect(), ..node.clone() };
                same.extend(
                    egraph.lookup(sorted).filter(|&other| other != class.id).map(|other| (class.id, other)),
                );
            }
        }
    }
    if !same.is_empty() {
        for (a, b) in same {
            egraph.union(a, b);
        }
        egraph.rebuild();
    }
}

/// The classes that were touched, and those that use them within reach, sorted.
fn above(egraph: &EGraph, postponed: &[Id]) -> Vec<Id> {
    let mut all: FxHashSet<Id> = FxHashSet::default();
    let mut level: Vec<Id> = egraph.analysis.touched.iter().map(|&c| egraph.find(c)).collect();
    for _ in 0..=REACH {
        level.retain(|&c| all.insert(c));
        level = level.iter().flat_map(|&c| egraph[c].parents()).map(|p| egraph.find(p)).collect();
    }
    all.extend(postponed.iter().map(|&c| egraph.find(c)));
    let mut all: Vec<Id> = all.into_iter().collect();
    all.sort_unstable();
    all
}
