//! `dynamic_update`: a piece replaced whose place is known at run time.

use bespoke_loops::{BinaryFn, ExprId};
use bespoke_tensor::{Tensor, Type};

use super::{
    Define, DynamicSlice, Operator,
    dynamic_slice::{check_starts, start_expr, starts},
    flat, tangent,
};
use crate::{Graph, NodeId, attributes::Reader};

/// `x` with the piece that begins at the starts replaced by `update`. Starts are clamped as in [`DynamicSlice`].
///
/// Inputs: `x`: any type; `update`: of its element type; a scalar start for each axis: i32, i64, u8 or u32, all of one type.
/// Constraints: `update` has the rank of `x` and is nowhere longer.
///
/// Example: `%3 = dynamic_update %0, %1, %2 : f32[1000]` of `f32[1000]`, `f32[10]` and `i32[]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DynamicUpdate;

impl DynamicUpdate {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["dynamic_update"]
    }

    pub(super) fn read(name: &str, _: &mut Reader, _: Type) -> Option<Result<DynamicUpdate, String>> {
        (name == "dynamic_update").then_some(Ok(DynamicUpdate))
    }
}

impl Operator for DynamicUpdate {
    fn name(&self) -> &'static str {
        "dynamic_update"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x, update, starts @ ..] = inputs else {
            return Err(format!("expected an operand, an update and starts, got {} operands", inputs.len()));
        };
        if x.dtype != update.dtype {
            return Err(format!("expected an update of {}, got {update}", x.dtype));
        }
        check_starts(*x, &update.shape, starts)?;
        Ok(*x)
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        let (x, update) = (inputs[0], inputs[1]);
        let starts = starts(&ty.shape, &update.shape(), &inputs[2..]);
        let mut positions = vec![None; ty.elements()];
        let strides = ty.shape.strides();
        let mut i = 0;
        super::for_each_index(&update.shape(), |index| {
            let at: Vec<usize> = starts.iter().zip(index).map(|(s, i)| s + i).collect();
            positions[flat(&strides, &at)] = Some(i);
            i += 1;
        });
        Tensor::from_fn(ty, |i| positions[i].map_or_else(|| x.get(i), |p| update.get(p)))
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let mut operands = graph.node(node).inputs.to_vec();
        let update = graph.ty(operands[1]);
        let mut cotangents = vec![None; operands.len()];
        let starts = operands.split_off(2);
        let zeros = graph.fill(update, 0.0);
        cotangents[0] = Some(graph.must(DynamicUpdate, &[&[cotangent, zeros][..], &starts].concat()));
        let slice = DynamicSlice { sizes: update.shape.to_vec() };
        cotangents[1] = Some(graph.must(slice, &[&[cotangent][..], &starts].concat()));
        cotangents
    }

    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        let mut operands = graph.node(node).inputs.clone();
        for i in 0..2 {
            operands[i] = tangent(graph, tangents[i], operands[i]);
        }
        Some(graph.must(DynamicUpdate, &operands))
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let (x, update) = (definer.operand_type(0), definer.operand_type(1));
        let old = definer.operand(0, index);
        if update.elements() == 0 {
            return old;
        }
        let mut from = vec![];
        let mut inside = definer.exprs().literal(true);
        for a in 0..x.rank() {
            let value = definer.operand(a + 2, &[]);
            let size = update.shape[a];
            let e = definer.exprs();
            let start = start_expr(e, value, x.shape[a], size);
            let back = e.index_mul(start, -1);
            let at = e.index_add(index[a], back);
            let (first, last) = (e.index_const(0), e.index_const(size as i64 - 1));
            let (above, below) = (e.binary(BinaryFn::Ge, at, first), e.binary(BinaryFn::Le, at, last));
            inside = e.binary(BinaryFn::And, inside, above);
            inside = e.binary(BinaryFn::And, inside, below);
            from.push(e.index_clamp(at, size as i64 - 1));
        }
        let new = definer.operand(1, &from);
        definer.exprs().select(inside, new, old)
    }
}
