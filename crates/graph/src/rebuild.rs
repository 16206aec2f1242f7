//! Graphs made of graphs, node by node.

use crate::{Graph, NodeId, Op};

impl Graph {
    /// A graph with the same inputs, states, outputs and next values, of nodes that `make` adds: it gets the new graph, a
    /// node of this one and its operands in the new one, and gives the node that takes its place. Inputs and states are
    /// copied.
    ///
    /// # Panics
    /// If a root's new node is of another type.
    pub fn rebuild(&self, mut make: impl FnMut(&mut Graph, NodeId, &[NodeId]) -> NodeId) -> Graph {
        let mut result = Graph::new();
        let mut new: Vec<NodeId> = Vec::with_capacity(self.len());
        for id in self.ids() {
            let node = self.node(id);
            let inputs: Vec<NodeId> = node.inputs.iter().map(|i| new[i.index()]).collect();
            result.set_location(node.location);
            new.push(match &node.op {
                Op::Input(input) => result.input(&input.name, input.ty).expect("names were unique before"),
                Op::StateRead(state) => {
                    result.state(&state.name, state.ty).expect("names were unique before")
                }
                _ => make(&mut result, id, &inputs),
            });
        }
        result.set_location(None);
        for (name, id) in self.outputs() {
            result.set_output(name, new[id.index()]).expect("names were unique before");
        }
        for state in self.states() {
            result.replace_next(new[state.node.index()], state.next.map(|n| new[n.index()]));
        }
        result
    }
}
