//! Derivatives of custom operators: the given rules, or what follows from them.

use bespoke_graph::{Graph, NodeId, Operator, op::Custom};

use crate::{GradError, forward, reverse};

/// A graph in which a missing rule is derived: inputs for what the rule gets.
struct Derivation {
    graph: Graph,
    /// The operands.
    operands: Vec<NodeId>,
    /// Which operands are of floats.
    floats: Vec<bool>,
    /// What the inputs are in the graph around.
    arguments: Vec<NodeId>,
}

impl Derivation {
    fn new(around: &Graph, node: NodeId) -> Derivation {
        let mut new = Derivation { graph: Graph::new(), operands: vec![], floats: vec![], arguments: vec![] };
        for &operand in &around.node(node).inputs {
            let input = new.input(around, operand);
            new.operands.push(input);
            new.floats.push(around.ty(operand).dtype.is_float());
        }
        new
    }

    /// An input that stands for a node of the graph around.
    fn input(&mut self, around: &Graph, argument: NodeId) -> NodeId {
        let name = format!("x{}", self.arguments.len());
        self.arguments.push(argument);
        self.graph.input(&name, around.ty(argument)).expect("names are numbered")
    }

    /// Puts what was derived into the graph around.
    fn import(mut self, around: &mut Graph, results: &[Option<NodeId>]) -> Vec<Option<NodeId>> {
        for (i, id) in results.iter().enumerate() {
            id.iter().for_each(|&id| self.graph.set_output(&i.to_string(), id).expect("names are numbered"));
        }
        let mut found = around.import(&self.graph, &self.arguments).into_iter();
        results.iter().map(|id| id.and_then(|_| found.next())).collect()
    }
}

/// The cotangents of the operands of a custom operator.
pub fn vjp(
    graph: &mut Graph,
    node: NodeId,
    custom: &Custom,
    cotangent: NodeId,
) -> Result<Vec<Option<NodeId>>, GradError> {
    if custom.vjp.is_some() {
        return Ok(custom.vjp(graph, node, cotangent));
    }
    let mut derived = Derivation::new(graph, node);
    let operands = derived.operands.clone();
    let (value, wrt) = match &custom.jvp {
        // ⟨c, jvp(ẋ)⟩ by ẋ is what vjp makes of c.
        Some(rule) => {
            let value = derived.input(graph, node);
            let mut tangents = vec![];
            for &operand in graph.node(node).inputs.clone().iter() {
                if graph.ty(operand).dtype.is_float() {
                    let zero = graph.fill_like(operand, 0.0);
                    tangents.push(derived.input(graph, zero));
                }
            }
            let all = [&operands[..], &[value], &tangents].concat();
            (derived.graph.import(rule, &all)[0], tangents)
        }
        None => {
            let floats = operands.iter().zip(&derived.floats).filter(|o| *o.1);
            let floats = floats.map(|o| *o.0).collect();
            (derived.graph.import(&custom.body, &operands)[0], floats)
        }
    };
    let seed = derived.input(graph, cotangent);
    let mut found = reverse::cotangents(&mut derived.graph, &[(value, seed)], &wrt)?.into_iter();
    let of_operand = |&float: &bool| if float { found.next().flatten() } else { None };
    let results: Vec<Option<NodeId>> = derived.floats.iter().map(of_operand).collect();
    Ok(derived.import(graph, &results))
}

/// The tangent of the value of a custom operator, given those of its operands.
pub fn jvp(
    graph: &mut Graph,
    node: NodeId,
    custom: &Custom,
    tangents: &[Option<NodeId>],
) -> Result<Option<NodeId>, GradError> {
    if custom.jvp.is_some() {
        return Ok(custom.jvp(graph, node, tangents));
    }
    let mut derived = Derivation::new(graph, node);
    let operands = derived.operands.clone();
    let moving: Vec<Option<NodeId>> = tangents.iter().map(|t| t.map(|t| derived.input(graph, t))).collect();
    let tangent = match &custom.vjp {
        // ⟨vjp(c), ẋ⟩ by c is what jvp makes of ẋ.
        Some(rule) => {
            let zero = graph.fill_like(node, 0.0);
            let (value, cotangent) = (derived.input(graph, node), derived.input(graph, zero));
            let all = [&operands[..], &[value, cotangent]].concat();
            let found = derived.graph.import(rule, &all);
            let names = rule.outputs().iter().map(|o| o.0.parse::<usize>().expect("outputs were checked"));
            let seeds: Vec<(NodeId, NodeId)> =
                names.zip(found).filter_map(|(i, id)| Some((id, moving[i]?))).collect();
            reverse::cotangents(&mut derived.graph, &seeds, &[cotangent])?[0]
        }
        None => {
            let value = derived.graph.import(&custom.body, &operands)[0];
            let pairs: Vec<(NodeId, NodeId)> =
                operands.iter().zip(&moving).filter_map(|(&x, &t)| Some((x, t?))).collect();
            forward::jvp(&mut derived.graph, &[value], &pairs)?[0]
        }
    };
    Ok(derived.import(graph, &[tangent])[0])
}
