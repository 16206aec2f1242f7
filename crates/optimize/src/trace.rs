//! What turned out equal in a run, and why: noted on demand only.

use bespoke_graph::{Graph, NodeId, Op};
use smallvec::SmallVec;

use crate::{
    rule,
    view::{self, Class, Term},
};

/// Why two expressions are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// By the rule at this position in [`rule::all`], from left to right.
    Rule(usize),
    /// The right one is the left one's value, computed in advance.
    Folded,
    /// The loop's body was rewritten.
    Body,
    /// The loop was taken apart.
    Loops,
    /// The value is computed again, to save memory.
    Again,
}

impl Reason {
    /// The rule's name, or what stands for one.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Rule(rule) => rule::all()[rule].rule.name,
            Reason::Folded => FOLDED,
            Reason::Body => "loops/body",
            Reason::Loops => "loops/apart",
            Reason::Again => "again",
        }
    }
}

/// The name of [`Reason::Folded`].
pub const FOLDED: &str = "fold";

/// Two equal expressions.
#[derive(Clone, Copy, Debug)]
pub struct Equality {
    /// What was rewritten.
    pub left: NodeId,
    /// Into what.
    pub right: NodeId,
    /// Why.
    pub reason: Reason,
}

/// Expressions that were met, and which are equal. All else follows: equal operands give equal values, and some operators
/// commute.
#[derive(Default)]
pub struct Trace {
    /// All expressions; inputs and states are told apart by their names. Operators that change nothing are left out.
    pub graph: Graph,
    /// In the order in which they were found.
    pub equalities: Vec<Equality>,
}

impl Trace {
    /// An operator applied to expressions.
    pub fn node(&mut self, op: &Op, inputs: &[NodeId]) -> NodeId {
        add(&mut self.graph, op, inputs)
    }

    /// The expressions of a graph's nodes.
    pub fn import(&mut self, graph: &Graph) -> Vec<NodeId> {
        let mut names: Vec<NodeId> = Vec::with_capacity(graph.len());
        for id in graph.ids() {
            let node = graph.node(id);
            let inputs: SmallVec<[NodeId; 3]> = node.inputs.iter().map(|i| names[i.index()]).collect();
            names.push(self.node(&node.op, &inputs));
        }
        names
    }

    /// A term, with the expressions of its classes.
    pub fn term(&mut self, term: &Term, classes: &dyn Fn(Class) -> NodeId) -> NodeId {
        match term {
            Term::Class(class) => classes(*class),
            Term::Node(op, operands) => {
                let inputs: SmallVec<[NodeId; 3]> = operands.iter().map(|t| self.term(t, classes)).collect();
                self.node(op, &inputs)
            }
        }
    }

    /// Notes that two expressions are equal.
    pub fn equal(&mut self, left: NodeId, right: NodeId, reason: Reason) {
        if left != right {
            self.equalities.push(Equality { left, right, reason });
        }
    }

    /// Notes what was found for a region, whose nodes are called `names` here.
    pub fn add_region(&mut self, region: &Graph, found: &Trace, names: &[NodeId]) {
        let mut new: Vec<Option<NodeId>> = vec![None; found.graph.len()];
        let mut copy = Trace { graph: found.graph.clone(), equalities: vec![] };
        for (own, &name) in copy.import(region).into_iter().zip(names) {
            new[own.index()] = Some(name);
        }
        for id in found.graph.ids() {
            if new[id.index()].is_none() {
                let node = found.graph.node(id);
                let inputs: SmallVec<[NodeId; 3]> =
                    node.inputs.iter().map(|i| new[i.index()].expect("operands come first")).collect();
                new[id.index()] = Some(self.node(&node.op, &inputs));
            }
        }
        let name = |id: NodeId| new[id.index()].expect("all have got a name");
        for e in &found.equalities {
            self.equal(name(e.left), name(e.right), e.reason);
        }
    }
}

/// Adds an operator that is well typed; one that changes nothing is its operand.
pub fn add(graph: &mut Graph, op: &Op, inputs: &[NodeId]) -> NodeId {
    match inputs.first() {
        Some(&x) if view::is_identity(op, &graph.ty(x)) => x,
        _ => graph.must(op.clone(), inputs),
    }
}
