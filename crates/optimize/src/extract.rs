//! Extraction: the cheapest graph within an e-graph, shared nodes counted once.
//!
//! There is no tractable exact method for large graphs, and greedy choice is dearer than its input now and then. So the
//! graph given, a greedy choice, local improvements of both, and for small graphs an exact search compete.

mod exact;
mod improve;

use bespoke_graph::{Graph, NodeId, Op, Operator};
use bespoke_tensor::Type;
use smallvec::SmallVec;

use crate::{
    Candidate, Config, Extraction, Share, cost,
    language::{EGraph, ENode},
    regions::Region,
    report::add_share,
    saturate::Saturated,
    tier0::{roots, sources},
    view,
};

/// An improvement below this is none.
const EPSILON: f64 = 1e-3;

const NONE: u32 = u32::MAX;

/// A node of a class, with classes numbered densely.
pub struct Node {
    /// The operands' classes.
    pub children: SmallVec<[u32; 3]>,
    /// The application of a rule that made it, from 1; 0 if it was given.
    pub origin: u32,
    /// Of what is minimised.
    pub cost: f64,
    op: u32,
    is_dot: bool,
    /// Is it computed in advance if its operands are?
    folds: bool,
}

/// The e-graph, ready to choose from.
pub struct Choices<'a> {
    /// The nodes of each class.
    pub classes: Vec<Vec<Node>>,
    /// The class of each node of the graph given.
    pub given: Vec<u32>,
    egraph: &'a EGraph,
    /// The types of the classes' values.
    types: Vec<Type>,
    /// The classes of outputs and next states.
    roots: Vec<u32>,
    /// The nodes of the graph given, by class.
    pub input: Choice,
    /// Slices of one value: classes and their nodes. Such a value pays only if it serves several.
    slices: Vec<Vec<(u32, u32)>>,
    /// What is minimised.
    config: &'a Config,
}

/// A node for each class that is used, and for most others.
pub type Choice = Vec<u32>;

