//! Proofs that two expressions are equal, step by step, from the explanations of egg.

use std::{fmt, rc::Rc};

use bespoke_graph::{Graph, NodeId, Op, Operator, op};
use egg::{Id, TreeTerm};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::{
    language::{EGraph, ENode, Knowledge},
    trace::{self, Trace},
    view,
};

/// The reason for an equality of two orders of operands, which is no step for a reader.
const COMMUTES: &str = "commutes";
/// A proof of more steps ends early.
const STEPS: usize = 1000;

/// One rewrite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The rule's name; `fold` for a value that is computed in advance, `loops/…` for what was done to a loop.
    pub rule: &'static str,
    /// Is the rule applied from left to right? Otherwise it rewrites `to` into `from`.
    pub forward: bool,
    /// What is rewritten: a part of the whole expression, wherever it occurs there.
    pub from: NodeId,
    /// Into what.
    pub to: NodeId,
    /// The whole expression, after the step.
    pub whole: NodeId,
}

/// A value of the graph given that a proof does not look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The node of the graph given.
    pub given: NodeId,
    /// What it is there, as `dot %0, %3 : f32[128,10]`.
    pub text: String,
}

/// Why an expression is equal to another: rewrites that lead from the one to the other. Printed, expressions are as in
/// patterns of rules; [`Proof::text`] prints them in another notation.
#[derive(Clone)]
pub struct Proof {
    /// All expressions. Its inputs are inputs and states of the graph given, and [leaves](Proof::leaves).
    pub graph: Graph,
    /// The expression as it was given.
    pub start: NodeId,
    /// What leads to the expression as it is now.
    pub steps: Vec<Step>,
    /// Inputs that stand for values of the graph given, with what they stand for.
    pub leaves: Vec<(NodeId, Leaf)>,
}

impl Proof {
    /// The expressions in the notation that `expression` gives for a value of a graph, and the steps from each to the next.
    pub fn text(&self, expression: &dyn Fn(&Graph, NodeId) -> String) -> String {
        let show = |id| expression(&self.graph, id);
        let mut last = show(self.start);
        let mut text = format!("  {last}\n");
        let mut before = self.start;
        for step in &self.steps {
            let whole = show(step.whole);
            if whole != last {
                text += &format!("= {whole}\n");
            }
            let direction = if step.forward { "" } else { ", from right to left" };
            text += &format!("    by {}{direction}", step.rule);
            let pair = (show(step.from), show(step.to));
            if pair.0 == pair.1 {
                // What the notation leaves out has changed.
                let [from, to] = [step.from, step.to].map(|id| self::expression(&self.graph, id));
                text += &format!(": {from} → {to}");
            } else if step.from != before {
                text += &format!(": {} → {}", pair.0, pair.1);
            }
            text += "\n";
            (last, before) = (whole, step.whole);
        }
        for (_, leaf) in &self.leaves {
            text += &format!("where {} = {}\n", leaf.given, leaf.text);
        }
        text
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(&expression))
    }
}

/// What a node is: `dot %0, %3 {contract=[1]x[0]} : f32[128,10]`.
pub fn definition(graph: &Graph, id: NodeId) -> String {
    let node = graph.node(id);
    let operands: Vec<String> = node.inputs.iter().map(NodeId::to_string).collect();
    let space = if operands.is_empty() { "" } else { " " };
    format!("{}{space}{}{} : {}", node.op.name(), operands.join(", "), attributes(&node.op, " "), node.ty)
}

/// Attributes in braces, after a space or not.
fn attributes(op: &Op, space: &str) -> String {
    let attributes = op.attributes();
    let texts: Vec<String> = attributes.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if texts.is_empty() { String::new() } else { format!("{space}{{{}}}", texts.join(", ")) }
}

/// So many operators of an expression are written.
const WRITTEN: usize = 60;

/// A value as an expression like those of rules, with attributes: `(add x (dot{contract=[1]x[0]} y w))`. A constant in all
/// elements is a number.
pub fn expression(graph: &Graph, id: NodeId) -> String {
    let mut text = String::new();
    write_expression(graph, id, &|_| None, &mut WRITTEN.clone(), &mut text);
    text
}

