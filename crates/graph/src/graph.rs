//! Graphs, nodes and states.

use std::{fmt, hash::BuildHasher, panic::Location};

use bespoke_tensor::Type;
use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;

use crate::{Body, GraphError, Op, Operator, op};

/// A node of a [`Graph`]; prints as `%7`. Ids are in topological order: inputs precede users.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NodeId(pub u32);

impl NodeId {
    /// Its position in the graph.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

/// An operator applied to earlier nodes.
#[derive(Clone, Debug)]
pub struct Node {
    /// The operator with its attributes.
    pub op: Op,
    /// The operands.
    pub inputs: SmallVec<[NodeId; 3]>,
    /// The inferred type.
    pub ty: Type,
    /// Where the user's program asked for it first.
    pub location: Option<&'static Location<'static>>,
}

/// A value that outlives a run: a parameter, an optimiser's slot, a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The unique name, scoped by slashes: `dense0/weight`.
    pub name: String,
    /// The node that reads it.
    pub node: NodeId,
    /// The value it takes after the run; none if it stays.
    pub next: Option<NodeId>,
}

/// A dataflow graph with named inputs, outputs and states.
///
/// ```
/// use bespoke_graph::{Graph, op};
/// use bespoke_tensor::{DType, Type};
///
/// let mut g = Graph::new();
/// let x = g.input("x", Type::new(DType::F32, [3]))?;
/// let y = g.add(op::Unary::Tanh, &[x])?;
/// g.set_output("y", y)?;
/// assert_eq!(bespoke_graph::parse(&g.to_string()).unwrap().to_string(), g.to_string());
/// # Ok::<(), bespoke_graph::GraphError>(())
/// ```
#[derive(Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    /// The nodes by the hash of operator and operands.
    ids: HashTable<NodeId>,
    /// Inputs and states by the hash of their name.
    sources: HashTable<NodeId>,
    inputs: Vec<NodeId>,
    outputs: Vec<(String, NodeId)>,
    states: Vec<State>,
    location: Option<&'static Location<'static>>,
}

impl Graph {
    /// A graph without nodes.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Are there no nodes?
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The type of the node's value.
    pub fn ty(&self, id: NodeId) -> Type {
        self.nodes[id.index()].ty
    }

    /// All ids in topological order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + ExactSizeIterator + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// The named outputs.
    pub fn outputs(&self) -> &[(String, NodeId)] {
        &self.outputs
    }

    /// The output of this name.
    pub fn output(&self, name: &str) -> Option<NodeId> {
        self.outputs.iter().find(|o| o.0 == name).map(|o| o.1)
    }

