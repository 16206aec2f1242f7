//! Tier 0: the graph rebuilt with what is better in every graph: equal nodes once, constants folded, dead nodes
//! dropped, local rules to a fixpoint. No search.

use bespoke_graph::{Graph, NodeId, Op, Operator, op};
use bespoke_tensor::{Scalar, Tensor, Type};
use smallvec::SmallVec;

use crate::{
    Config, OptimizeError, cost,
    notes::{Notes, Part},
    rule,
    trace::Reason,
    view::{self, Children, Class, Kinds, Term, View},
};

/// A chain of rewrites longer than this at one node ends: rules that undo each other would not.
const FUEL: usize = 100;

/// How often each rule was applied, by its position in [`rule::all`]; folded constants last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// By rule.
    pub rules: Vec<usize>,
    /// Nodes replaced by their value.
    pub folded: usize,
}

impl Applied {
    fn new() -> Applied {
        Applied { rules: vec![0; rule::all().len()], folded: 0 }
    }
}

/// Rebuilds until nothing changes.
pub fn tier0(graph: &Graph, config: &Config, notes: &mut Notes) -> Result<(Graph, Applied), OptimizeError> {
    let start = notes.start();
    let mut applied = Applied::new();
    let mut graph = pass(graph, config, &mut applied, notes)?;
    for _ in 0..8 {
        let next = pass(&graph, config, &mut applied, notes)?;
        if next == graph {
            break;
        }
        graph = next;
    }
    notes.stop(Part::Local, start);
    Ok((graph, applied))
}

/// The graph without dead nodes; inputs and states stay, first and in their order.
pub fn compact(graph: &Graph) -> Graph {
    let live = graph.live();
    let mut result = Graph::new();
    let mut map: Vec<Option<NodeId>> = vec![None; graph.len()];
    sources(graph, &mut result, &mut map);
    for id in graph.ids().filter(|i| live[i.index()]) {
        if map[id.index()].is_none() {
            let node = graph.node(id);
            let inputs: SmallVec<[NodeId; 3]> =
                node.inputs.iter().map(|i| map[i.index()].expect("operands come first")).collect();
            result.set_location(node.location);
            map[id.index()] = Some(result.must(node.op.clone(), &inputs));
        }
    }
    roots(graph, &mut result, &|id| map[id.index()].expect("roots are live"));
    result
}

/// Adds the inputs and states of `graph` to an empty graph.
pub fn sources(graph: &Graph, result: &mut Graph, map: &mut [Option<NodeId>]) {
    for id in graph.ids() {
        let node = graph.node(id);
        result.set_location(node.location);
        let copy = match &node.op {
            Op::Input(i) => result.input(&i.name, i.ty),
            Op::StateRead(s) => result.state(&s.name, s.ty),
            _ => continue,
        };
        map[id.index()] = Some(copy.expect("names were unique"));
    }
    // The list of states keeps its own order.
    debug_assert!(
        result.states().iter().zip(graph.states()).all(|(a, b)| a.name == b.name),
        "states are listed as they are added"
    );
}

/// Names outputs and next states.
pub fn roots(graph: &Graph, result: &mut Graph, map: &dyn Fn(NodeId) -> NodeId) {
    result.set_location(None);
    for (name, id) in graph.outputs() {
        result.set_output(name, map(*id)).expect("names were unique");
    }
    for state in graph.states() {
        if let Some(next) = state.next {
            result.set_next(map(state.node), map(next)).expect("types are kept");
        }
    }
}

fn pass(
    graph: &Graph,
    config: &Config,
    applied: &mut Applied,
    notes: &mut Notes,
) -> Result<Graph, OptimizeError> {
    let live = graph.live();
    let mut users = vec![0u32; graph.len()];
    for id in graph.ids().filter(|i| live[i.index()]) {
        graph.node(id).inputs.iter().for_each(|i| users[i.index()] += 1);
    }
    graph.roots().for_each(|r| users[r.index()] += 1);

    let mut builder = Builder::new(config, applied, notes);
    let mut map: Vec<Option<NodeId>> = vec![None; graph.len()];
    sources(graph, &mut builder.graph, &mut map);
    builder.fuel = FUEL;
    for id in graph.ids() {
        if map[id.index()].is_none() && live[id.index()] {
            let node = graph.node(id);
            builder.graph.set_location(node.location);
            let inputs: Children =
                node.inputs.iter().map(|i| map[i.index()].expect("operands come first").0).collect();
            builder.fuel = FUEL;
            map[id.index()] = Some(NodeId(builder.add(node.op.clone(), inputs, "input")?));
        }
        if let Some(new) = map[id.index()] {
            builder.count_users(new, users[id.index()]);
        }
    }
    let Builder { graph: mut result, rewrites, .. } = builder;
    if let Some(trace) = &mut notes.trace {
        let names = trace.import(&result);
        for (id, term, reason) in rewrites {
            let right = trace.term(&term, &|class| names[class as usize]);
            trace.equal(names[id.index()], right, reason);
        }
    }
    roots(graph, &mut result, &|id| map[id.index()].expect("roots are live"));
    Ok(compact(&result))
}

