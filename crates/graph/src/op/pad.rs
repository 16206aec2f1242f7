//! `pad`: surrounds and interleaves the operand with a value.

use bespoke_loops::{BinaryFn, ExprId};
use bespoke_tensor::{Tensor, Type};

use super::{Define, Operator, Slice, flat, for_each_index, operands, shape, tangent};
use crate::{Attributes, Graph, NodeId, attributes::Reader};

/// `low` elements of a value before the operand, `high` after it and `inner` between neighbours, along each axis.
///
/// Inputs: `x`: any type; `value`: a scalar of its element type. Constraints: a count for each axis of `x`.
///
/// Example: `%2 = pad %0, %1 {low=[1], high=[2], inner=[0]} : f32[6]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pad {
    /// Elements before the first, along each axis.
    pub low: Vec<usize>,
    /// Elements after the last.
    pub high: Vec<usize>,
    /// Elements between neighbours.
    pub inner: Vec<usize>,
}

impl Pad {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["pad"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<Pad, String>> {
        (name == "pad").then(|| {
            let mut list = |key| attributes.sizes(key);
            Ok(Pad { low: list("low")?, high: list("high")?, inner: list("inner")? })
        })
    }
}

impl Operator for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn attributes(&self) -> Attributes {
        let attributes = Attributes::default().with_dims("low", &self.low).with_dims("high", &self.high);
        attributes.with_dims("inner", &self.inner)
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x, value] = operands(inputs)?;
        if value != Type::scalar(x.dtype) {
            return Err(format!("expected a padding value of {}, got {value}", Type::scalar(x.dtype)));
        }
        let rank = x.rank();
        if [&self.low, &self.high, &self.inner].iter().any(|v| v.len() != rank) {
            return Err(format!("expected a low, high and inner count for each of {rank} axes"));
        }
        let mut dims = vec![];
        for a in 0..rank {
            let gaps = x.shape[a].saturating_sub(1).checked_mul(self.inner[a]);
            let extent = gaps.and_then(|g| x.shape[a].checked_add(g)?.checked_add(self.low[a])?.checked_add(self.high[a]));
            dims.push(extent.ok_or_else(|| format!("axis {a} becomes too large"))?);
        }
        Ok(Type::new(x.dtype, shape(&dims)?))
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        let mut from = vec![None; ty.elements()];
        let strides = ty.shape.strides();
        let mut i = 0;
        for_each_index(&inputs[0].shape(), |index| {
            let to: Vec<usize> = (0..index.len()).map(|a| self.low[a] + index[a] * (self.inner[a] + 1)).collect();
            from[flat(&strides, &to)] = Some(i);
            i += 1;
        });
        Tensor::from_fn(ty, |i| from[i].map_or_else(|| inputs[1].get(0), |j| inputs[0].get(j)))
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let (from, to) = (graph.ty(graph.node(node).inputs[0]).shape, graph.ty(node).shape);
        let taken = Slice {
            start: self.low.clone(),
            // An empty operand has no last element to end after.
            limit: (0..from.rank())
                .map(|a| if from[a] == 0 { self.low[a] } else { to[a] - self.high[a] })
                .collect(),
            step: self.inner.iter().map(|i| i + 1).collect(),
        };
        let x = graph.must(taken, &[cotangent]);
        let (all, kept) = (graph.sum_all(cotangent), graph.sum_all(x));
        let value = graph.minus(all, kept);
        vec![Some(x), Some(value)]
    }

    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        let (x, value) = (graph.node(node).inputs[0], graph.node(node).inputs[1]);
        let operands = [tangent(graph, tangents[0], x), tangent(graph, tangents[1], value)];
        Some(graph.must(self.clone(), &operands))
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let from = definer.operand_type(0).shape;
        let value = definer.operand(1, &[]);
        if from.elements() == 0 {
            return value;
        }
        let e = definer.exprs();
        let mut inside = e.literal(true);
        let mut position = vec![];
        for a in 0..index.len() {
            let low = e.index_const(-(self.low[a] as i64));
            let offset = e.index_add(index[a], low);
            let step = self.inner[a] as i64 + 1;
            let covered = (from[a] as i64 - 1) * step;
            let (zero, end) = (e.index_const(0), e.index_const(covered));
            let (above, below) = (e.binary(BinaryFn::Ge, offset, zero), e.binary(BinaryFn::Le, offset, end));
            inside = e.binary(BinaryFn::And, inside, above);
            inside = e.binary(BinaryFn::And, inside, below);
            let legal = e.index_clamp(offset, covered);
            let gap = e.index_rem(legal, step);
            let on_element = e.binary(BinaryFn::Eq, gap, zero);
            inside = e.binary(BinaryFn::And, inside, on_element);
            position.push(e.index_div(legal, step));
        }
        let x = definer.operand(0, &position);
        definer.exprs().select(inside, x, value)
    }
}
