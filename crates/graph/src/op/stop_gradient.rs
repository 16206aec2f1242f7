//! `stop_gradient`: the identity, with derivative zero.

use bespoke_loops::ExprId;
use bespoke_tensor::{Tensor, Type};

use super::{Define, Operator, operands};
use crate::{Graph, NodeId, attributes::Reader};

/// The operand itself; its derivative is zero.
///
/// Constraints: one operand.
///
/// Example: `%1 = stop_gradient %0 : f32[3]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StopGradient;

impl StopGradient {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["stop_gradient"]
    }

    pub(super) fn read(name: &str, _: &mut Reader, _: Type) -> Option<Result<StopGradient, String>> {
        (name == "stop_gradient").then_some(Ok(StopGradient))
    }
}

impl Operator for StopGradient {
    fn name(&self) -> &'static str {
        "stop_gradient"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x] = operands(inputs)?;
        Ok(x)
    }

    fn eval(&self, inputs: &[&Tensor], _: Type) -> Tensor {
        inputs[0].clone()
    }

    fn vjp(&self, _: &mut Graph, _: NodeId, _: NodeId) -> Vec<Option<NodeId>> {
        vec![None]
    }

    fn jvp(&self, _: &mut Graph, _: NodeId, _: &[Option<NodeId>]) -> Option<NodeId> {
        None
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        definer.operand(0, index)
    }
}