impl<'a> Choices<'a> {
    /// Reads an e-graph.
    pub fn new(Region { graph, .. }: &Region, saturated: &'a Saturated, config: &'a Config) -> Choices<'a> {
        let egraph = &saturated.egraph;
        let mut ids: Vec<egg::Id> = egraph.classes().map(|c| c.id).collect();
        ids.sort_unstable();
        let mut dense = vec![NONE; ids.last().map_or(0, |&id| usize::from(id) + 1)];
        ids.iter().enumerate().for_each(|(i, &id)| dense[usize::from(id)] = i as u32);
        let dense = |id: egg::Id| dense[usize::from(id)];
        let types: Vec<Type> = ids.iter().map(|&id| egraph[id].data.ty).collect();
        let read = |class: usize, n: &ENode| {
            let (op, ty) = (egraph.analysis.op(n), &types[class]);
            let children: SmallVec<[u32; 3]> = n.children.iter().map(|&c| dense(c)).collect();
            let operands: SmallVec<[Type; 3]> = children.iter().map(|&c| types[c as usize]).collect();
            Node {
                folds: false,
                cost: cost::of_node(config, op, &operands, ty),
                is_dot: matches!(op, Op::Dot(_) | Op::Convolution(_)),
                op: n.op,
                origin: n.origin,
                children,
            }
        };
        let all = ids.iter().enumerate();
        let classes = all.map(|(c, &id)| egraph[id].nodes.iter().map(|n| read(c, n)).collect()).collect();
        let given: Vec<u32> = saturated.given.iter().map(|&id| dense(egraph.find(id))).collect();
        let roots = graph.roots().map(|r| given[r.index()]).collect();
        let input = vec![NONE; types.len()];
        let mut choices = Choices { classes, given, egraph, types, roots, input, slices: vec![], config };
        choices.fold();
        choices.find_slices();
        choices.find_input(graph);
        choices
    }

    /// What can be computed in advance costs nothing.
    fn fold(&mut self) {
        // How many elements are stored of such values.
        let mut stored: Vec<Option<usize>> = vec![None; self.classes.len()];
        let of = |class: usize, node: &Node, stored: &[Option<usize>]| {
            if node.children.iter().any(|&c| stored[c as usize].is_none()) {
                return None;
            }
            let given = node.children.iter().map(|&c| stored[c as usize]);
            cost::stored(self.op(node), &self.operands(node), given, &self.types[class])
        };
        let mut changed = true;
        while std::mem::take(&mut changed) {
            for (class, nodes) in self.classes.iter().enumerate() {
                if stored[class].is_none() {
                    stored[class] = nodes.iter().find_map(|n| of(class, n, &stored));
                    changed |= stored[class].is_some();
                }
            }
        }
        let folds = self.classes.iter().enumerate();
        let folds: Vec<Vec<bool>> = folds
            .map(|(class, nodes)| nodes.iter().map(|n| of(class, n, &stored).is_some()).collect())
            .collect();
        for (node, folds) in self.classes.iter_mut().flatten().zip(folds.into_iter().flatten()) {
            if folds {
                (node.folds, node.cost) = (true, 0.0);
            }
        }
    }

    /// For each value of which several others are slices: these, with the node that says so.
    fn find_slices(&mut self) {
        let mut of: Vec<Vec<(u32, u32)>> = vec![vec![]; self.classes.len()];
        for (class, nodes) in self.classes.iter().enumerate() {
            for (i, node) in nodes.iter().enumerate().filter(|(_, n)| matches!(self.op(n), Op::Slice(_))) {
                of[node.children[0] as usize].push((class as u32, i as u32));
            }
        }
        of.retain(|group| group.len() > 1);
        self.slices = of;
    }

    fn find_input(&mut self, graph: &Graph) {
        for id in graph.ids() {
            let class = self.given[id.index()] as usize;
            if self.input[class] == NONE {
                let node = graph.node(id);
                let children: SmallVec<[u32; 3]> =
                    node.inputs.iter().map(|i| self.given[i.index()]).collect();
                let same = |n: &Node| {
                    let op = self.op(n);
                    let swapped = || n.children.len() == 2 && n.children.iter().rev().eq(children.iter());
                    *op == node.op && (n.children == children || view::is_commutative(op) && swapped())
                };
                let i = self.classes[class].iter().position(same).expect("nodes stay in their classes");
                self.input[class] = i as u32;
            }
        }
    }

    /// The chosen node of a class.
    pub fn node(&self, choice: &Choice, class: u32) -> &Node {
        &self.classes[class as usize][choice[class as usize] as usize]
    }

    /// The operator of a node.
    pub fn op(&self, node: &Node) -> &'a Op {
        self.egraph.analysis.number(node.op)
    }

    /// The floating-point operations of a class as it is chosen.
    pub fn flops(&self, choice: &Choice, class: u32) -> f64 {
        let node = self.node(choice, class);
        cost::flops(self.op(node), &self.operands(node), &self.types[class as usize])
    }

    fn operands(&self, node: &Node) -> SmallVec<[Type; 3]> {
        node.children.iter().map(|&c| self.types[c as usize]).collect()
    }

    /// The choice of least tree cost, bottom up. With `cut`, users of a dot do not count what its operands cost.
    fn greedy(&self, cut: bool) -> Choice {
        let mut choice = vec![NONE; self.classes.len()];
        let mut best = vec![f64::INFINITY; self.classes.len()];
        let mut export = best.clone();
        for _ in 0..64 {
            let mut changed = false;
            for (class, nodes) in self.classes.iter().enumerate() {
                for (i, node) in nodes.iter().enumerate() {
                    let below: f64 = node.children.iter().map(|&c| export[c as usize]).sum();
                    let total = node.cost + below;
                    if total < best[class] - EPSILON || choice[class] == NONE && total.is_finite() {
                        best[class] = total;
                        export[class] = if cut && node.is_dot { node.cost } else { total };
                        choice[class] = i as u32;
                        changed = true;
                    }
                }
            }
            if !changed {
                break;
            }
        }
        choice
    }

    /// Classes in an order in which operands come first, or none if the choice is cyclic or incomplete.
    pub fn order(&self, choice: &Choice) -> Option<Vec<u32>> {
        let mut order = vec![];
        // 0: not seen, 1: under way, 2: done.
        let mut mark = vec![0u8; self.classes.len()];
        let mut stack = vec![];
        for &root in &self.roots {
            stack.push((root, 0));
            while let Some((class, next)) = stack.pop() {
                let c = class as usize;
                if next == 0 {
                    match mark[c] {
                        1 => return None,
                        2 => continue,
                        _ if choice[c] == NONE => return None,
                        _ => mark[c] = 1,
                    }
                }
                match self.node(choice, class).children.get(next) {
                    Some(&child) => stack.extend([(class, next + 1), (child, 0)]),
                    None => {
                        mark[c] = 2;
                        order.push(class);
                    }
                }
            }
        }
        Some(order)
    }

    /// What the nodes of a choice cost, if it is acyclic, without what it takes to store values.
    #[cfg(test)]
    pub fn cost(&self, choice: &Choice) -> Option<f64> {
        let mut closed = vec![false; self.classes.len()];
        let mut loops: Vec<&Node> = vec![];
        let mut sum = 0.0;
        for class in self.order(choice)? {
            let node = self.node(choice, class);
            let is_closed = node.folds && node.children.iter().all(|&c| closed[c as usize]);
            closed[class as usize] = is_closed;
            if is_closed {
                continue;
            }
            let mut times = 1.0;
            if let Op::Scan(scan) = self.op(node) {
                let is_sibling = |other: &&Node| match self.op(other) {
                    Op::Scan(other_scan) => other.children == node.children && scan.is_sibling(other_scan),
                    _ => false,
                };
                if loops.iter().any(is_sibling) {
                    continue;
                }
                loops.push(node);
                times = scan.body.outputs().len() as f64;
            }
            let could_fold = node.folds && node.cost == 0.0;
            let cost = if could_fold {
                cost::of_node(self.config, self.op(node), &self.operands(node), &self.types[class as usize])
            } else {
                node.cost
            };
            sum += times * cost;
        }
        Some(sum)
    }

    /// The graph of a choice, which is acyclic. Nodes come in the order of the graph given where that is possible.
    fn graph(&self, Region { graph, shown, .. }: &Region, choice: &Choice) -> Graph {
        let order = self.order(choice).expect("it is acyclic");
        let mut used = vec![false; self.classes.len()];
        order.iter().for_each(|&c| used[c as usize] = true);
        let mut result = Graph::new();
        let mut map = vec![None; graph.len()];
        sources(graph, &mut result, &mut map);
        let mut built: Vec<Option<NodeId>> = vec![None; self.classes.len()];
        for id in graph.ids() {
            if let Some(source) = map[id.index()] {
                built[self.given[id.index()] as usize] = Some(source);
            }
        }
        for id in graph.ids().filter(|id| used[self.given[id.index()] as usize]) {
            result.set_location(graph.node(id).location);
            self.build(&mut result, choice, &mut built, self.given[id.index()]);
        }
        let of = |id: NodeId| {
            map[id.index()]
                .or(built[self.given[id.index()] as usize])
                .expect("roots are given, so they are built")
        };
        roots(graph, &mut result, &of);
        for (number, id) in (graph.outputs().len()..).zip(shown) {
            if let Some(id) = built[self.given[id.index()] as usize] {
                result.set_output(&number.to_string(), id).expect("numbers are distinct");
            }
        }
        result
    }

    fn build(&self, result: &mut Graph, choice: &Choice, built: &mut [Option<NodeId>], root: u32) {
        let mut stack = vec![root];
        while let Some(&class) = stack.last() {
            if built[class as usize].is_some() {
                stack.pop();
                continue;
            }
            let node = self.node(choice, class);
            let missing = node.children.iter().rev().filter(|&&c| built[c as usize].is_none());
            let before = stack.len();
            stack.extend(missing);
            if stack.len() == before {
                let inputs: SmallVec<[NodeId; 3]> =
                    node.children.iter().map(|&c| built[c as usize].expect("just checked")).collect();
                built[class as usize] = Some(result.must(self.op(node).clone(), &inputs));
                stack.pop();
            }
        }
    }
}