/// Writes an expression down to the values that have a name, of so many operators at most.
pub fn write_expression(
    graph: &Graph,
    id: NodeId,
    name: &dyn Fn(NodeId) -> Option<String>,
    left: &mut usize,
    text: &mut String,
) {
    if let Some(name) = name(id) {
        return text.push_str(&name);
    }
    let node = graph.node(id);
    match &node.op {
        Op::Input(input) => return text.push_str(&input.name),
        Op::StateRead(state) => return text.push_str(&state.name),
        Op::Constant(c) if node.ty.rank() == 0 => return text.push_str(&c.value.get(0).to_string()),
        Op::Broadcast(_) if matches!(graph.node(node.inputs[0]).op, Op::Constant(_)) => {
            return write_expression(graph, node.inputs[0], name, left, text);
        }
        _ => {}
    }
    if *left == 0 {
        return text.push('…');
    }
    *left -= 1;
    let attributes =
        if matches!(node.op, Op::Constant(_)) { String::new() } else { attributes(&node.op, "") };
    *text += &format!("({}{attributes}", node.op.name());
    for &input in &node.inputs {
        text.push(' ');
        write_expression(graph, input, name, left, text);
    }
    text.push(')');
}

/// All that follows from equalities of expressions.
pub struct Closure {
    /// Classes of equal values.
    pub egraph: EGraph,
    /// The e-graph's name of each expression.
    ids: Vec<Id>,
}

impl Closure {
    /// The closure of equalities with reasons; `explained` if proofs will be asked for.
    pub fn new(
        graph: &Graph,
        equalities: impl Iterator<Item = (NodeId, NodeId, &'static str)>,
        explained: bool,
    ) -> Closure {
        let mut egraph = EGraph::new(Knowledge::default());
        if explained {
            egraph = egraph.with_explanations_enabled();
        }
        let mut ids: Vec<Id> = Vec::with_capacity(graph.len());
        for id in graph.ids() {
            let node = graph.node(id);
            let (kind, op) = (view::kind(&node.op), egraph.analysis.intern(node.op.clone()));
            let children: SmallVec<[Id; 3]> = node.inputs.iter().map(|i| ids[i.index()]).collect();
            let swapped = children.iter().rev().copied().collect();
            let new = egraph.add_uncanonical(ENode { kind, op, children, origin: 0 });
            if view::is_commutative(&node.op) {
                let other = egraph.add_uncanonical(ENode { kind, op, children: swapped, origin: 0 });
                egraph.union_trusted(new, other, COMMUTES);
            }
            ids.push(new);
        }
        for (left, right, reason) in equalities {
            egraph.union_trusted(ids[left.index()], ids[right.index()], reason);
        }
        egraph.rebuild();
        Closure { egraph, ids }
    }

    /// The class of an expression.
    pub fn class(&self, id: NodeId) -> Id {
        self.egraph.find(self.ids[id.index()])
    }
}

/// The rewrites that lead from an expression to an equal one. Classes for which `leaf` gives a node of the graph given are not
/// looked into. None if they are not equal.
pub fn prove(
    given: &Graph,
    trace: &Trace,
    closure: &Closure,
    [left, right]: [NodeId; 2],
    leaf: &dyn Fn(Id) -> Option<NodeId>,
) -> Option<Proof> {
    let mut part = Part::new(trace, closure, leaf);
    let [left, right] = [left, right].map(|id| part.root(id));
    part.complete();
    let Part { graph, cut, equalities, leaves, .. } = part;
    let cut = |id: NodeId| cut[id.index()].expect("it was asked for");
    let (start, end) = (cut(left), cut(right));
    let equalities = equalities.into_iter().map(|i| &trace.equalities[i]);
    let equalities = equalities.map(|e| (cut(e.left), cut(e.right), e.reason.name()));
    let mut explained = Closure::new(&graph, equalities, true);
    if explained.class(start) != explained.class(end) {
        return None;
    }
    let (from, to) = (explained.ids[start.index()], explained.ids[end.index()]);
    let explanation = explained.egraph.explain_id_equivalence(from, to).explanation_trees;
    let mut reader = Reader { egraph: &explained.egraph, graph, ends: FxHashMap::default() };
    let steps = match reader.everywhere(&explanation, start, end) {
        Some(steps) => steps,
        None => {
            let mut steps = vec![];
            reader.in_place(&explanation, &mut vec![], &mut steps);
            steps
        }
    };
    let graph = reader.graph;
    let mut live = vec![false; graph.len()];
    let expressions = steps.iter().flat_map(|s| [s.from, s.to, s.whole]).chain([start]);
    expressions.for_each(|id| mark(&graph, id, &mut live));
    let leaves = leaves.into_iter().filter(|l| live[l.0.index()]);
    let leaves = leaves.map(|(input, id)| (input, Leaf { given: id, text: definition(given, id) })).collect();
    Some(Proof { graph, start, steps, leaves })
}

/// Marks a value and all that it is computed from.
fn mark(graph: &Graph, root: NodeId, marks: &mut [bool]) {
    let mut stack = vec![root];
    while let Some(id) = stack.pop() {
        if !std::mem::replace(&mut marks[id.index()], true) {
            stack.extend(&graph.node(id).inputs);
        }
    }
}

/// The part of a trace that matters for a proof.
struct Part<'a> {
    trace: &'a Trace,
    closure: &'a Closure,
    leaf: &'a dyn Fn(Id) -> Option<NodeId>,
    /// The equalities of each class, by position.
    of_class: FxHashMap<Id, Vec<usize>>,
    needed: Vec<bool>,
    /// The expressions, down to leaves.
    graph: Graph,
    cut: Vec<Option<NodeId>>,
    equalities: Vec<usize>,
    leaves: Vec<(NodeId, NodeId)>,
}

