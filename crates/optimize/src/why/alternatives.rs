//! Other ways to compute a value, and what they would cost.

use std::fmt;

use bespoke_graph::{Graph, NodeId, Op, Operator};
use egg::Id;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::Explainer;
use crate::{Minimise, cost, language::ENode, proof::write_expression, report::amount, tier0, trace, view};

/// Another way to compute a value, and what the graph would cost with it if all else stayed as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    /// The expression, down to values of the optimised graph.
    pub text: String,
    /// By how much the whole graph would be dearer, in the unit of [`Why::cost`](crate::Why::cost).
    pub dearer: f64,
    /// What costs are of.
    pub minimise: Minimise,
    /// What would have to be computed in addition, with its cost; the dearest first.
    pub needs: Vec<(&'static str, f64)>,
    /// What would not be computed any more.
    pub spares: Vec<(NodeId, &'static str, f64)>,
}

/// Costs closer than this are equal.
const EQUAL: f64 = 1e-3;
/// What costs less is not worth a word.
const SMALLEST: f64 = 0.05;
/// So many nodes are named on each side.
const NAMED: usize = 3;

impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = |cost: f64| amount(cost, self.minimise);
        let by = amount(self.dearer.abs());
        let verdict = match self.dearer {
            d if d > EQUAL => format!("{by} dearer"),
            d if d < -EQUAL => {
                format!("{by} cheaper, but the search for the cheapest graph did not come upon it")
            }
            _ => "as dear; what is found first stays".to_owned(),
        };
        write!(f, "{}: {verdict}", self.text)?;
        let list = |f: &mut fmt::Formatter<'_>, verb: &str, nodes: Vec<String>| {
            if nodes.is_empty() {
                return Ok(());
            }
            let (named, more) = nodes.split_at(nodes.len().min(NAMED));
            let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            write!(f, "; {verb} {}{more}", named.join(", "))
        };
        list(f, "needs", self.needs.iter().map(|(op, cost)| format!("{op} ({})", amount(*cost))).collect())?;
        let spares = self.spares.iter().map(|(id, op, cost)| format!("{id} {op} ({})", amount(*cost)));
        list(f, "spares", spares.collect())
    }
}

/// A graph with one node computed in another way.
struct Trial<'a> {
    of: &'a Explainer<'a>,
    best: &'a FxHashMap<Id, (f64, ENode)>,
    graph: Graph,
    /// The new node of each class.
    built: FxHashMap<Id, NodeId>,
    /// The new node of each expression.
    spelled: FxHashMap<NodeId, NodeId>,
    /// The classes that are values of the optimised graph, with the node there.
    known: FxHashMap<Id, NodeId>,
}

