//! `barrier`: the identity that rewriting does not look through.

use bespoke_loops::ExprId;
use bespoke_tensor::{Tensor, Type};

use super::{Define, Operator};
use crate::{Graph, NodeId, attributes::Reader};

/// The operand itself, which no rewriting recognises: what is computed from it is not merged with what is computed from
/// the operand. Rematerialisation starts from it what is computed again.
///
/// A second operand, of any type, says *when*: the result is not computed before it is.
///
/// Constraints: one operand, or two.
///
/// Example: `%2 = barrier %0, %1 : f32[3]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Barrier;

impl Barrier {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["barrier"]
    }

    pub(super) fn read(name: &str, _: &mut Reader, _: Type) -> Option<Result<Barrier, String>> {
        (name == "barrier").then_some(Ok(Barrier))
    }
}

impl Operator for Barrier {
    fn name(&self) -> &'static str {
        "barrier"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        match inputs {
            [x] | [x, _] => Ok(*x),
            _ => Err(format!("expected one operand or two, got {}", inputs.len())),
        }
    }

    fn eval(&self, inputs: &[&Tensor], _: Type) -> Tensor {
        inputs[0].clone()
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let mut cotangents = vec![None; graph.node(node).inputs.len()];
        cotangents[0] = Some(cotangent);
        cotangents
    }

    fn jvp(&self, _: &mut Graph, _: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        tangents[0]
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        definer.operand(0, index)
    }
}
