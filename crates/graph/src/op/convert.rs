//! `convert`: another element type.

use bespoke_loops::ExprId;
use bespoke_tensor::{DType, Tensor, Type};

use super::{Define, Operator, operands};
use crate::{Graph, NodeId, attributes::Reader};

/// [`Scalar::convert`](bespoke_tensor::Scalar::convert) of each element: float to integer truncates and saturates
/// (NaN to 0), integer to integer wraps, to bool is `!= 0`.
///
/// Constraints: one operand. The derivative between float types is the conversion back.
///
/// Example: `%1 = convert %0 : f32[3]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Convert {
    /// The result's element type.
    pub dtype: DType,
}

impl Convert {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["convert"]
    }

    pub(super) fn read(name: &str, _: &mut Reader, ty: Type) -> Option<Result<Convert, String>> {
        (name == "convert").then_some(Ok(Convert { dtype: ty.dtype }))
    }
}

impl Operator for Convert {
    fn name(&self) -> &'static str {
        "convert"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x] = operands(inputs)?;
        Ok(Type::new(self.dtype, x.shape))
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        Tensor::from_fn(ty, |i| inputs[0].get(i).convert(self.dtype))
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let from = graph.ty(graph.node(node).inputs[0]).dtype;
        let through_floats = from.is_float() && self.dtype.is_float();
        vec![through_floats.then(|| graph.convert(cotangent, from))]
    }

    fn jvp(&self, graph: &mut Graph, _: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        tangents[0].filter(|_| self.dtype.is_float()).map(|t| graph.convert(t, self.dtype))
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let x = definer.operand(0, index);
        definer.exprs().convert(self.dtype, x)
    }
}
