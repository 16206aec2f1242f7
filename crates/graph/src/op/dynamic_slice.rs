//! `dynamic_slice`: a piece whose place is known at run time.

use bespoke_loops::{ExprId, Exprs};
use bespoke_tensor::{DType, Tensor, Type};

use super::{Define, DynamicUpdate, Gather, Operator, rearrange, shape};
use crate::{Attributes, Graph, NodeId, attributes::Reader};

/// The piece of `x` of extents `sizes` that begins at the starts: `out[i, j, …] = x[s₀ + i, s₁ + j, …]`. A start from which
/// the piece would reach beyond the operand is clamped to the nearest from which it does not.
///
/// Inputs: `x`: any type; a scalar start for each axis: i32, i64, u8 or u32, all of one type.
/// Constraints: a size for each axis, at most its extent.
///
/// Example: `%3 = dynamic_slice %0, %1, %2 {sizes=[1,64]} : f32[1,64]` of `f32[1000,64]`, `i32[]` and `i32[]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DynamicSlice {
    /// The extents of the piece.
    pub sizes: Vec<usize>,
}

/// Checks the starts of a piece of `x` of these extents.
pub(super) fn check_starts(x: Type, piece: &[usize], starts: &[Type]) -> Result<(), String> {
    if piece.len() != x.rank() || starts.len() != x.rank() {
        return Err(format!(
            "expected a size and a start for each of {} axes of {x}, got {} and {}",
            x.rank(),
            piece.len(),
            starts.len()
        ));
    }
    if let Some(start) = starts.iter().find(|s| s.rank() != 0 || !s.dtype.is_int() || **s != starts[0]) {
        return Err(format!("expected starts that are integer scalars of one type, got {start}"));
    }
    match (0..x.rank()).find(|&a| piece[a] > x.shape[a]) {
        Some(a) => Err(format!("a piece of {} is longer than axis {a} of {x}", piece[a])),
        None => Ok(()),
    }
}

/// Where pieces of these extents begin.
pub(super) fn starts(x: &[usize], piece: &[usize], values: &[&Tensor]) -> Vec<usize> {
    let start = |a: usize| Gather::clamp(values[a].get(0), x[a] - piece[a] + 1);
    (0..x.len()).map(start).collect()
}

/// A start in a loop.
pub(super) fn start_expr(e: &mut Exprs, value: ExprId, extent: usize, piece: usize) -> ExprId {
    let position = e.convert(DType::I64, value);
    e.index_clamp(position, (extent - piece) as i64)
}

impl DynamicSlice {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["dynamic_slice"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<DynamicSlice, String>> {
        (name == "dynamic_slice").then(|| Ok(DynamicSlice { sizes: attributes.sizes("sizes")? }))
    }
}

impl Operator for DynamicSlice {
    fn name(&self) -> &'static str {
        "dynamic_slice"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with_dims("sizes", &self.sizes)
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let Some((&x, starts)) = inputs.split_first() else {
            return Err("expected an operand and its starts, got nothing".to_owned());
        };
        check_starts(x, &self.sizes, starts)?;
        Ok(Type::new(x.dtype, shape(&self.sizes)?))
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        let starts = starts(&inputs[0].shape(), &self.sizes, &inputs[1..]);
        rearrange(inputs[0], ty, |index, from| {
            (0..index.len()).for_each(|a| from[a] = starts[a] + index[a]);
        })
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let mut operands = graph.node(node).inputs.to_vec();
        let mut cotangents = vec![None; operands.len()];
        operands[0] = graph.fill_like(operands[0], 0.0);
        operands.insert(1, cotangent);
        cotangents[0] = Some(graph.must(DynamicUpdate, &operands));
        cotangents
    }

    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        let mut operands = graph.node(node).inputs.clone();
        operands[0] = tangents[0]?;
        Some(graph.must(self.clone(), &operands))
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let x = definer.operand_type(0);
        let mut from = vec![];
        for a in 0..x.rank() {
            let value = definer.operand(a + 1, &[]);
            let e = definer.exprs();
            let start = start_expr(e, value, x.shape[a], self.sizes[a]);
            from.push(e.index_add(start, index[a]));
        }
        definer.operand(0, &from)
    }
}