impl<'a> Part<'a> {
    fn new(trace: &'a Trace, closure: &'a Closure, leaf: &'a dyn Fn(Id) -> Option<NodeId>) -> Part<'a> {
        let mut of_class: FxHashMap<Id, Vec<usize>> = FxHashMap::default();
        for (i, equality) in trace.equalities.iter().enumerate() {
            of_class.entry(closure.class(equality.left)).or_default().push(i);
        }
        Part {
            trace,
            closure,
            leaf,
            of_class,
            needed: vec![false; trace.graph.len()],
            graph: Graph::new(),
            cut: vec![None; trace.graph.len()],
            equalities: vec![],
            leaves: vec![],
        }
    }

    /// Asks for an expression, and for all that its parts may be rewritten into.
    fn root(&mut self, id: NodeId) -> NodeId {
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            if std::mem::replace(&mut self.needed[id.index()], true) {
                continue;
            }
            let class = self.closure.class(id);
            if (self.leaf)(class).is_some() {
                continue;
            }
            stack.extend(&self.trace.graph.node(id).inputs);
            for i in self.of_class.remove(&class).unwrap_or_default() {
                self.equalities.push(i);
                stack.extend([self.trace.equalities[i].left, self.trace.equalities[i].right]);
            }
        }
        id
    }

    /// Makes the expressions that were asked for.
    fn complete(&mut self) {
        self.equalities.sort_unstable();
        let mut inputs: FxHashMap<Id, NodeId> = FxHashMap::default();
        for id in self.trace.graph.ids().filter(|id| self.needed[id.index()]) {
            let (node, class) = (self.trace.graph.node(id), self.closure.class(id));
            let new = match (inputs.get(&class), (self.leaf)(class)) {
                (Some(&input), _) => input,
                (None, Some(leaf)) => {
                    let mut name = leaf.to_string();
                    while self.trace.graph.source(&name).is_some() {
                        name.push('\'');
                    }
                    let input = self.graph.must(op::Input { name, ty: node.ty }, &[]);
                    inputs.insert(class, input);
                    self.leaves.push((input, leaf));
                    input
                }
                (None, None) => {
                    let operand = |i: &NodeId| self.cut[i.index()].expect("operands are needed too");
                    let operands: SmallVec<[NodeId; 3]> = node.inputs.iter().map(operand).collect();
                    trace::add(&mut self.graph, &node.op, &operands)
                }
            };
            self.cut[id.index()] = Some(new);
        }
        self.leaves.sort_by_key(|l| l.1);
    }
}

type Tree = Rc<TreeTerm<ENode>>;

/// An explanation as it is read.
struct Reader<'a> {
    egraph: &'a EGraph,
    /// The expressions met.
    graph: Graph,
    /// The first and the last expression of each term.
    ends: FxHashMap<*const TreeTerm<ENode>, [NodeId; 2]>,
}

/// The operators above a part of an expression: the operator, its operands, and which of them leads on.
type Frames = Vec<(Op, Vec<NodeId>, usize)>;