impl Explainer<'_> {
    /// The other nodes of a node's class, with the cheapest operands, and the value as it was given, if that is another way.
    /// What needs the value itself is none.
    pub(super) fn alternatives(&self, node: NodeId, given: Option<NodeId>) -> Vec<Alternative> {
        let class = self.classes[node.index()];
        let mut depends = vec![false; self.result.len()];
        depends[node.index()] = true;
        for id in self.result.ids().skip(node.index() + 1) {
            depends[id.index()] = self.result.node(id).inputs.iter().any(|i| depends[i.index()]);
        }
        let known: FxHashMap<Id, NodeId> = self
            .result
            .ids()
            .rev()
            .filter(|id| !depends[id.index()] && self.classes[id.index()] != class)
            .map(|id| (self.classes[id.index()], id))
            .collect();
        let best = self.cheapest(&known, class);
        let egraph = &self.closure.egraph;
        let sorted = |op: &Op, mut children: SmallVec<[Id; 3]>| {
            if view::is_commutative(op) {
                children.sort_unstable();
            }
            children
        };
        let own = self.result.node(node);
        let own_children = sorted(&own.op, own.inputs.iter().map(|i| self.classes[i.index()]).collect());
        let mut seen: FxHashSet<(u32, SmallVec<[Id; 3]>)> = FxHashSet::default();
        let mut found = vec![];
        for other in &egraph[class].nodes {
            let op = egraph.analysis.op(other);
            let children = sorted(op, other.children.iter().map(|&c| egraph.find(c)).collect());
            let is_own = *op == own.op && children == own_children;
            let is_possible = children.iter().all(|c| known.contains_key(c) || best.contains_key(c));
            if !is_own && is_possible && seen.insert((other.op, children)) {
                let add = |trial: &mut Trial<'_>| trial.add(other);
                found.push(self.alternative(node, &depends, &known, &best, &add));
            }
        }
        if let Some(given) = given {
            let add = |trial: &mut Trial<'_>| trial.expression(self.names[0][given.index()]);
            let as_given = self.alternative(node, &depends, &known, &best, &add);
            if found.iter().all(|f| f.text != as_given.text) {
                found.push(Alternative { text: format!("as given, {}", as_given.text), ..as_given });
            }
        }
        found.sort_by(|a, b| a.dearer.total_cmp(&b.dearer).then_with(|| a.text.cmp(&b.text)));
        found
    }

    /// For each class the node with which it costs least, as a tree down to what is known. The class asked for has none.
    fn cheapest(&self, known: &FxHashMap<Id, NodeId>, asked: Id) -> FxHashMap<Id, (f64, ENode)> {
        let egraph = &self.closure.egraph;
        let mut classes: Vec<_> =
            egraph.classes().filter(|c| c.id != asked && !known.contains_key(&c.id)).collect();
        classes.sort_unstable_by_key(|c| c.id);
        let mut best: FxHashMap<Id, (f64, ENode)> = FxHashMap::default();
        let mut changed = true;
        while std::mem::take(&mut changed) {
            for class in &classes {
                for node in &class.nodes {
                    let below = node.children.iter().map(|&c| match egraph.find(c) {
                        c if known.contains_key(&c) => Some(0.0),
                        c => best.get(&c).map(|b| b.0),
                    });
                    let Some(below) = below.sum::<Option<f64>>() else { continue };
                    let types: SmallVec<[_; 3]> = node.children.iter().map(|&c| egraph[c].data.ty).collect();
                    let op = egraph.analysis.op(node);
                    let cost = below + cost::of_node(self.config, op, &types, &class.data.ty);
                    if best.get(&class.id).is_none_or(|b| cost < b.0 - EQUAL) {
                        best.insert(class.id, (cost, node.clone()));
                        changed = true;
                    }
                }
            }
        }
        best
    }

    fn alternative(
        &self,
        node: NodeId,
        depends: &[bool],
        known: &FxHashMap<Id, NodeId>,
        best: &FxHashMap<Id, (f64, ENode)>,
        add: &dyn Fn(&mut Trial<'_>) -> NodeId,
    ) -> Alternative {
        let mut map: Vec<Option<NodeId>> = vec![None; self.result.len()];
        let mut graph = Graph::new();
        tier0::sources(self.result, &mut graph, &mut map);
        let copy = |graph: &mut Graph, map: &mut [Option<NodeId>], id: NodeId| {
            if map[id.index()].is_none() {
                let node = self.result.node(id);
                let inputs: SmallVec<[NodeId; 3]> =
                    node.inputs.iter().map(|i| map[i.index()].expect("operands come first")).collect();
                map[id.index()] = Some(graph.must(node.op.clone(), &inputs));
            }
        };
        for id in self.result.ids().filter(|id| !depends[id.index()]) {
            copy(&mut graph, &mut map, id);
        }
        let first = graph.len();
        let known =
            known.iter().map(|(&class, id)| (class, map[id.index()].expect("it was copied"))).collect();
        let mut trial = Trial {
            of: self,
            best,
            graph,
            built: FxHashMap::default(),
            spelled: FxHashMap::default(),
            known,
        };
        let new = add(&mut trial);
        let Trial { mut graph, .. } = trial;
        let last = graph.len();
        map[node.index()] = Some(new);
        for id in self.result.ids().filter(|id| depends[id.index()]) {
            copy(&mut graph, &mut map, id);
        }
        tier0::roots(self.result, &mut graph, &|id| map[id.index()].expect("all are copied"));

        let mut names: FxHashMap<NodeId, NodeId> = FxHashMap::default();
        for id in self.result.ids().filter(|id| !depends[id.index()]) {
            names.entry(map[id.index()].expect("it was copied")).or_insert(id);
        }
        let mut text = String::new();
        let name = |id: NodeId| if id == new { None } else { names.get(&id).map(NodeId::to_string) };
        write_expression(&graph, new, &name, &mut 20, &mut text);

        let (before, after) = (cost::of_nodes(self.config, self.result), cost::of_nodes(self.config, &graph));
        let (was_live, live) = (self.result.live(), graph.live());
        let needs = graph.ids().skip(first).take(last - first).filter(|id| live[id.index()]);
        let mut needs: Vec<_> = needs.map(|id| (graph.node(id).op.name(), after[id.index()])).collect();
        let is_spared = |id: &NodeId| {
            let copy = map[id.index()].expect("all are copied");
            was_live[id.index()] && (*id == node || !live[copy.index()])
        };
        let spares = self.result.ids().filter(is_spared);
        let mut spares: Vec<_> =
            spares.map(|id| (id, self.result.node(id).op.name(), before[id.index()])).collect();
        needs.retain(|n| n.1 >= SMALLEST);
        spares.retain(|s| s.2 >= SMALLEST);
        needs.sort_by(|a, b| b.1.total_cmp(&a.1));
        spares.sort_by(|a, b| b.2.total_cmp(&a.2));
        let dearer = after.iter().sum::<f64>() - before.iter().sum::<f64>();
        Alternative { text, dearer, minimise: self.config.minimise, needs, spares }
    }
}

impl Trial<'_> {
    fn add(&mut self, node: &ENode) -> NodeId {
        let egraph = &self.of.closure.egraph;
        let inputs: SmallVec<[NodeId; 3]> =
            node.children.iter().map(|&c| self.class(egraph.find(c))).collect();
        trace::add(&mut self.graph, egraph.analysis.op(node), &inputs)
    }

    /// An expression of the trace, down to what is known.
    fn expression(&mut self, id: NodeId) -> NodeId {
        if let Some(&new) = self.spelled.get(&id) {
            return new;
        }
        let node = self.of.trace.graph.node(id);
        let inputs: SmallVec<[NodeId; 3]> = node
            .inputs
            .iter()
            .map(|&i| match self.known.get(&self.of.closure.class(i)) {
                Some(&known) => known,
                None => self.expression(i),
            })
            .collect();
        let new = trace::add(&mut self.graph, &node.op, &inputs);
        self.spelled.insert(id, new);
        new
    }

    fn class(&mut self, class: Id) -> NodeId {
        if let Some(&id) = self.known.get(&class).or(self.built.get(&class)) {
            return id;
        }
        let (_, node) = &self.best[&class];
        let id = self.add(node);
        self.built.insert(class, id);
        id
    }
}
