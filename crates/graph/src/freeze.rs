//! Graphs with some of their states made constant.

use bespoke_tensor::Tensor;
use rustc_hash::FxHashMap;

use crate::{Graph, GraphError, NodeId, Op, op};

impl Graph {
    /// The graph with constants in the place of the states named, so that all that depends on them alone can be computed in
    /// advance: a trained model that is only asked. Other states stay. Each name is that of a state that keeps its value.
    ///
    /// ```
    /// use bespoke_graph::{Graph, eval};
    /// use bespoke_tensor::{DType, Tensor, Type};
    ///
    /// let ty = Type::new(DType::F32, [2]);
    /// let mut g = Graph::new();
    /// let (x, w) = (g.input("x", ty)?, g.state("w", ty)?);
    /// let y = g.times(x, w);
    /// g.set_output("y", y)?;
    ///
    /// let frozen = g.freeze(&[("w", &Tensor::from_vec([2], vec![2.0f32, 3.0])?)])?;
    /// assert!(frozen.states().is_empty());
    /// let values = eval(&frozen, &|_| Some(Tensor::full([2], 5.0f32)))?;
    /// assert_eq!(values.outputs["y"].view::<f32>()?, [10.0, 15.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If there is no state of a name, if it has a next value, or its value is of another type.
    pub fn freeze(&self, values: &[(&str, &Tensor)]) -> Result<Graph, GraphError> {
        let misuse = |rule| Err(self.misuse("freeze", rule));
        let mut constants: FxHashMap<NodeId, &Tensor> = FxHashMap::default();
        for &(name, value) in values {
            let Some(state) = self.states().iter().find(|s| s.name == name) else {
                return misuse(format!("there is no state `{name}`"));
            };
            let (expected, got) = (self.ty(state.node), value.ty());
            if expected != got {
                return misuse(format!("state `{name}`: expected {expected}, got {got}"));
            }
            if state.next.is_some() {
                return misuse(format!("state `{name}` has a next value: it is not constant"));
            }
            constants.insert(state.node, value);
        }
        let mut result = Graph::new();
        let mut new: Vec<NodeId> = Vec::with_capacity(self.len());
        for id in self.ids() {
            let node = self.node(id);
            let inputs: Vec<NodeId> = node.inputs.iter().map(|i| new[i.index()]).collect();
            result.set_location(node.location);
            new.push(match (&node.op, constants.get(&id)) {
                (_, Some(&value)) => result.must(op::Constant { value: value.clone() }, &[]),
                (Op::StateRead(state), None) => result.state(&state.name, state.ty)?,
                (op, None) => result.must(op.clone(), &inputs),
            });
        }
        result.set_location(self.location());
        for (name, id) in self.outputs() {
            result.set_output(name, new[id.index()])?;
        }
        for state in self.states() {
            if let Some(next) = state.next {
                result.set_next(new[state.node.index()], new[next.index()])?;
            }
        }
        Ok(result)
    }
}
