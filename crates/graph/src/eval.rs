//! The reference evaluator: the meaning of a graph, without any optimisation.

use std::collections::BTreeMap;

use bespoke_tensor::Tensor;

use crate::{EvalError, Graph, NodeId, Op, Operator};

/// What a run gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// The outputs by name.
    pub outputs: BTreeMap<String, Tensor>,
    /// The states after the run, those that stay as they are too.
    pub states: BTreeMap<String, Tensor>,
}

/// Evaluates outputs and next states. `sources` gives the value of an input or state by name.
///
/// # Errors
/// [`EvalError`] if a value is missing or has another type.
pub fn eval(graph: &Graph, sources: &dyn Fn(&str) -> Option<Tensor>) -> Result<Values, EvalError> {
    let live = graph.live();
    let values = eval_nodes(graph, sources, &|id| live[id.index()])?;
    let value = |id: NodeId| values[id.index()].clone().expect("a root is live");
    let mut result = Values::default();
    for (name, id) in graph.outputs() {
        result.outputs.insert(name.clone(), value(*id));
    }
    for state in graph.states() {
        let after = match state.next {
            Some(next) => Some(value(next)),
            None => sources(&state.name),
        };
        result.states.extend(after.map(|v| (state.name.clone(), v)));
    }
    Ok(result)
}

/// Evaluates every node, live or not; the values are in the order of the nodes.
///
/// # Errors
/// [`EvalError`] if a value is missing or has another type.
pub fn eval_all(graph: &Graph, sources: &dyn Fn(&str) -> Option<Tensor>) -> Result<Vec<Tensor>, EvalError> {
    let values = eval_nodes(graph, sources, &|_| true)?;
    Ok(values.into_iter().map(|v| v.expect("all are evaluated")).collect())
}

fn eval_nodes(
    graph: &Graph,
    sources: &dyn Fn(&str) -> Option<Tensor>,
    wanted: &dyn Fn(NodeId) -> bool,
) -> Result<Vec<Option<Tensor>>, EvalError> {
    let mut values: Vec<Option<Tensor>> = vec![None; graph.len()];
    // All results of a scan, by its first: they are computed at once.
    let mut scans: Vec<(NodeId, Vec<Tensor>)> = vec![];
    for id in graph.ids().filter(|&id| wanted(id)) {
        let node = graph.node(id);
        Tensor::check_memory(node.ty).map_err(|_| EvalError::Memory { node: id, ty: node.ty })?;
        let value = match &node.op {
            Op::Input(i) => source("input", &i.name, node.ty, sources)?,
            Op::StateRead(s) => source("state", &s.name, node.ty, sources)?,
            op => {
                let inputs: Vec<&Tensor> = node
                    .inputs
                    .iter()
                    .map(|i| values[i.index()].as_ref().expect("operands precede users"))
                    .collect();
                match op {
                    Op::Scan(scan) => {
                        let at = scans.iter().position(|s| graph.are_siblings(s.0, id));
                        let at = at.unwrap_or_else(|| {
                            scans.push((id, scan.run(&inputs)));
                            scans.len() - 1
                        });
                        scans[at].1[scan.result].clone()
                    }
                    op => op.eval(&inputs, node.ty),
                }
            }
        };
        values[id.index()] = Some(value);
    }
    Ok(values)
}

fn source(
    kind: &'static str,
    name: &str,
    ty: bespoke_tensor::Type,
    sources: &dyn Fn(&str) -> Option<Tensor>,
) -> Result<Tensor, EvalError> {
    let value = sources(name).ok_or_else(|| EvalError::Missing { kind, name: name.to_owned(), ty })?;
    if value.ty() != ty {
        return Err(EvalError::WrongType { kind, name: name.to_owned(), expected: ty, got: value.ty() });
    }
    Ok(value)
}