impl Reader<'_> {
    fn add(&mut self, node: &ENode, operands: &[NodeId]) -> NodeId {
        self.graph.must(self.egraph.analysis.op(node).clone(), operands)
    }

    fn ends(&mut self, tree: &Tree) -> [NodeId; 2] {
        if let Some(&known) = self.ends.get(&Rc::as_ptr(tree)) {
            return known;
        }
        let side = |reader: &mut Self, last: usize| {
            let ends = tree.child_proofs.iter().map(|proof| {
                let at = if last == 0 { 0 } else { proof.len() - 1 };
                reader.ends(&proof[at])[last]
            });
            let operands: Vec<NodeId> = ends.collect();
            reader.add(&tree.node, &operands)
        };
        let ends = [side(self, 0), side(self, 1)];
        self.ends.insert(Rc::as_ptr(tree), ends);
        ends
    }

    /// The step that leads to a term from the one before, if it is not a step of its parts.
    fn step(&mut self, before: &Tree, tree: &Tree) -> Option<Step> {
        let (rule, forward) = match (tree.forward_rule, tree.backward_rule) {
            (Some(rule), _) => (rule.as_str(), true),
            (None, Some(rule)) => (rule.as_str(), false),
            (None, None) => return None,
        };
        let (from, to) = (self.ends(before)[1], self.ends(tree)[0]);
        Some(Step { rule, forward, from, to, whole: to })
    }

    /// The steps, each taken wherever it fits: what occurs several times is rewritten once. None if that leads elsewhere.
    fn everywhere(&mut self, explanation: &[Tree], start: NodeId, end: NodeId) -> Option<Vec<Step>> {
        let mut all = vec![];
        self.collect(explanation, &mut FxHashSet::default(), &mut all);
        let mut whole = start;
        let mut steps = vec![];
        for step in all {
            let next = replace(&mut self.graph, whole, step.from, step.to);
            if next != whole && step.rule != COMMUTES {
                steps.push(Step { whole: next, ..step });
            }
            whole = next;
        }
        (whole == end).then_some(steps)
    }

    fn collect(
        &mut self,
        proof: &[Tree],
        seen: &mut FxHashSet<*const TreeTerm<ENode>>,
        steps: &mut Vec<Step>,
    ) {
        for (i, tree) in proof.iter().enumerate() {
            if i > 0 {
                steps.extend(self.step(&proof[i - 1], tree));
            }
            if seen.insert(Rc::as_ptr(tree)) {
                tree.child_proofs.iter().for_each(|child| self.collect(child, seen, steps));
            }
        }
    }

    /// The steps, each at one place.
    fn in_place(&mut self, proof: &[Tree], above: &mut Frames, steps: &mut Vec<Step>) {
        for (i, tree) in proof.iter().enumerate() {
            if steps.len() >= STEPS {
                return;
            }
            let step = if i > 0 { self.step(&proof[i - 1], tree) } else { None };
            if let Some(step) = step.filter(|s| s.rule != COMMUTES) {
                let whole = above.iter().rev().fold(step.to, |part, (op, operands, i)| {
                    let mut operands = operands.clone();
                    operands[*i] = part;
                    self.graph.must(op.clone(), &operands)
                });
                steps.push(Step { whole, ..step });
            }
            let op = self.egraph.analysis.op(&tree.node).clone();
            let mut operands: Vec<NodeId> =
                tree.child_proofs.iter().map(|child| self.ends(&child[0])[0]).collect();
            for (i, child) in tree.child_proofs.iter().enumerate() {
                above.push((op.clone(), operands.clone(), i));
                self.in_place(child, above, steps);
                above.pop();
                operands[i] = self.ends(&child[child.len() - 1])[1];
            }
        }
    }
}

/// An expression with one part replaced, wherever it occurs.
fn replace(graph: &mut Graph, root: NodeId, from: NodeId, to: NodeId) -> NodeId {
    let mut used = vec![false; root.index() + 1];
    mark(graph, root, &mut used);
    if !used.get(from.index()).is_some_and(|&u| u) {
        return root;
    }
    let mut new: Vec<NodeId> = graph.ids().take(root.index() + 1).collect();
    new[from.index()] = to;
    for id in (from.index() + 1..=root.index()).map(|i| NodeId(i as u32)).filter(|id| used[id.index()]) {
        let node = graph.node(id);
        let operands: SmallVec<[NodeId; 3]> = node.inputs.iter().map(|i| new[i.index()]).collect();
        if operands != node.inputs {
            let op = node.op.clone();
            new[id.index()] = graph.must(op, &operands);
        }
    }
    new[root.index()]
}
