//! `scatter_add`: updates added along an axis by index.

use bespoke_loops::{BinaryFn, Combine, ExprId};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

use super::{Binary, Define, Gather, Operator, flat, for_each_index, tangent};
use crate::{Attributes, Graph, NodeId, attributes::Reader};

/// Adds updates to the positions that [`Gather`] picks from: `out = x`, then for all b, p, i, q in row-major order
/// `out[b…, p…, indices[b…, i…], q…] += updates[b…, p…, i…, q…]`. Several index operands point along `axis` and the axes
/// that follow it. An index out of range is clamped to the nearest position, as in gather, of which it is the transpose.
///
/// Inputs: `x`: numbers; one or more `indices`: i32, i64, u8 or u32; `updates`: of the type that gather with the same
/// attributes gives of `x` and `indices`. Constraints: those of gather.
///
/// Example: `%3 = scatter_add %0, %1, %2 {axis=0} : f32[1000,64]` of `f32[1000,64]`, `i32[32]` and `f32[32,64]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScatterAdd {
    /// The axis that indices point along.
    pub axis: usize,
    /// The number of shared leading dimensions.
    pub batch: usize,
}

impl ScatterAdd {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["scatter_add"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<ScatterAdd, String>> {
        (name == "scatter_add")
            .then(|| Ok(ScatterAdd { axis: attributes.size("axis")?, batch: attributes.size_or_zero("batch")? }))
    }
}

impl Operator for ScatterAdd {
    fn name(&self) -> &'static str {
        "scatter_add"
    }

    fn attributes(&self) -> Attributes {
        Gather { axis: self.axis, batch: self.batch }.attributes()
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x, indices @ .., updates] = inputs else {
            return Err(format!("expected an operand, indices and updates, got {} operands", inputs.len()));
        };
        let (x, updates) = (*x, *updates);
        if x.dtype == DType::Bool {
            return Err(format!("expected numbers, got {x}"));
        }
        let expected = Gather::picked(self.axis, self.batch, x, indices)?;
        if updates != expected {
            return Err(format!("expected updates of {expected}, got {updates}"));
        }
        Ok(x)
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        let [x, indices @ .., updates] = inputs else { unreachable!("infer has seen them") };
        let wide = if ty.dtype == DType::F32 { DType::F64 } else { ty.dtype };
        let mut result: Vec<Scalar> = x.scalars().map(|s| s.convert(wide)).collect();
        let picks = indices[0].ty().rank() - self.batch;
        let (xs, is) = (x.shape().strides(), indices[0].shape().strides());
        let slots = vec![0; indices.len()];
        let mut i = 0;
        for_each_index(&updates.shape(), |index| {
            let (at, mut to) = Gather::split(self.axis, self.batch, picks, index, &slots);
            for (j, indices) in indices.iter().enumerate() {
                let axis = self.axis + j;
                to[axis] = Gather::clamp(indices.get(flat(&is, &at)), x.shape()[axis]);
            }
            let slot = &mut result[flat(&xs, &to)];
            *slot = Binary::Add.apply(*slot, updates.get(i).convert(wide));
            i += 1;
        });
        Tensor::from_fn(ty, |i| result[i])
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let mut operands = graph.node(node).inputs.clone();
        let updates = operands.len() - 1;
        operands.truncate(updates);
        operands[0] = cotangent;
        let picked = graph.must(Gather { axis: self.axis, batch: self.batch }, &operands);
        let mut cotangents = vec![None; updates + 1];
        cotangents[0] = Some(cotangent);
        cotangents[updates] = Some(picked);
        cotangents
    }

    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        let mut inputs = graph.node(node).inputs.clone();
        let updates = inputs.len() - 1;
        for operand in [0, updates] {
            inputs[operand] = tangent(graph, tangents[operand], inputs[operand]);
        }
        Some(graph.must(self.clone(), &inputs))
    }

    /// Pulled: an element asks every update of its slice whether it is meant. Lowering has a pushing form for long axes.
    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let (x, indices) = (definer.operand_type(0), definer.operand_type(1));
        let count = definer.operands() - 2;
        let extents = indices.shape[self.batch..].to_vec();
        let start = definer.operand(0, index);
        let sum = definer.reduce(Combine::Sum, x.dtype, &extents, &mut |definer, position| {
            let at = [&index[..self.batch], position].concat();
            let mut meant = definer.exprs().literal(true);
            for j in 0..count {
                let axis = self.axis + j;
                let target = definer.operand(j + 1, &at);
                let e = definer.exprs();
                let target = Gather::clamp_expr(e, target, x.shape[axis]);
                let here = e.binary(BinaryFn::Eq, target, index[axis]);
                meant = e.binary(BinaryFn::And, meant, here);
            }
            let from = [&index[..self.axis], position, &index[self.axis + count..]].concat();
            let update = definer.operand(count + 1, &from);
            let e = definer.exprs();
            let zero = e.constant(x.dtype, 0.0);
            e.select(meant, update, zero)
        });
        definer.exprs().binary(BinaryFn::Add, start, sum)
    }
}
