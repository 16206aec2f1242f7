//! `reshape`: the same elements under another shape.

use bespoke_loops::ExprId;
use bespoke_tensor::{Shape, Tensor, Type};

use super::{Define, Operator, operands};
use crate::{Graph, NodeId, attributes::Reader};

/// The same elements in row-major order under another shape.
///
/// Constraints: one operand; the shapes have equally many elements.
///
/// Example: `%1 = reshape %0 : f32[128,784]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reshape {
    /// The result's shape.
    pub shape: Shape,
}

impl Reshape {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["reshape"]
    }

    pub(super) fn read(name: &str, _: &mut Reader, ty: Type) -> Option<Result<Reshape, String>> {
        (name == "reshape").then_some(Ok(Reshape { shape: ty.shape }))
    }
}

impl Operator for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x] = operands(inputs)?;
        if x.elements() != self.shape.elements() {
            return Err(format!("{x} has {} elements, {} has {}", x.elements(), self.shape, self.shape.elements()));
        }
        Ok(Type::new(x.dtype, self.shape))
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        inputs[0].reshape(ty.shape).expect("inference compared the numbers of elements")
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let from = graph.ty(graph.node(node).inputs[0]).shape;
        vec![Some(graph.reshape(cotangent, from))]
    }

    fn jvp(&self, graph: &mut Graph, _: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        tangents[0].map(|t| graph.must(self.clone(), &[t]))
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let from = definer.operand_type(0).shape;
        let flat = definer.exprs().flatten(&self.shape, index);
        let index = definer.exprs().unflatten(&from, flat);
        definer.operand(0, &index)
    }
}
