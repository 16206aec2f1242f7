//! `transpose`: the axes in another order.

use bespoke_loops::ExprId;
use bespoke_tensor::{Tensor, Type};

use super::{Define, Operator, check_axes, operands, rearrange, shape};
use crate::{Attributes, Graph, NodeId, attributes::Reader};

/// The axes in another order: axis i of the result is axis `permutation[i]` of the operand.
///
/// Constraints: one operand; `permutation` holds each of its axes once.
///
/// Example: `%1 = transpose %0 {permutation=[1,0]} : f32[3,2]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transpose {
    /// The operand's axis for each axis of the result.
    pub permutation: Vec<usize>,
}

impl Transpose {
    /// The permutation that undoes this one.
    pub fn inverse(&self) -> Vec<usize> {
        let mut inverse = vec![0; self.permutation.len()];
        for (i, &p) in self.permutation.iter().enumerate() {
            inverse[p] = i;
        }
        inverse
    }

    pub(super) fn names() -> Vec<&'static str> {
        vec!["transpose"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<Transpose, String>> {
        (name == "transpose").then(|| Ok(Transpose { permutation: attributes.sizes("permutation")? }))
    }
}

impl Operator for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with_dims("permutation", &self.permutation)
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x] = operands(inputs)?;
        check_axes("axis", &self.permutation, x.rank())?;
        if self.permutation.len() != x.rank() {
            return Err(format!("expected a permutation of {} axes, got {:?}", x.rank(), self.permutation));
        }
        let dims: Vec<usize> = self.permutation.iter().map(|&p| x.shape[p]).collect();
        Ok(Type::new(x.dtype, shape(&dims)?))
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        rearrange(inputs[0], ty, |to, from| {
            for (i, &p) in self.permutation.iter().enumerate() {
                from[p] = to[i];
            }
        })
    }

    fn vjp(&self, graph: &mut Graph, _: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        vec![Some(graph.transpose(cotangent, &self.inverse()))]
    }

    fn jvp(&self, graph: &mut Graph, _: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        tangents[0].map(|t| graph.must(self.clone(), &[t]))
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let from: Vec<ExprId> = self.inverse().iter().map(|&i| index[i]).collect();
        definer.operand(0, &from)
    }
}
