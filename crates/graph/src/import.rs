//! Graphs put into graphs, and operators that are compositions put in the place of their name.

use std::borrow::Cow;

use crate::{Graph, NodeId, Op};

impl Graph {
    /// Appends the nodes of `body`, with `operands` in the place of its inputs, in the order in which these were added.
    /// Returns the values of its outputs, in their order.
    ///
    /// ```
    /// use bespoke_graph::{Graph, op};
    /// use bespoke_tensor::{DType, Type};
    ///
    /// let scalar = Type::scalar(DType::F32);
    /// let mut body = Graph::new();
    /// let t = body.input("t", scalar)?;
    /// let square = body.times(t, t);
    /// body.set_output("square", square)?;
    ///
    /// let mut g = Graph::new();
    /// let x = g.input("x", scalar)?;
    /// let y = g.import(&body, &[x])[0];
    /// assert_eq!(y, g.times(x, x));
    /// # Ok::<(), bespoke_graph::GraphError>(())
    /// ```
    ///
    /// # Panics
    /// If the operands are not of the inputs' types, or the body has states.
    pub fn import(&mut self, body: &Graph, operands: &[NodeId]) -> Vec<NodeId> {
        assert!(body.states().is_empty(), "a graph with states cannot be part of another:\n{body}");
        let parameters: Vec<NodeId> = body.inputs().map(|i| i.1).collect();
        assert_eq!(parameters.len(), operands.len(), "operands of\n{body}");
        let around = self.location();
        let live = body.live();
        let mut map: Vec<Option<NodeId>> = vec![None; body.len()];
        for (&parameter, &operand) in parameters.iter().zip(operands) {
            assert_eq!(body.ty(parameter), self.ty(operand), "operand {operand} for {parameter} of\n{body}");
            map[parameter.index()] = Some(operand);
        }
        for id in body.ids().filter(|i| live[i.index()]) {
            if map[id.index()].is_some() {
                continue;
            }
            let node = body.node(id);
            let inputs: Vec<NodeId> =
                node.inputs.iter().map(|i| map[i.index()].expect("operands precede users")).collect();
            self.set_location(node.location.or(around));
            map[id.index()] = Some(self.must(node.op.clone(), &inputs));
        }
        self.set_location(around);
        body.outputs().iter().map(|o| map[o.1.index()].expect("outputs are live")).collect()
    }
}

/// The graph with every custom operator replaced by its body, so that later stages see what is inside. Derivatives are
/// taken before: afterwards their rules are gone.
pub fn inline_customs(graph: &Graph) -> Cow<'_, Graph> {
    let is_custom = |graph: &Graph, id: NodeId| matches!(graph.node(id).op, Op::Custom(_));
    if !graph.ids().any(|id| is_custom(graph, id)) {
        return Cow::Borrowed(graph);
    }
    Cow::Owned(graph.rebuild(|result, id, inputs| match &graph.node(id).op {
        Op::Custom(custom) => result.import(&inline_customs(&custom.body), inputs)[0],
        op => result.must(op.clone(), inputs),
    }))
}
