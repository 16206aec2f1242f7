//! Extraction: the cheapest graph within an e-graph, shared nodes counted once.
//!
//! There is no tractable exact method, and greedy choice is dearer than its input now and then. So the graph given,
//! a greedy choice, and local improvements of both compete.

use bespoke_graph::{Graph, NodeId, Op};
use bespoke_tensor::Type;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::{
    Candidate, cost,
    regions::Region,
    saturate::Saturated,
    tier0::{roots, sources},
};

/// Sweeps of local improvement.
const SWEEPS: usize = 4;
/// An improvement below this, in nanoseconds, is none.
const EPSILON: f64 = 1e-3;

const NONE: u32 = u32::MAX;

/// A node of a class, with classes numbered densely.
pub struct Node {
    /// The operator.
    pub op: Op,
    /// The operands' classes.
    pub children: Vec<u32>,
    /// In nanoseconds.
    pub cost: f64,
    /// Floating-point operations.
    pub flops: f64,
    /// The application of a rule that made it, from 1; 0 if it was given.
    pub origin: u32,
    is_dot: bool,
}

/// The e-graph, ready to choose from.
pub struct Choices {
    /// The nodes of each class.
    pub classes: Vec<Vec<Node>>,
    /// The class of each node of the graph given.
    pub given: Vec<u32>,
    /// The classes of outputs and next states.
    roots: Vec<u32>,
    /// The nodes of the graph given, by class.
    input: Vec<u32>,
    /// Slices of one value: classes and their nodes. Such a value pays only if it serves several.
    slices: Vec<Vec<(u32, u32)>>,
}

/// A node for each class that is used, and for most others.
pub type Choice = Vec<u32>;

impl Choices {
    /// Reads an e-graph.
    pub fn new(Region { graph, .. }: &Region, saturated: &Saturated) -> Choices {
        let egraph = &saturated.egraph;
        let mut ids: Vec<egg::Id> = egraph.classes().map(|c| c.id).collect();
        ids.sort_unstable();
        let dense: FxHashMap<egg::Id, u32> = ids.iter().enumerate().map(|(i, &id)| (id, i as u32)).collect();
        let stored = stored_classes(saturated, &ids, &dense);
        let classes = ids.iter().map(|&id| {
            let class = &egraph[id];
            let node = |n: &crate::language::ENode| {
                let op = egraph.analysis.op(n).clone();
                let types: Vec<Type> = n.children.iter().map(|&c| egraph[c].data.ty).collect();
                let children: Vec<u32> = n.children.iter().map(|c| dense[c]).collect();
                let given = children.iter().map(|&c| stored[c as usize]);
                let folds = cost::stored(&op, &types, given, &class.data.ty).is_some();
                let cost = if folds { 0.0 } else { cost::node(&op, &types, &class.data.ty) };
                let flops = cost::flops(&op, &types, &class.data.ty);
                Node {
                    is_dot: matches!(op, Op::Dot(_) | Op::Convolution(_)),
                    op,
                    children,
                    cost,
                    flops,
                    origin: n.origin,
                }
            };
            class.nodes.iter().map(node).collect::<Vec<Node>>()
        });
        let classes: Vec<Vec<Node>> = classes.collect();
        let given: Vec<u32> = saturated.given.iter().map(|&id| dense[&egraph.find(id)]).collect();
        let roots = graph.roots().map(|r| given[r.index()]).collect();
        let mut input = vec![NONE; classes.len()];
        for id in graph.ids() {
            let class = given[id.index()] as usize;
            if input[class] == NONE {
                let node = graph.node(id);
                let children: Vec<u32> = node.inputs.iter().map(|i| given[i.index()]).collect();
                let same = |n: &Node| {
                    let swapped = || n.children.len() == 2 && n.children.iter().rev().eq(children.iter());
                    let commutes = crate::view::is_commutative(&n.op);
                    n.op == node.op && (n.children == children || commutes && swapped())
                };
                let i = classes[class].iter().position(same).expect("nodes stay in their classes");
                input[class] = i as u32;
            }
        }
        let slices = slices(&classes);
        Choices { classes, given, roots, input, slices }
    }

    /// The chosen node of a class.
    pub fn node(&self, choice: &Choice, class: u32) -> &Node {
        &self.classes[class as usize][choice[class as usize] as usize]
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
        for &root in &self.roots {
            let mut stack = vec![(root, 0)];
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

    /// Changes one class at a time while that makes the whole cheaper. Classes not in use yet take what `default` says.
    fn improve(&self, choice: &Choice, default: &Choice) -> Choice {
        let Some(order) = self.order(choice) else { return choice.clone() };
        let mut choices = default.clone();
        for &class in &order {
            choices[class as usize] = choice[class as usize];
        }
        let mut trial = Trial { of: self, choice: choices, users: vec![0; self.classes.len()] };
        self.roots.iter().for_each(|&r| {
            trial.acquire(r);
        });
        for _ in 0..SWEEPS {
            let mut improved = false;
            let order = self.order(&trial.choice).expect("changes keep it acyclic");
            for &class in order.iter().rev() {
                for i in 0..self.classes[class as usize].len() as u32 {
                    improved |= trial.users[class as usize] > 0 && trial.change(&[(class, i)]);
                }
            }
            for group in self.slices.iter().rev() {
                improved |= trial.change(group);
            }
            if !improved {
                break;
            }
        }
        trial.choice
    }

    /// The graph of a choice. Nodes come in the order of the graph given where that is possible.
    fn graph(&self, Region { graph, shown, .. }: &Region, choice: &Choice) -> Option<Graph> {
        let order = self.order(choice)?;
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
        let numbers = graph.outputs().len()..;
        for (number, id) in numbers.zip(shown) {
            if let Some(id) = built[self.given[id.index()] as usize] {
                result.set_output(&number.to_string(), id).expect("numbers are distinct");
            }
        }
        Some(result)
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
                let inputs: Vec<NodeId> =
                    node.children.iter().map(|&c| built[c as usize].expect("just checked")).collect();
                built[class as usize] = Some(result.must(node.op.clone(), &inputs));
                stack.pop();
            }
        }
    }
}