struct Builder<'a> {
    graph: Graph,
    splats: Vec<Option<Scalar>>,
    /// What each node was rewritten into.
    forward: Vec<Option<Class>>,
    users: Vec<u32>,
    fuel: usize,
    config: &'a Config,
    applied: &'a mut Applied,
    notes: &'a mut Notes,
    /// What was rewritten into what, if that is traced.
    rewrites: Vec<(NodeId, Term, Reason)>,
}

impl<'a> Builder<'a> {
    fn new(config: &'a Config, applied: &'a mut Applied, notes: &'a mut Notes) -> Builder<'a> {
        let graph = Graph::new();
        Builder {
            graph,
            splats: vec![],
            forward: vec![],
            users: vec![],
            fuel: FUEL,
            config,
            applied,
            notes,
            rewrites: vec![],
        }
    }

    fn note(&mut self, id: NodeId, term: Term, reason: Reason) {
        if self.notes.trace.is_some() {
            self.rewrites.push((id, term, reason));
        }
    }

    /// Extends what is known about nodes to all of the graph.
    fn learn(&mut self) {
        for i in self.splats.len()..self.graph.len() {
            let node = self.graph.node(NodeId(i as u32));
            let types: SmallVec<[Type; 3]> = node.inputs.iter().map(|&i| self.graph.ty(i)).collect();
            let splats: SmallVec<[Option<Scalar>; 3]> =
                node.inputs.iter().map(|i| self.splats[i.index()]).collect();
            self.splats.push(view::splat(&node.op, &types, &splats, &node.ty));
            self.forward.push(None);
            self.users.push(0);
        }
    }

    fn count_users(&mut self, id: NodeId, users: u32) {
        self.learn();
        self.users[id.index()] += users;
    }

    /// Adds a node in its simplest form. `rule` is why.
    fn add(&mut self, op: Op, mut inputs: Children, rule: &'static str) -> Result<Class, OptimizeError> {
        if let Some(&x) = inputs.first()
            && view::is_identity(&op, &self.ty(x))
        {
            return Ok(x);
        }
        if view::is_commutative(&op) && inputs[0] > inputs[1] {
            inputs.swap(0, 1);
        }
        let inputs: SmallVec<[NodeId; 3]> = inputs.iter().map(|&i| NodeId(i)).collect();
        let id = self
            .graph
            .add(op, &inputs)
            .map_err(|e| OptimizeError::IllTyped { rule, message: e.to_string() })?;
        self.learn();
        if let Some(done) = self.forward[id.index()] {
            return Ok(done);
        }
        self.forward[id.index()] = Some(id.0); // should a rule lead back here
        let done = self.rewrite(id)?;
        self.forward[id.index()] = Some(done);
        Ok(done)
    }

    fn rewrite(&mut self, id: NodeId) -> Result<Class, OptimizeError> {
        if let Some(value) = self.fold(id) {
            self.applied.folded += 1;
            let result = self.build(&value, "fold");
            self.note(id, value, Reason::Folded);
            return result;
        }
        for &i in &rule::always()[view::kind(&self.graph.node(id).op) as usize] {
            let compiled = &rule::all()[i];
            if !compiled.rule.is_allowed(self.config) || self.fuel == 0 {
                continue;
            }
            let start = self.notes.start();
            let mut term = None;
            compiled.search(self, id.0, &mut |t| {
                term = Some(t);
                false
            });
            self.notes.stop_rule(i, 1, start);
            let Some(term) = term else { continue };
            self.fuel -= 1;
            let name = compiled.rule.name;
            let result = self.build(&term, name)?;
            let (was, is) = (self.graph.ty(id), self.ty(result));
            if was != is {
                let message = format!("{was} became {is}");
                return Err(OptimizeError::IllTyped { rule: name, message });
            }
            if result != id.0 {
                self.applied.rules[i] += 1;
                self.note(id, term, Reason::Rule(i));
                return Ok(result);
            }
        }
        Ok(id.0)
    }

    fn build(&mut self, term: &Term, rule: &'static str) -> Result<Class, OptimizeError> {
        match term {
            Term::Class(class) => Ok(*class),
            Term::Node(op, operands) => {
                let operands =
                    operands.iter().map(|t| self.build(t, rule)).collect::<Result<Children, _>>()?;
                self.add(op.clone(), operands, rule)
            }
        }
    }

    /// The value of a node if it is known: kept as a broadcast scalar where all elements are equal.
    fn fold(&self, id: NodeId) -> Option<Term> {
        let node = self.graph.node(id);
        if let Some(value) = self.splats[id.index()] {
            let folded = match &node.op {
                Op::Constant(c) => c.value.ty().rank() == 0,
                Op::Broadcast(_) => matches!(self.graph.node(node.inputs[0]).op, Op::Constant(_)),
                _ => false,
            };
            return (!folded).then(|| Term::fill(node.ty, value));
        }
        let stored = node.inputs.iter().map(|&i| self.stored(i)).sum::<Option<usize>>()?;
        let types: Vec<Type> = node.inputs.iter().map(|&i| self.graph.ty(i)).collect();
        if !cost::is_foldable(&node.op, &types, stored, &node.ty) {
            return None;
        }
        let operands = node.inputs.iter().map(|&i| self.value(i)).collect::<Option<Vec<Tensor>>>()?;
        let value = node.op.eval(&operands.iter().collect::<Vec<_>>(), node.ty);
        Some(Term::new(op::Constant { value }, []))
    }

    /// How many elements are stored of a value that is known.
    fn stored(&self, id: NodeId) -> Option<usize> {
        let node = self.graph.node(id);
        match &node.op {
            Op::Constant(_) => Some(node.ty.elements()),
            Op::Broadcast(_) => self.stored(node.inputs[0]),
            _ => None,
        }
    }

    fn value(&self, id: NodeId) -> Option<Tensor> {
        let node = self.graph.node(id);
        match &node.op {
            Op::Constant(c) => Some(c.value.clone()),
            Op::Broadcast(b) => Some(b.eval(&[&self.value(node.inputs[0])?], node.ty)),
            _ => None,
        }
    }
}

impl View for Builder<'_> {
    fn ty(&self, class: Class) -> Type {
        self.graph.ty(NodeId(class))
    }