/// A candidate with what it consists of.
fn candidate(name: &'static str, graph: &Graph, config: &Config) -> Candidate {
    let costs = cost::of_nodes(config, graph);
    let mut parts: Vec<Share> = vec![];
    for (id, &cost) in graph.ids().zip(&costs).filter(|c| *c.1 > 0.0) {
        add_share(&mut parts, Share { op: graph.node(id).op.name(), nodes: 1, cost });
    }
    Candidate { name, cost: costs.iter().sum(), parts }
}

/// A candidate.
struct Found {
    candidate: Candidate,
    choice: Choice,
    /// The classes in use, with their nodes.
    nodes: Vec<(u32, u32)>,
    /// Its graph, if no other candidate is equal.
    graph: Option<Graph>,
}

/// The cheapest graph and how it was chosen, none if the one given is no dearer; and all candidates, the cheapest first. The
/// one called input may be cheaper than the graph given, whose nodes may have turned out equal.
pub fn extract(
    region: &Region,
    choices: &Choices<'_>,
    extraction: Extraction,
) -> (Option<(Graph, Choice)>, Vec<Candidate>) {
    let mut greedy = choices.greedy(true);
    if choices.order(&greedy).is_none() {
        greedy = choices.greedy(false);
    }
    let mut found: Vec<Found> = vec![];
    let consider = |found: &mut Vec<Found>, name: &'static str, choice: Choice| {
        let Some(order) = choices.order(&choice) else { return };
        let nodes: Vec<(u32, u32)> = order.iter().map(|&class| (class, choice[class as usize])).collect();
        let (candidate, graph) = match found.iter().find(|f| f.nodes == nodes) {
            Some(same) => (Candidate { name, ..same.candidate.clone() }, None),
            None => {
                let graph = choices.graph(region, &choice);
                (candidate(name, &graph, choices.config), Some(graph))
            }
        };
        found.push(Found { candidate, nodes, graph, choice });
    };
    consider(&mut found, "input", choices.input.clone());
    consider(&mut found, "improved input", choices.improve(&choices.input, &greedy));
    consider(&mut found, "improved greedy", choices.improve(&greedy, &greedy));
    consider(&mut found, "greedy", greedy);
    let by_cost = |a: &Found, b: &Found| a.candidate.cost.total_cmp(&b.candidate.cost);
    let cheapest = found.iter().min_by(|a, b| by_cost(a, b)).expect("the input is one").choice.clone();
    if let Some(choice) = choices.exact(&cheapest, exact::STATES) {
        consider(&mut found, "exact", choice);
    }
    // A stable sort: of equal costs, the first candidate wins.
    found.sort_by(by_cost);
    if let Some(wanted) = found.iter().position(|f| Some(f.candidate.name) == extraction.name()) {
        found[..=wanted].rotate_right(1);
    }
    let candidates: Vec<Candidate> = found.iter().map(|f| f.candidate.clone()).collect();
    let Found { candidate: best, graph, choice, .. } = found.swap_remove(0);
    let graph = graph.unwrap_or_else(|| choices.graph(region, &choice));
    let is_cheaper = best.cost < cost::of_graph(choices.config, &region.graph) - EPSILON;
    (is_cheaper.then_some((graph, choice)), candidates)
}