/// For each value of which several others are slices: these, with the node that says so.
fn slices(classes: &[Vec<Node>]) -> Vec<Vec<(u32, u32)>> {
    let mut of: Vec<Vec<(u32, u32)>> = vec![vec![]; classes.len()];
    for (class, nodes) in classes.iter().enumerate() {
        for (i, node) in nodes.iter().enumerate().filter(|(_, n)| matches!(n.op, Op::Slice(_))) {
            of[node.children[0] as usize].push((class as u32, i as u32));
        }
    }
    of.retain(|group| group.len() > 1);
    of
}

/// How many elements are stored of the classes that can be computed in advance.
fn stored_classes(
    saturated: &Saturated,
    ids: &[egg::Id],
    dense: &FxHashMap<egg::Id, u32>,
) -> Vec<Option<usize>> {
    let egraph = &saturated.egraph;
    let mut stored = vec![None; ids.len()];
    loop {
        let mut changed = false;
        for (i, &id) in ids.iter().enumerate() {
            if stored[i].is_some() {
                continue;
            }
            let of = |n: &crate::language::ENode| {
                let types: Vec<Type> = n.children.iter().map(|&c| egraph[c].data.ty).collect();
                let given = n.children.iter().map(|c| stored[dense[c] as usize]);
                cost::stored(egraph.analysis.op(n), &types, given, &egraph[id].data.ty)
            };
            stored[i] = egraph[id].nodes.iter().find_map(of);
            changed |= stored[i].is_some();
        }
        if !changed {
            return stored;
        }
    }
}

/// A choice under improvement.
struct Trial<'a> {
    of: &'a Choices,
    choice: Choice,
    users: Vec<u32>,
}

impl Trial<'_> {
    /// Uses a class once more; what that costs.
    fn acquire(&mut self, class: u32) -> f64 {
        let mut stack = vec![class];
        let mut added = 0.0;
        while let Some(class) = stack.pop() {
            self.users[class as usize] += 1;
            if self.users[class as usize] == 1 {
                let node = self.of.node(&self.choice, class);
                added += node.cost;
                stack.extend(&node.children);
            }
        }
        added
    }

    /// Uses a class once less; what that saves.
    fn release(&mut self, class: u32) -> f64 {
        let mut stack = vec![class];
        let mut saved = 0.0;
        while let Some(class) = stack.pop() {
            self.users[class as usize] -= 1;
            if self.users[class as usize] == 0 {
                let node = self.of.node(&self.choice, class);
                saved += node.cost;
                stack.extend(&node.children);
            }
        }
        saved
    }

    fn replace(&mut self, class: u32, node: u32) -> f64 {
        let of = self.of;
        let old = of.node(&self.choice, class);
        let new = &of.classes[class as usize][node as usize];
        let mut change = new.cost - old.cost;
        for &c in &new.children {
            change += self.acquire(c);
        }
        for &c in &old.children {
            change -= self.release(c);
        }
        self.choice[class as usize] = node;
        change
    }

    /// Takes other nodes for classes that are in use, if that makes the whole cheaper and keeps it acyclic.
    fn change(&mut self, group: &[(u32, u32)]) -> bool {
        let mut before: SmallVec<[(u32, u32); 4]> = SmallVec::new();
        let mut change = 0.0;
        for &(class, node) in group {
            let old = self.choice[class as usize];
            let complete = |c: &u32| self.choice[*c as usize] != NONE;
            let fits = node != old && self.users[class as usize] > 0;
            if fits && self.of.classes[class as usize][node as usize].children.iter().all(complete) {
                change += self.replace(class, node);
                before.push((class, old));
            }
        }
        if change < -EPSILON && !before.iter().any(|b| self.reaches_itself(b.0)) {
            return true;
        }
        for (class, old) in before.into_iter().rev() {
            self.replace(class, old);
        }
        false
    }

    fn reaches_itself(&self, class: u32) -> bool {
        let mut seen = vec![false; self.choice.len()];
        let mut stack = self.of.node(&self.choice, class).children.clone();
        while let Some(c) = stack.pop() {
            if c == class {
                return true;
            }
            if !std::mem::replace(&mut seen[c as usize], true) {
                stack.extend(&self.of.node(&self.choice, c).children);
            }
        }
        false
    }
}

/// The cheapest graph, how it was chosen, and all candidates with the chosen one first.
pub fn extract(region: &Region, choices: &Choices) -> (Graph, Choice, Vec<Candidate>) {
    let mut greedy = choices.greedy(true);
    if choices.order(&greedy).is_none() {
        greedy = choices.greedy(false);
    }
    let mut found: Vec<(Candidate, Graph, Choice)> = vec![];
    let mut consider = |name: &'static str, choice: Choice| {
        if let Some(built) = choices.graph(region, &choice) {
            found.push((Candidate { name, cost: cost::graph(&built) }, built, choice));
        }
    };
    consider("input", choices.input.clone());
    consider("improved input", choices.improve(&choices.input, &greedy));
    consider("greedy", greedy.clone());
    consider("improved greedy", choices.improve(&greedy, &greedy));
    // A stable sort: of equal costs, the first candidate wins.
    found.sort_by(|a, b| a.0.cost.total_cmp(&b.0.cost));
    let candidates = found.iter().map(|f| f.0.clone()).collect();
    let (_, best, choice) = found.swap_remove(0);
    (best, choice, candidates)
}
