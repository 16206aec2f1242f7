//! Why a value of an optimised graph is computed as it is.

mod alternatives;

use std::fmt;

use bespoke_graph::{Graph, NodeId, Op, Operator, inline_customs};
use egg::Id;
use rustc_hash::FxHashMap;

pub use alternatives::Alternative;

use crate::{
    Config, Minimise, OptimizeError, Policy, Proof, cost,
    notes::Notes,
    optimize::optimize_noted,
    proof::{self, Closure, definition},
    report::amount,
    rule,
    trace::{FOLDED, Reason, Trace},
    view,
};

/// Where a value of an optimised graph comes from. Nodes of the graph given are numbered as there, after custom operators are
/// replaced by what they consist of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From this node of the graph given, as it was.
    Unchanged(NodeId),
    /// From this node, with the same operator on equal operands, of which these are computed in another way.
    Operands(NodeId, Vec<NodeId>),
    /// It is equal to this node, but computed in another way.
    Rewritten(NodeId),
    /// It is equal to no node of the graph given, but helps to compute `user`, which is equal to node `given` there.
    New {
        /// A node of the optimised graph.
        user: NodeId,
        /// A node of the graph given.
        given: NodeId,
    },
}

/// A rule that has a part in a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleUse {
    /// Its name, as in [`Step::rule`](crate::Step::rule).
    pub rule: &'static str,
    /// Its patterns; empty for what is no rule.
    pub text: String,
    /// Why it holds.
    pub why: &'static str,
}

/// Why a value of an optimised graph is computed as it is. Printed, it reads as text, without the proof.
#[derive(Clone)]
pub struct Why {
    /// The node asked for, of the optimised graph.
    pub node: NodeId,
    /// What it is there.
    pub text: String,
    /// Where it comes from.
    pub origin: Origin,
    /// The node of the graph given that it comes from, in words.
    pub given: String,
    /// The nodes of the graph given whose values are not computed any more in its favour.
    pub replaced: Vec<(NodeId, &'static str)>,
    /// The rules that led to it.
    pub rules: Vec<RuleUse>,
    /// Of what is minimised, nanoseconds of the model machine or operations: for this node, and for the whole optimised graph.
    pub cost: [f64; 2],
    /// What costs are of.
    pub minimise: Minimise,
    /// The nodes that use it, and what it is the value of.
    pub users: Vec<String>,
    /// Other ways to compute it that were found, the cheapest first.
    pub alternatives: Vec<Alternative>,
    /// The steps from the expression of the graph given to that of the optimised one; of the user's, if it is a new value.
    pub proof: Proof,
}

/// Why a node of the optimised graph is computed as it is. The graph is optimised again, and all rewrites are noted on the way;
/// the proof is that of an e-graph that knows these rewrites only.
///
/// ```
/// use bespoke_graph::{Graph, op::Unary};
/// use bespoke_optimize::{Config, Origin, optimize, why};
/// use bespoke_tensor::{DType, Type};
///
/// let mut g = Graph::new();
/// let x = g.input("x", Type::new(DType::F32, [3]))?;
/// let s = g.unary(Unary::Sigmoid, x);
/// let y = g.unary(Unary::Log, s);
/// g.set_output("y", y)?;
/// let (result, _) = optimize(&g, &Config::default())?;
/// let why = why(&g, &Config::default(), result.output("y").unwrap())?;
/// assert_eq!(why.origin, Origin::Rewritten(y));
/// assert_eq!(
///     why.proof.to_string(),
///     "  (log (sigmoid x))
/// = (neg (softplus (neg x)))
///     by functions/log-sigmoid
/// "
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`OptimizeError`] if the optimised graph has no such node, or if a rule breaks its promise.
pub fn why(graph: &Graph, config: &Config, node: NodeId) -> Result<Why, OptimizeError> {
    let mut notes = Notes { clock: None, trace: Some(Trace::default()) };
    let (result, _) = optimize_noted(graph, config, &mut notes)?;
    if node.index() >= result.len() {
        return Err(OptimizeError::NoNode { node, nodes: result.len() });
    }
    let (given, trace) = (inline_customs(graph), notes.trace.expect("it was asked for"));
    let explain = || Explainer::new(&given, &result, trace, config).explain(node);
    // Explanations are recursive, as deep as the graph.
    Ok(std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, explain);
        let thread = thread.expect("the system has room for a thread");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }))
}

