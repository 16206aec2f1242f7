//! `reverse`: axes run backwards.

use bespoke_loops::ExprId;
use bespoke_tensor::{Tensor, Type};

use super::{Define, Operator, check_axes, operands, rearrange};
use crate::{Attributes, Graph, NodeId, attributes::Reader};

/// The operand with `axes` run backwards.
///
/// Constraints: one operand; `axes` are distinct and below its rank.
///
/// Example: `%1 = reverse %0 {axes=[0]} : f32[3]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reverse {
    /// The axes.
    pub axes: Vec<usize>,
}

impl Reverse {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["reverse"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<Reverse, String>> {
        (name == "reverse").then(|| Ok(Reverse { axes: attributes.sizes("axes")? }))
    }
}

impl Operator for Reverse {
    fn name(&self) -> &'static str {
        "reverse"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with_dims("axes", &self.axes)
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x] = operands(inputs)?;
        check_axes("axis", &self.axes, x.rank())?;
        Ok(x)
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        rearrange(inputs[0], ty, |to, from| {
            for a in 0..to.len() {
                from[a] = if self.axes.contains(&a) { ty.shape[a] - 1 - to[a] } else { to[a] };
            }
        })
    }

    fn vjp(&self, graph: &mut Graph, _: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        vec![Some(graph.must(self.clone(), &[cotangent]))]
    }

    fn jvp(&self, graph: &mut Graph, _: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        tangents[0].map(|t| graph.must(self.clone(), &[t]))
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let shape = definer.ty().shape;
        let e = definer.exprs();
        let mut from = index.to_vec();
        for &a in &self.axes {
            let (last, back) = (e.index_const(shape[a] as i64 - 1), e.index_mul(index[a], -1));
            from[a] = e.index_add(last, back);
        }
        definer.operand(0, &from)
    }
}