    /// The states.
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// The inputs: name and node, in the order they were added.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, NodeId)> {
        self.inputs.iter().filter_map(|&id| match &self.node(id).op {
            Op::Input(input) => Some((input.name.as_str(), id)),
            _ => None,
        })
    }

    /// The input or state of this name.
    pub fn source(&self, name: &str) -> Option<NodeId> {
        self.sources.find(FxBuildHasher.hash_one(name), |id| source_name(&self.nodes, *id) == name).copied()
    }

    fn enter_source(&mut self, id: NodeId) {
        let (nodes, hash) = (&self.nodes, |name: &str| FxBuildHasher.hash_one(name));
        let name = source_name(nodes, id);
        if self.source(name).is_none() {
            self.sources.insert_unique(hash(name), id, |id| hash(source_name(nodes, *id)));
        }
    }

    /// Nodes added from now on are reported as asked for at this place in the user's program.
    pub fn set_location(&mut self, location: Option<&'static Location<'static>>) {
        self.location = location;
    }

    /// Where nodes that are added now are asked for.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.location
    }

    /// Applies an operator. An equal node that exists already is returned instead of a new one.
    ///
    /// # Errors
    /// [`GraphError`] if the operator does not take these operands.
    pub fn add(&mut self, op: impl Into<Op>, inputs: &[NodeId]) -> Result<NodeId, GraphError> {
        let op = op.into();
        let hash = hash(&op, inputs);
        if let Some(id) = self.find_hashed(hash, &op, inputs) {
            return Ok(id);
        }
        let types: SmallVec<[Type; 3]> = inputs.iter().map(|&i| self.ty(i)).collect();
        let ty = op.infer(&types).map_err(|rule| GraphError {
            operator: op.name().to_owned(),
            operands: types.to_vec(),
            rule,
            location: self.location,
        })?;
        let id = NodeId(self.nodes.len() as u32);
        let is_input = matches!(op, Op::Input(_));
        self.nodes.push(Node { op, inputs: SmallVec::from_slice(inputs), ty, location: self.location });
        self.enter(hash, id);
        if is_input {
            self.inputs.push(id);
            self.enter_source(id);
        }
        Ok(id)
    }

    /// The node of this operator and these operands, if it exists.
    pub fn find(&self, op: &Op, inputs: &[NodeId]) -> Option<NodeId> {
        self.find_hashed(hash(op, inputs), op, inputs)
    }

    fn find_hashed(&self, hash: u64, op: &Op, inputs: &[NodeId]) -> Option<NodeId> {
        let is_it = |id: &NodeId| {
            let node = self.node(*id);
            node.inputs[..] == *inputs && node.op == *op
        };
        self.ids.find(hash, is_it).copied()
    }

    fn enter(&mut self, hash: u64, id: NodeId) {
        let nodes = &self.nodes;
        self.ids.insert_unique(hash, id, |id| self::hash(&nodes[id.index()].op, &nodes[id.index()].inputs));
    }

    /// Adds a named input.
    ///
    /// # Errors
    /// If an input or state of that name exists.
    pub fn input(&mut self, name: &str, ty: Type) -> Result<NodeId, GraphError> {
        self.fresh("input", name)?;
        self.add(op::Input { name: name.to_owned(), ty }, &[])
    }

    /// Adds a named state; it keeps its value until [`Graph::set_next`].
    ///
    /// # Errors
    /// If an input or state of that name exists.
    pub fn state(&mut self, name: &str, ty: Type) -> Result<NodeId, GraphError> {
        self.fresh("state", name)?;
        let node = self.add(op::StateRead { name: name.to_owned(), ty }, &[])?;
        self.states.push(State { name: name.to_owned(), node, next: None });
        self.enter_source(node);
        Ok(node)
    }

    /// Names a node as output.
    ///
    /// # Errors
    /// If an output of that name exists.
    pub fn set_output(&mut self, name: &str, node: NodeId) -> Result<(), GraphError> {
        if self.output(name).is_some() {
            return Err(self.misuse("output", format!("there is an output `{name}` already")));
        }
        self.outputs.push((name.to_owned(), node));
        Ok(())
    }

    /// Drops all outputs.
    pub fn clear_outputs(&mut self) {
        self.outputs.clear();
    }

    /// Says what the state read by `state` is after the run.
    ///
    /// # Errors
    /// If `state` is not a state's node, if its type is another, or if it has a next value already.
    pub fn set_next(&mut self, state: NodeId, next: NodeId) -> Result<(), GraphError> {
        let (expected, got) = (self.ty(state), self.ty(next));
        // States are added after one another, as their nodes are.
        let Ok(i) = self.states.binary_search_by_key(&state, |s| s.node) else {
            return Err(self.misuse("next", format!("{state} is not a state")));
        };
        let name = &self.states[i].name;
        if expected != got {
            return Err(self.misuse("next", format!("state `{name}` is {expected}, its next value {got}")));
        }
        if self.states[i].next.is_some() {
            return Err(self.misuse("next", format!("state `{name}` has a next value already")));
        }
        self.states[i].next = Some(next);
        Ok(())
    }

    /// Says anew what a state is after the run; `next` is of its type.
    ///
    /// # Panics
    /// If `state` is not a state's node or `next` is of another type.
    pub fn replace_next(&mut self, state: NodeId, next: Option<NodeId>) {
        let i = self.states.iter().position(|s| s.node == state).expect("a state's node");
        assert!(
            next.is_none_or(|n| self.ty(n) == self.ty(state)),
            "the next value of {state} has another type"
        );
        self.states[i].next = next;
    }

    /// The nodes that outputs and next states depend on: a flag for each node.
    pub fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.nodes.len()];
        self.roots().for_each(|r| live[r.index()] = true);
        for id in self.ids().rev() {
            if live[id.index()] {
                self.node(id).inputs.iter().for_each(|i| live[i.index()] = true);
            }
        }
        live
    }

    /// Outputs and next states.
    pub fn roots(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.outputs.iter().map(|o| o.1).chain(self.states.iter().filter_map(|s| s.next))
    }

    /// The users of each node, in ascending order; a user appears once an operand.
    pub fn users(&self) -> Vec<Vec<NodeId>> {
        let mut users = vec![vec![]; self.nodes.len()];
        for id in self.ids() {
            self.node(id).inputs.iter().for_each(|i| users[i.index()].push(id));
        }
        users
    }

    /// Are both results of one scan?
    pub fn are_siblings(&self, a: NodeId, b: NodeId) -> bool {
        let (a, b) = (self.node(a), self.node(b));
        match (&a.op, &b.op) {
            (Op::Scan(x), Op::Scan(y)) => a.inputs == b.inputs && x.is_sibling(y),
            _ => false,
        }
    }

    /// Gives the scan of `node`, and all other results of it, a body with more outputs behind those it has. The values of
    /// all nodes stay what they are.
    ///
    /// # Panics
    /// If `node` is not a scan, or the first outputs of the body are of other types.
    pub fn widen_scan(&mut self, node: NodeId, body: Body) {
        let siblings: Vec<NodeId> = self.ids().filter(|&id| self.are_siblings(node, id)).collect();
        assert!(!siblings.is_empty(), "{node} is not a scan");
        for id in siblings {
            let inputs = self.node(id).inputs.clone();
            let Op::Scan(scan) = self.node(id).op.clone() else { unreachable!("siblings are scans") };
            let widened = op::Scan { body: body.clone(), ..scan.clone() };
            let types: Vec<Type> = inputs.iter().map(|&i| self.ty(i)).collect();
            assert_eq!(widened.infer(&types), Ok(self.ty(id)), "{id} has another type with the new body");
            let old = self.ids.find_entry(hash(&Op::Scan(scan), &inputs), |&other| other == id);
            old.expect("every node is entered").remove();
            let op = Op::Scan(widened);
            let hash = hash(&op, &inputs);
            self.nodes[id.index()].op = op;
            self.enter(hash, id);
        }
    }

    fn fresh(&self, operator: &str, name: &str) -> Result<(), GraphError> {
        match self.source(name) {
            None => Ok(()),
            Some(_) => Err(self.misuse(operator, format!("there is an input or state `{name}` already"))),
        }
    }

    pub(crate) fn misuse(&self, operator: &str, rule: String) -> GraphError {
        GraphError { operator: operator.to_owned(), operands: vec![], rule, location: self.location }
    }
}

/// The name of an input or state.
fn source_name(nodes: &[Node], source: NodeId) -> &str {
    match &nodes[source.index()].op {
        Op::Input(input) => &input.name,
        Op::StateRead(state) => &state.name,
        other => unreachable!("{} has no name", other.name()),
    }
}

fn hash(op: &Op, inputs: &[NodeId]) -> u64 {
    FxBuildHasher.hash_one((op, inputs))
}

/// Equal nodes, outputs and states; places in the user's program do not count.
impl PartialEq for Graph {
    fn eq(&self, other: &Graph) -> bool {
        self.nodes.len() == other.nodes.len()
            && self.nodes.iter().zip(&other.nodes).all(|(a, b)| a.op == b.op && a.inputs == b.inputs)
            && self.outputs == other.outputs
            && self.states == other.states
    }
}

impl Eq for Graph {}

impl std::hash::Hash for Graph {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        for node in &self.nodes {
            node.op.hash(state);
            node.inputs.hash(state);
        }
        self.outputs.hash(state);
        for s in &self.states {
            s.next.hash(state);
        }
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