/// Bytes of the stack.
const STACK: usize = 1 << 28;

/// What is known of a run.
struct Explainer<'a> {
    given: &'a Graph,
    result: &'a Graph,
    config: &'a Config,
    trace: Trace,
    closure: Closure,
    /// The class of each node of the optimised graph.
    classes: Vec<Id>,
    /// The expression of each node of both graphs.
    names: [Vec<NodeId>; 2],
    /// The first node of the graph given in a class, inputs and states included.
    given_of: FxHashMap<Id, NodeId>,
    /// The first node of the optimised graph in a class.
    result_of: FxHashMap<Id, NodeId>,
}

impl<'a> Explainer<'a> {
    fn new(given: &'a Graph, result: &'a Graph, mut trace: Trace, config: &'a Config) -> Explainer<'a> {
        let names = [trace.import(given), trace.import(result)];
        if config.policy != Policy::KeepAll {
            for (id, &name) in result.ids().zip(&names[1]) {
                if let Op::Barrier(_) = result.node(id).op {
                    trace.equal(name, names[1][result.node(id).inputs[0].index()], Reason::Again);
                }
            }
        }
        let equalities = trace.equalities.iter().map(|e| (e.left, e.right, e.reason.name()));
        let closure = Closure::new(&trace.graph, equalities, false);
        let classes = names[1].iter().map(|&id| closure.class(id)).collect();
        let first = |graph: &Graph, names: &[NodeId]| {
            let live = graph.live();
            let mut first = FxHashMap::default();
            for id in graph.ids().filter(|id| live[id.index()]) {
                first.entry(closure.class(names[id.index()])).or_insert(id);
            }
            first
        };
        let (given_of, result_of) = (first(given, &names[0]), first(result, &names[1]));
        Explainer { given, result, config, trace, closure, classes, names, given_of, result_of }
    }

    fn explain(&self, node: NodeId) -> Why {
        let origin = self.origin(node);
        let (proven, given) = match &origin {
            Origin::Unchanged(given) | Origin::Operands(given, _) | Origin::Rewritten(given) => {
                (node, *given)
            }
            Origin::New { user, given } => (*user, *given),
        };
        let proof = match origin {
            // What the operands are is not its own affair.
            Origin::Operands(..) => self.prove(proven, None),
            _ => self.prove(proven, Some(given)),
        };
        let costs = cost::of_nodes(self.config, self.result);
        let is_changed = matches!(origin, Origin::Rewritten(_) | Origin::New { .. });
        Why {
            node,
            text: definition(self.result, node),
            given: definition(self.given, given),
            replaced: if is_changed { self.replaced(given) } else { vec![] },
            origin,
            rules: rules(&proof),
            cost: [costs[node.index()], costs.iter().sum()],
            minimise: self.config.minimise,
            users: self.users(node),
            alternatives: self.alternatives(node, is_changed.then_some(given).filter(|_| proven == node)),
            proof,
        }
    }

    /// The node of the graph given that a node is equal to.
    fn counterpart(&self, node: NodeId) -> Option<NodeId> {
        self.given_of.get(&self.classes[node.index()]).copied()
    }

    fn origin(&self, node: NodeId) -> Origin {
        let (live, name) = (self.given.live(), self.names[1][node.index()]);
        let same = |id: &NodeId| self.names[0][id.index()] == name;
        let is_source = |id: &NodeId| self.given.node(*id).inputs.is_empty();
        if let Some(id) = self.given.ids().filter(|id| live[id.index()] || is_source(id)).find(same) {
            return Origin::Unchanged(id);
        }
        let Some(first) = self.counterpart(node) else { return self.new_value(node) };
        let own = self.result.node(node);
        let operands = |inputs: &[NodeId], name: &dyn Fn(NodeId) -> NodeId| {
            let mut operands: Vec<(Id, NodeId)> =
                inputs.iter().map(|&i| (self.closure.class(name(i)), i)).collect();
            if view::is_commutative(&own.op) {
                operands.sort_unstable();
            }
            operands
        };
        let own_operands = operands(&own.inputs, &|i| self.names[1][i.index()]);
        for id in self.given.ids().filter(|id| live[id.index()] && self.given.node(*id).op == own.op) {
            let others = operands(&self.given.node(id).inputs, &|i| self.names[0][i.index()]);
            if others.iter().map(|o| o.0).eq(own_operands.iter().map(|o| o.0)) {
                let pairs = own_operands.iter().zip(others);
                let changed = pairs.filter(|(i, j)| self.names[1][i.1.index()] != self.names[0][j.1.index()]);
                return Origin::Operands(id, changed.map(|(i, _)| i.1).collect());
            }
        }
        Origin::Rewritten(first)
    }

    /// The nearest value that is computed with its help and is one of the graph given.
    fn new_value(&self, node: NodeId) -> Origin {
        let users = self.result.users();
        let mut level = vec![node];
        let mut seen = vec![false; self.result.len()];
        loop {
            let known = level.iter().find_map(|&id| Some((id, self.counterpart(id)?)));
            if let Some((user, given)) = known {
                return Origin::New { user, given };
            }
            level = level.iter().flat_map(|id| users[id.index()].iter().copied()).collect();
            level.retain(|id| !std::mem::replace(&mut seen[id.index()], true));
            assert!(!level.is_empty(), "outputs are equal to those of the graph given");
        }
    }

    /// The steps from a node of the graph given to an equal one of the optimised graph; from the latter itself, if none is given.
    fn prove(&self, node: NodeId, given: Option<NodeId>) -> Proof {
        let (asked, end) = (self.classes[node.index()], self.names[1][node.index()]);
        let ends = [given.map_or(end, |given| self.names[0][given.index()]), end];
        // Values that both graphs have are not looked into, if they are more than a few operators.
        let leaf = |class: Id| {
            let id = *self.given_of.get(&class)?;
            let is_opaque = class != asked
                && self.result_of.contains_key(&class)
                && self.closure.egraph[class].data.splat.is_none()
                && self.size(id, SMALL) > SMALL
                && !is_view(&self.given.node(id).op);
            is_opaque.then_some(id)
        };
        proof::prove(self.given, &self.trace, &self.closure, ends, &leaf).expect("they are in one class")
    }

    /// The number of operators of an expression of the graph given, or one more than `most`.
    fn size(&self, root: NodeId, most: usize) -> usize {
        let mut size = 0;
        let mut stack = vec![root];
        while let Some(id) = stack.pop() {
            let node = self.given.node(id);
            size += usize::from(!node.inputs.is_empty() && !is_view(&node.op));
            if size > most {
                break;
            }
            stack.extend(&node.inputs);
        }
        size
    }

    /// The values that a value of the graph given was computed from, and that are computed no more.
    fn replaced(&self, given: NodeId) -> Vec<(NodeId, &'static str)> {
        let mut found = vec![];
        let mut seen = vec![false; self.given.len()];
        let mut stack = vec![given];
        while let Some(id) = stack.pop() {
            let class = self.closure.class(self.names[0][id.index()]);
            let is_gone = id == given || !self.result_of.contains_key(&class);
            if is_gone && !std::mem::replace(&mut seen[id.index()], true) {
                found.push((id, self.given.node(id).op.name()));
                stack.extend(&self.given.node(id).inputs);
            }
        }
        found.sort_unstable();
        found
    }

    fn users(&self, node: NodeId) -> Vec<String> {
        let mut users = self.result.users().swap_remove(node.index());
        users.dedup();
        let nodes = users.iter().map(|&id| format!("{id} {}", self.result.node(id).op.name()));
        let outputs = self.result.outputs().iter().filter(|o| o.1 == node);
        let outputs = outputs.map(|o| format!("output {:?}", o.0));
        let states = self.result.states().iter().filter(|s| s.next == Some(node));
        let states = states.map(|s| format!("next {:?}", s.name));
        nodes.chain(outputs).chain(states).collect()
    }
}

/// Expressions of so many operators are written out wherever they occur.
const SMALL: usize = 3;

fn is_view(op: &Op) -> bool {
    matches!(op, Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Convert(_))
}

/// The rules of a proof, in the order in which they come first.
fn rules(proof: &Proof) -> Vec<RuleUse> {
    let mut rules: Vec<RuleUse> = vec![];
    for step in &proof.steps {
        if rules.iter().all(|r| r.rule != step.rule) {
            let known = rule::all().iter().find(|c| c.rule.name == step.rule);
            let (text, why) = match known {
                Some(c) => (c.rule.text(), c.rule.why),
                None if step.rule == FOLDED => (String::new(), "a constant, computed in advance"),
                None => (String::new(), "see the report"),
            };
            rules.push(RuleUse { rule: step.rule, text, why });
        }
    }
    rules
}

/// So many nodes of a list are named.
const NAMED: usize = 8;
/// So many alternatives are printed.
const SHOWN: usize = 6;

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} = {}", self.node, self.text)?;
        let given = &self.given;
        match &self.origin {
            Origin::Unchanged(id) => writeln!(f, "  is {id} of the graph given, unchanged")?,
            Origin::Operands(id, changed) => {
                let changed: Vec<String> = changed.iter().map(NodeId::to_string).collect();
                let changed = if changed.is_empty() { "none".to_owned() } else { changed.join(", ") };
                writeln!(
                    f,
                    "  is {id} of the graph given, {given}; operands that are computed in another way: {changed}"
                )?;
            }
            Origin::Rewritten(id) => {
                writeln!(f, "  is equal to {id} of the graph given, {given}, but computed in another way")?;
            }
            Origin::New { user, given: id } => {
                writeln!(
                    f,
                    "  is new: it helps to compute {user}, which is equal to {id} of the graph given, {given}"
                )?;
            }
        }
        if !self.replaced.is_empty() {
            let names = self.replaced.iter().take(NAMED).map(|(id, op)| format!("{id} {op}"));
            let names: Vec<String> = names.collect();
            let more = match self.replaced.len() {
                n if n > NAMED => format!(" and {} more", n - NAMED),
                _ => String::new(),
            };
            writeln!(f, "  in place of {}{more}", names.join(", "))?;
        }
        if !self.rules.is_empty() {
            writeln!(f, "  by these rules, from the first step to the last:")?;
            for rule in &self.rules {
                let text = if rule.text.is_empty() { String::new() } else { format!("  {}", rule.text) };
                writeln!(f, "    {}{text}\n      {}", rule.rule, rule.why)?;
            }
        }
        let [own, all] = self.cost.map(|cost| amount(cost, self.minimise));
        writeln!(f, "  costs {own} of {all}")?;
        let users = if self.users.is_empty() { "nothing".to_owned() } else { self.users.join(", ") };
        writeln!(f, "  used by {users}")?;
        if !self.alternatives.is_empty() {
            writeln!(f, "  other ways to compute it, if all else stays:")?;
        }
        for alternative in self.alternatives.iter().take(SHOWN) {
            writeln!(f, "    {alternative}")?;
        }
        match self.alternatives.len() {
            n if n > SHOWN => writeln!(f, "    and {} more", n - SHOWN),
            _ => Ok(()),
        }
    }
}
