//! `gather`: elements picked along an axis by index.

use bespoke_loops::{ExprId, Exprs};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

use super::{Define, Operator, ScatterAdd, flat, for_each_index, shape};
use crate::{Attribute, Attributes, Graph, NodeId, attributes::Reader};

/// Picks along `axis`: `out[b…, p…, i…, q…] = x[b…, p…, indices[b…, i…], q…]`, where the first `batch` dimensions b are
/// shared, p are the dimensions of `x` before `axis` and q those after it. With `axis=0` it looks rows up (an
/// embedding); with `batch=1, axis=1` it picks an element of each row (a label). Several index operands point along `axis`
/// and the axes that follow it, as in numpy's `x[i, j]`: `out[b…, p…, i…, q…] = x[b…, p…, first[b…, i…], second[b…, i…], q…]`.
/// An index out of range is clamped to the nearest position; of a constant or an input of the graph, as it is, it is
/// refused before anything is computed.
///
/// Inputs: `x`: any type; one or more `indices`: i32, i64, u8 or u32, of one type.
/// Constraints: `batch` ≤ `axis`; `x` has an axis for each index operand from `axis` on; batch extents are equal; the extents
/// of the axes pointed along are at least 1.
///
/// Example: `%2 = gather %0, %1 {axis=1, batch=1} : f32[128]` of `f32[128,10]` and `i32[128]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gather {
    /// The axis to pick along.
    pub axis: usize,
    /// The number of shared leading dimensions.
    pub batch: usize,
}

impl Gather {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["gather"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<Gather, String>> {
        (name == "gather")
            .then(|| Ok(Gather { axis: attributes.size("axis")?, batch: attributes.size_or_zero("batch")? }))
    }

    /// The type of what is picked from `x` by `indices`.
    pub(super) fn picked(axis: usize, batch: usize, x: Type, indices: &[Type]) -> Result<Type, String> {
        let Some((&first, others)) = indices.split_first() else {
            return Err("expected at least one operand of indices".to_owned());
        };
        if !first.dtype.is_int() {
            return Err(format!("expected indices of an integer type, got {first}"));
        }
        if let Some(other) = others.iter().find(|&&o| o != first) {
            return Err(format!("expected indices of one type, got {first} and {other}"));
        }
        let end = axis + indices.len();
        if axis >= x.rank() || end > x.rank() {
            return Err(format!("axis {} is out of range for {x}", axis.max(x.rank())));
        }
        if batch > axis || batch > first.rank() {
            return Err(format!("{batch} batch dimensions do not precede axis {axis} of {x} and fit into {first}"));
        }
        if x.shape[..batch] != first.shape[..batch] {
            return Err(format!("the first {batch} dimensions of {x} and {first} differ"));
        }
        if let Some(empty) = (axis..end).find(|&a| x.shape[a] == 0) {
            return Err(format!("axis {empty} of {x} is empty"));
        }
        let dims = [&x.shape[..axis], &first.shape[batch..], &x.shape[end..]].concat();
        Ok(Type::new(x.dtype, shape(&dims)?))
    }

    /// Splits an index of what is picked into the position in the indices and the position in `x`, in which `slots` stand
    /// for the picked positions.
    pub(super) fn split<T: Copy>(
        axis: usize,
        batch: usize,
        picks: usize,
        index: &[T],
        slots: &[T],
    ) -> (Vec<T>, Vec<T>) {
        let at = [&index[..batch], &index[axis..axis + picks]].concat();
        let from = [&index[..axis], slots, &index[axis + picks..]].concat();
        (at, from)
    }

    /// An index value as a legal position.
    pub(super) fn clamp(value: Scalar, extent: usize) -> usize {
        value.to_i64().expect("an integer").clamp(0, extent as i64 - 1) as usize
    }

    /// An index value as a legal position, in a loop.
    pub(super) fn clamp_expr(e: &mut Exprs, value: ExprId, extent: usize) -> ExprId {
        let position = e.convert(DType::I64, value);
        e.index_clamp(position, extent as i64 - 1)
    }
}

impl Operator for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn attributes(&self) -> Attributes {
        let attributes = Attributes::default().with("axis", Attribute::Int(self.axis as i64));
        if self.batch == 0 { attributes } else { attributes.with("batch", Attribute::Int(self.batch as i64)) }
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        match inputs {
            [x, indices @ ..] => Gather::picked(self.axis, self.batch, *x, indices),
            [] => Err("expected operands, got none".to_owned()),
        }
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        let (x, indices) = (inputs[0], &inputs[1..]);
        let picks = indices[0].ty().rank() - self.batch;
        let (xs, is) = (x.shape().strides(), indices[0].shape().strides());
        let slots = vec![0; indices.len()];
        let mut positions = vec![];
        for_each_index(&ty.shape, |index| {
            let (at, mut from) = Gather::split(self.axis, self.batch, picks, index, &slots);
            for (j, indices) in indices.iter().enumerate() {
                let axis = self.axis + j;
                from[axis] = Gather::clamp(indices.get(flat(&is, &at)), x.shape()[axis]);
            }
            positions.push(flat(&xs, &from));
        });
        Tensor::from_fn(ty, |i| x.get(positions[i]))
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let mut operands = graph.node(node).inputs.clone();
        let count = operands.len();
        operands[0] = graph.fill_like(operands[0], 0.0);
        operands.push(cotangent);
        let scatter = ScatterAdd { axis: self.axis, batch: self.batch };
        let mut cotangents = vec![None; count];
        cotangents[0] = Some(graph.must(scatter, &operands));
        cotangents
    }

    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        let mut inputs = graph.node(node).inputs.clone();
        inputs[0] = tangents[0]?;
        Some(graph.must(self.clone(), &inputs))
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let (x, indices) = (definer.operand_type(0), definer.operand_type(1));
        let picks = indices.rank() - self.batch;
        let slots = vec![definer.exprs().index_const(0); definer.operands() - 1];
        let (at, mut from) = Gather::split(self.axis, self.batch, picks, index, &slots);
        for j in 0..slots.len() {
            let value = definer.operand(j + 1, &at);
            from[self.axis + j] = Gather::clamp_expr(definer.exprs(), value, x.shape[self.axis + j]);
        }
        definer.operand(0, &from)
    }
}
