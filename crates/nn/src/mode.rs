//! Training or asking: what differs between the two.

use bespoke_graph::{Graph as Ir, NodeId, Op, op::Constant};
use bespoke_tensor::{DType, Tensor};

use crate::{BuildError, Graph, Value, live_part};

/// The input that says it, until a step or a query is made of the graph.
const NAME: &str = "training";

impl Graph {
    /// True in a training step, false in a query: a bool scalar for layers that differ, such as dropout. It is an input
    /// `training` of the graph that [`Graph::finish`] gives. [`Trainer`](crate::Trainer) replaces it by what holds in each of
    /// its two graphs, and [`Graph::compile`] by true if a parameter has a next value.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    /// use bespoke_tensor::Tensor;
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [2]);
    /// g.output("y", g.training().select(x * 2.0, x));
    /// let outputs = g.compile()?.run(&[("x", &Tensor::full([2], 3.0f32))])?;
    /// assert_eq!(outputs.get("y").unwrap().view::<f32>()?, [3.0, 3.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn training(&self) -> Value<'_> {
        if let Some(parent) = &self.parent {
            let outside = parent.training();
            let id = self.own(&[outside]).map(|ids| ids[0]);
            return Value { graph: self, id };
        }
        let known = self.inner.borrow().training;
        if known.is_some() {
            return Value { graph: self, id: known };
        }
        let value = self.input(NAME, DType::Bool, &[][..]);
        self.inner.borrow_mut().training = value.id;
        value
    }
}

impl Graph {
    /// The graph that gives these values of a trained model: without what only training needs, such as labels, dropout and the
    /// statistics of batches. No state changes.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    ///
    /// let g = Graph::new();
    /// let logits = g.input("x", F32, [8, 4]).dropout(0.5).dense(3);
    /// let query = g.query_graph(&[("logits", logits)])?;
    /// assert!(!query.to_string().contains("random"));
    /// # Ok::<(), bespoke_nn::BuildError>(())
    /// ```
    ///
    /// # Errors
    /// The first mistake that was made in building the graph.
    pub fn query_graph(&self, outputs: &[(&str, Value<'_>)]) -> Result<Ir, BuildError> {
        let mut query = self.finish()?;
        query.clear_outputs();
        for (name, value) in outputs {
            if let Some(id) = value.id {
                query.set_output(name, id)?;
            }
        }
        Ok(without_updates(query, self.inner.borrow().training))
    }
}

/// The query of a graph with its outputs: resolved, without next states and what only they need.
pub fn without_updates(mut graph: Ir, marker: Option<NodeId>) -> Ir {
    let states: Vec<NodeId> = graph.states().iter().map(|s| s.node).collect();
    for state in states {
        graph.replace_next(state, None);
    }
    live_part(&resolve(&graph, marker, false))
}

/// The graph of a training step or of a query: what only the other needs is not used, and a state that only the other
/// changes has no next value.
pub fn resolve(graph: &Ir, marker: Option<NodeId>, training: bool) -> Ir {
    let Some(marker) = marker else { return graph.clone() };
    let mut result = Ir::new();
    let mut new: Vec<NodeId> = vec![];
    let mut is_marker = vec![false; graph.len()];
    for id in graph.ids() {
        let node = graph.node(id);
        let inputs: Vec<NodeId> = node.inputs.iter().map(|i| new[i.index()]).collect();
        let by_marker = node.inputs.first().is_some_and(|i| is_marker[i.index()]);
        is_marker[id.index()] = id == marker || matches!(node.op, Op::Broadcast(_)) && by_marker;
        result.set_location(node.location);
        new.push(match &node.op {
            Op::Input(_) if id == marker => result.must(Constant { value: Tensor::scalar(training) }, &[]),
            Op::Select(_) if by_marker => inputs[if training { 1 } else { 2 }],
            Op::Input(input) => result.input(&input.name, input.ty).expect("names were unique before"),
            Op::StateRead(state) => result.state(&state.name, state.ty).expect("names were unique before"),
            op => result.must(op.clone(), &inputs),
        });
    }
    result.set_location(None);
    for (name, id) in graph.outputs() {
        result.set_output(name, new[id.index()]).expect("names were unique before");
    }
    for state in graph.states() {
        let next = state.next.map(|n| new[n.index()]);
        let state = new[state.node.index()];
        result.replace_next(state, next.filter(|&n| n != state));
    }
    result
}
