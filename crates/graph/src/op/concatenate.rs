//! `concatenate`: operands one after the other.

use bespoke_loops::{BinaryFn, ExprId};
use bespoke_tensor::{Tensor, Type};

use super::{Define, Operator, Slice, flat, for_each_index, shape, tangent};
use crate::{Attribute, Attributes, Graph, NodeId, attributes::Reader};

/// The operands one after the other along `axis`.
///
/// Constraints: one operand or more, of one element type and rank; extents are equal but along `axis`.
///
/// Example: `%2 = concatenate %0, %1 {axis=0} : f32[5,3]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Concatenate {
    /// The axis.
    pub axis: usize,
}

impl Concatenate {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["concatenate"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<Concatenate, String>> {
        (name == "concatenate").then(|| Ok(Concatenate { axis: attributes.size("axis")? }))
    }
}

impl Operator for Concatenate {
    fn name(&self) -> &'static str {
        "concatenate"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with("axis", Attribute::Int(self.axis as i64))
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let Some(first) = inputs.first() else { return Err("expected one operand or more, got none".to_owned()) };
        if self.axis >= first.rank() {
            return Err(format!("axis {} is out of range for {first}", self.axis));
        }
        let mut dims = first.shape.to_vec();
        for ty in &inputs[1..] {
            let fits = ty.dtype == first.dtype
                && ty.rank() == first.rank()
                && (0..first.rank()).all(|a| a == self.axis || ty.shape[a] == first.shape[a]);
            if !fits {
                return Err(format!("{ty} does not continue {first} along axis {}", self.axis));
            }
            let sum = dims[self.axis].checked_add(ty.shape[self.axis]);
            dims[self.axis] = sum.ok_or_else(|| format!("axis {} becomes too large", self.axis))?;
        }
        Ok(Type::new(first.dtype, shape(&dims)?))
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        let mut from = vec![(0, 0); ty.elements()];
        let strides = ty.shape.strides();
        let mut start = 0;
        for (operand, x) in inputs.iter().enumerate() {
            let mut i = 0;
            for_each_index(&x.shape(), |index| {
                from[flat(&strides, index) + start * strides[self.axis]] = (operand, i);
                i += 1;
            });
            start += x.shape()[self.axis];
        }
        Tensor::from_fn(ty, |i| inputs[from[i].0].get(from[i].1))
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let inputs = graph.node(node).inputs.clone();
        let mut start = 0;
        let mut parts = vec![];
        for x in inputs {
            let dims = graph.ty(x).shape;
            let mut part =
                Slice { start: vec![0; dims.rank()], limit: dims.to_vec(), step: vec![1; dims.rank()] };
            part.start[self.axis] = start;
            start += dims[self.axis];
            part.limit[self.axis] = start;
            parts.push(Some(graph.must(part, &[cotangent])));
        }
        parts
    }

    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        let inputs = graph.node(node).inputs.clone();
        let parts: Vec<NodeId> = inputs.iter().zip(tangents).map(|(&x, &t)| tangent(graph, t, x)).collect();
        Some(graph.must(self.clone(), &parts))
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let total = definer.ty().shape[self.axis] as i64;
        let mut value = None;
        let mut start = 0;
        for operand in 0.. {
            let extent = definer.operand_type(operand).shape[self.axis] as i64;
            let end = start + extent;
            if extent > 0 {
                let e = definer.exprs();
                let mut position = index.to_vec();
                let offset = e.index_const(-start);
                position[self.axis] = e.index_add(index[self.axis], offset);
                position[self.axis] = e.index_clamp(position[self.axis], extent - 1);
                let x = definer.operand(operand, &position);
                let e = definer.exprs();
                // Operands come in order: this one holds if the index is not before its start.
                let begin = e.index_const(start);
                let reached = e.binary(BinaryFn::Ge, index[self.axis], begin);
                value = Some(value.map_or(x, |before| e.select(reached, x, before)));
            }
            start = end;
            if end == total {
                break;
            }
        }
        value.expect("an element exists, so that one operand is not empty")
    }
}
