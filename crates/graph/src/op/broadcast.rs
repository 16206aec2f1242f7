//! `broadcast`: repeats the operand along new axes.

use bespoke_loops::ExprId;
use bespoke_tensor::{Shape, Tensor, Type};

use super::{Define, Operator, check_axes, operands, rearrange};
use crate::{Attributes, Graph, NodeId, attributes::Reader};

/// Repeats the operand along new axes: axis i of the operand becomes axis `axes[i]` of the result.
///
/// Constraints: one operand; as many `axes` as it has dimensions, ascending; extents along them are equal. (An axis of
/// extent 1 is not stretched: reshape it away first.)
///
/// Example: `%1 = broadcast %0 {axes=[1]} : f32[128,10]` adds a bias of 10 to each row
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Broadcast {
    /// The result's shape.
    pub shape: Shape,
    /// The result's axis for each axis of the operand.
    pub axes: Vec<usize>,
}

impl Broadcast {
    /// The result's axes that are not the operand's.
    pub fn new_axes(&self) -> Vec<usize> {
        (0..self.shape.rank()).filter(|a| !self.axes.contains(a)).collect()
    }

    pub(super) fn names() -> Vec<&'static str> {
        vec!["broadcast"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, ty: Type) -> Option<Result<Broadcast, String>> {
        (name == "broadcast").then(|| Ok(Broadcast { shape: ty.shape, axes: attributes.sizes("axes")? }))
    }
}

impl Operator for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with_dims("axes", &self.axes)
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x] = operands(inputs)?;
        check_axes("axis", &self.axes, self.shape.rank())?;
        if self.axes.len() != x.rank() {
            return Err(format!("expected an axis for each of {} dimensions, got {:?}", x.rank(), self.axes));
        }
        if self.axes.windows(2).any(|w| w[0] > w[1]) {
            return Err(format!("expected ascending axes, got {:?}; transpose first", self.axes));
        }
        for (i, &axis) in self.axes.iter().enumerate() {
            if x.shape[i] != self.shape[axis] {
                return Err(format!(
                    "axis {i} of {x} has extent {}, axis {axis} of {} has {}",
                    x.shape[i], self.shape, self.shape[axis]
                ));
            }
        }
        Ok(Type::new(x.dtype, self.shape))
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        rearrange(inputs[0], ty, |to, from| {
            for (i, &axis) in self.axes.iter().enumerate() {
                from[i] = to[axis];
            }
        })
    }

    fn vjp(&self, graph: &mut Graph, _: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        vec![Some(graph.sum(cotangent, &self.new_axes()))]
    }

    fn jvp(&self, graph: &mut Graph, _: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        tangents[0].map(|t| graph.must(self.clone(), &[t]))
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let from: Vec<ExprId> = self.axes.iter().map(|&a| index[a]).collect();
        definer.operand(0, &from)
    }
}