    fn splat(&self, class: Class) -> Option<Scalar> {
        self.splats[class as usize]
    }

    fn count(&self, _: Class) -> usize {
        1
    }

    fn kind(&self, class: Class, _: usize) -> u16 {
        view::kind(&self.graph.node(NodeId(class)).op)
    }

    fn has(&self, class: Class, kinds: &Kinds) -> bool {
        kinds.contains(self.kind(class, 0))
    }

    fn node(&self, class: Class, _: usize) -> (&Op, Children) {
        let node = self.graph.node(NodeId(class));
        (&node.op, node.inputs.iter().map(|i| i.0).collect())
    }

    fn find(&self, op: &Op, children: &[Class]) -> Option<Class> {
        let inputs: SmallVec<[NodeId; 3]> = children.iter().map(|&i| NodeId(i)).collect();
        self.graph.find(op, &inputs).map(|id| id.0)
    }

    fn is_shared(&self, class: Class) -> bool {
        self.users[class as usize] > 1
    }
}

/// A graph as it is, as rules see it.
pub fn with_view<T>(graph: &Graph, f: impl FnOnce(&dyn View) -> T) -> T {
    let (config, mut applied, mut notes) = (Config::default(), Applied::new(), Notes::default());
    let mut builder = Builder::new(&config, &mut applied, &mut notes);
    builder.graph = graph.clone();
    builder.learn();
    f(&builder)
}

/// Adds a term to a graph as it is, for tests of rules.
#[cfg(test)]
pub fn add_term(graph: &mut Graph, term: &Term) -> Result<NodeId, String> {
    match term {
        Term::Class(class) => Ok(NodeId(*class)),
        Term::Node(op, operands) => {
            let operands = operands.iter().map(|t| add_term(graph, t)).collect::<Result<Vec<_>, _>>()?;
            if let Some(&x) = operands.first()
                && view::is_identity(op, &graph.ty(x))
            {
                return Ok(x);
            }
            graph.add(op.clone(), &operands).map_err(|e| e.to_string())
        }
    }
}
