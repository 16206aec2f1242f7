//! `slice`: a box of the operand, with steps.

use bespoke_loops::ExprId;
use bespoke_tensor::{Scalar, Tensor, Type};

use super::{Define, Operator, Pad, operands, rearrange, shape};
use crate::{Attributes, Graph, NodeId, attributes::Reader};

/// The elements at `start, start + step, …` below `limit` along each axis.
///
/// Constraints: one operand; a start, limit and step for each of its axes; start ≤ limit ≤ extent; step ≥ 1.
///
/// Example: `%1 = slice %0 {start=[0,1], limit=[2,6], step=[1,2]} : f32[2,3]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The first position along each axis.
    pub start: Vec<usize>,
    /// The position before which to end.
    pub limit: Vec<usize>,
    /// The distance of neighbours.
    pub step: Vec<usize>,
}

impl Slice {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["slice"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<Slice, String>> {
        (name == "slice").then(|| {
            let mut list = |key| attributes.sizes(key);
            Ok(Slice { start: list("start")?, limit: list("limit")?, step: list("step")? })
        })
    }
}

impl Operator for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn attributes(&self) -> Attributes {
        let attributes = Attributes::default().with_dims("start", &self.start).with_dims("limit", &self.limit);
        attributes.with_dims("step", &self.step)
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x] = operands(inputs)?;
        let rank = x.rank();
        if [&self.start, &self.limit, &self.step].iter().any(|v| v.len() != rank) {
            return Err(format!("expected a start, limit and step for each of {rank} axes"));
        }
        let mut dims = vec![];
        for a in 0..rank {
            let (start, limit, step) = (self.start[a], self.limit[a], self.step[a]);
            if start > limit || limit > x.shape[a] {
                return Err(format!("axis {a} has extent {}, {start}..{limit} is not within it", x.shape[a]));
            }
            if step == 0 {
                return Err(format!("axis {a}: expected a step of at least 1, got 0"));
            }
            dims.push((limit - start).div_ceil(step));
        }
        Ok(Type::new(x.dtype, shape(&dims)?))
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        rearrange(inputs[0], ty, |to, from| {
            for a in 0..to.len() {
                from[a] = self.start[a] + to[a] * self.step[a];
            }
        })
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let from = graph.ty(graph.node(node).inputs[0]);
        let taken = graph.ty(node).shape;
        let high = (0..from.rank()).map(|a| {
            // An empty slice along an axis leaves all of it to the padding.
            let covered = if taken[a] == 0 { 0 } else { (taken[a] - 1) * self.step[a] + 1 };
            from.shape[a] - self.start[a] - covered
        });
        let pad = Pad { low: self.start.clone(), high: high.collect(), inner: self.step.iter().map(|s| s - 1).collect() };
        let zero = graph.scalar(Scalar::from_f64(from.dtype, 0.0));
        vec![Some(graph.must(pad, &[cotangent, zero]))]
    }

    fn jvp(&self, graph: &mut Graph, _: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        tangents[0].map(|t| graph.must(self.clone(), &[t]))
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let e = definer.exprs();
        let from: Vec<ExprId> = (0..index.len())
            .map(|a| {
                let (start, steps) = (e.index_const(self.start[a] as i64), e.index_mul(index[a], self.step[a] as i64));
                e.index_add(start, steps)
            })
            .collect();
        definer.operand(0, &from)
    }
}
