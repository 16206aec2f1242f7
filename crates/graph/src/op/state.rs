//! `state`: the value of a state before the run.

use bespoke_loops::ExprId;
use bespoke_tensor::{Tensor, Type};

use super::{Define, Operator, operands};
use crate::{Attribute, Attributes, Graph, NodeId, attributes::Reader};

/// The value of a state before the run. A state outlives the run: a parameter, an optimiser slot, a counter; what it is
/// after the run is its *next* value (see [`Graph::set_next`]).
///
/// Constraints: no operands; the name is not another input's or state's.
///
/// Example: `%1 = state {name="dense0/weight"} : f32[784,256]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StateRead {
    /// The name.
    pub name: String,
    /// The type.
    pub ty: Type,
}

impl StateRead {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["state"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, ty: Type) -> Option<Result<StateRead, String>> {
        (name == "state").then(|| Ok(StateRead { name: attributes.name("name")?, ty }))
    }
}

impl Operator for StateRead {
    fn name(&self) -> &'static str {
        "state"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with("name", Attribute::Name(self.name.clone()))
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        operands::<0>(inputs)?;
        Ok(self.ty)
    }

    fn eval(&self, _: &[&Tensor], _: Type) -> Tensor {
        unreachable!("the evaluator gives states their values")
    }

    fn vjp(&self, _: &mut Graph, _: NodeId, _: NodeId) -> Vec<Option<NodeId>> {
        vec![]
    }

    fn jvp(&self, _: &mut Graph, _: NodeId, _: &[Option<NodeId>]) -> Option<NodeId> {
        None
    }

    fn define(&self, _: &mut dyn Define, _: &[ExprId]) -> ExprId {
        unreachable!("states are buffers")
    }
}
