//! The graph verifier.

use bespoke_tensor::Type;

use crate::{Graph, Op, Operator};

/// All violations of the graph's invariants: operands precede users, types are what inference gives, states are read
/// by state nodes and change to values of their type, names are unique. Empty for every graph built through the API.
pub fn verify(graph: &Graph) -> Vec<String> {
    let mut violations = vec![];
    for id in graph.ids() {
        let node = graph.node(id);
        if let Some(late) = node.inputs.iter().find(|i| **i >= id) {
            violations.push(format!("{id}: its operand {late} does not precede it"));
            continue;
        }
        let types: Vec<Type> = node.inputs.iter().map(|&i| graph.ty(i)).collect();
        match node.op.infer(&types) {
            Ok(ty) if ty == node.ty => {}
            Ok(ty) => {
                violations.push(format!("{id}: {} has type {}, inferred {ty}", node.op.name(), node.ty))
            }
            Err(rule) => violations.push(format!("{id}: {}: {rule}", node.op.name())),
        }
        for body in node.op.attributes().bodies() {
            violations.extend(verify(body).into_iter().map(|v| format!("{id}: in its body: {v}")));
        }
        if let Op::StateRead(read) = &node.op
            && !graph.states().iter().any(|s| s.node == id && s.name == read.name)
        {
            violations.push(format!("{id}: reads the state `{}`, which is not declared", read.name));
        }
    }
    for state in graph.states() {
        if let Some(next) = state.next
            && graph.ty(next) != graph.ty(state.node)
        {
            violations.push(format!(
                "state `{}` is {}, its next value {}",
                state.name,
                graph.ty(state.node),
                graph.ty(next)
            ));
        }
    }
    let mut names: Vec<&str> =
        graph.inputs().map(|i| i.0).chain(graph.states().iter().map(|s| s.name.as_str())).collect();
    names.sort_unstable();
    for pair in names.windows(2).filter(|p| p[0] == p[1]) {
        violations.push(format!("the name `{}` is used twice", pair[0]));
    }
    violations
}
