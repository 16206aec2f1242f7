//! The part of a graph that counts.

use bespoke_graph::{Graph as Ir, NodeId, Op};

/// The graph without nodes, inputs and states that no output and no next state depends on. A model's query needs no
/// labels and no loss.
pub fn live_part(graph: &Ir) -> Ir {
    let live = graph.live();
    let mut result = Ir::new();
    let mut new: Vec<Option<NodeId>> = vec![None; graph.len()];
    let at = |new: &[Option<NodeId>], id: NodeId| new[id.index()].expect("operands of what is live are live");
    for id in graph
        .ids()
        .filter(|id| live[id.index()] || graph.states().iter().any(|s| s.node == *id && s.next.is_some()))
    {
        let node = graph.node(id);
        let inputs: Vec<NodeId> = node.inputs.iter().map(|&i| at(&new, i)).collect();
        result.set_location(node.location);
        new[id.index()] = Some(match &node.op {
            Op::Input(i) => result.input(&i.name, i.ty).expect("names differ"),
            Op::StateRead(s) => result.state(&s.name, s.ty).expect("names differ"),
            op => result.must(op.clone(), &inputs),
        });
    }
    for (name, id) in graph.outputs() {
        result.set_output(name, at(&new, *id)).expect("names differ");
    }
    for state in graph.states() {
        if let Some(next) = state.next {
            result.set_next(at(&new, state.node), at(&new, next)).expect("it was so before");
        }
    }
    result.set_location(None);
    result
}
