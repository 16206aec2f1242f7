//! `arg_max`, `arg_min`: the position of an extremum.

use bespoke_loops::{BinaryFn, Combine, ExprId};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

use super::{Define, Operator, for_each_index, operands, shape};
use crate::{Attribute, Attributes, Graph, NodeId, attributes::Reader};

/// Which extremum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extremum {
    /// The greatest.
    Max,
    /// The least.
    Min,
}

/// The position of the first maximum or minimum along `axis`, as i32. A NaN is more extreme than all else.
///
/// Constraints: one operand of numbers; `axis` is below its rank; its extent is at least 1.
///
/// Example: `%1 = arg_max %0 {axis=1} : i32[128]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArgReduce {
    /// Maximum or minimum.
    pub extremum: Extremum,
    /// Along which axis.
    pub axis: usize,
}

impl ArgReduce {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["arg_max", "arg_min"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<ArgReduce, String>> {
        let extremum = match name {
            "arg_max" => Extremum::Max,
            "arg_min" => Extremum::Min,
            _ => return None,
        };
        Some(attributes.size("axis").map(|axis| ArgReduce { extremum, axis }))
    }
}

/// Is a more extreme than b? NaN is more than all else.
pub(super) fn is_beyond(extremum: Extremum, a: Scalar, b: Scalar) -> bool {
    let is_nan = |s: Scalar| s.to_f64().is_nan();
    let beyond = match (a.to_i64(), b.to_i64(), extremum) {
        (Some(a), Some(b), Extremum::Max) => a > b,
        (Some(a), Some(b), Extremum::Min) => a < b,
        (_, _, Extremum::Max) => a.to_f64() > b.to_f64(),
        (_, _, Extremum::Min) => a.to_f64() < b.to_f64(),
    };
    beyond || (is_nan(a) && !is_nan(b))
}

impl Operator for ArgReduce {
    fn name(&self) -> &'static str {
        match self.extremum {
            Extremum::Max => "arg_max",
            Extremum::Min => "arg_min",
        }
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with("axis", Attribute::Int(self.axis as i64))
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x] = operands(inputs)?;
        if x.dtype == DType::Bool {
            return Err(format!("expected numbers, got {x}"));
        }
        if self.axis >= x.rank() {
            return Err(format!("axis {} is out of range for {x}", self.axis));
        }
        if x.shape[self.axis] == 0 {
            return Err(format!("axis {} of {x} is empty", self.axis));
        }
        let dims: Vec<usize> = (0..x.rank()).filter(|&a| a != self.axis).map(|a| x.shape[a]).collect();
        Ok(Type::new(DType::I32, shape(&dims)?))
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        let x = inputs[0];
        let stride = x.shape().strides()[self.axis];
        let extent = x.shape()[self.axis];
        let mut positions = Vec::with_capacity(ty.elements());
        for_each_index(&ty.shape, |index| {
            let mut from = index.to_vec();
            from.insert(self.axis, 0);
            let start = super::flat(&x.shape().strides(), &from);
            let mut best = 0;
            for k in 1..extent {
                if is_beyond(self.extremum, x.get(start + k * stride), x.get(start + best * stride)) {
                    best = k;
                }
            }
            positions.push(best);
        });
        Tensor::from_fn(ty, |i| Scalar::I64(positions[i] as i64))
    }

    fn vjp(&self, _: &mut Graph, _: NodeId, _: NodeId) -> Vec<Option<NodeId>> {
        vec![None]
    }

    fn jvp(&self, _: &mut Graph, _: NodeId, _: &[Option<NodeId>]) -> Option<NodeId> {
        None
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let ty = definer.operand_type(0);
        let combine = if self.extremum == Extremum::Max { Combine::Max } else { Combine::Min };
        let start = definer.exprs().literal(combine.identity(ty.dtype));
        // Before the first element nothing is best: position −1 makes it win even where it equals the identity.
        let nowhere = definer.exprs().literal(-1i32);
        let found = definer.fold(&[start, nowhere], &[ty.shape[self.axis]], &mut |definer, position, before| {
            let mut from = index.to_vec();
            from.insert(self.axis, position[0]);
            let x = definer.operand(0, &from);
            let e = definer.exprs();
            let (best, at) = (before[0], before[1]);
            let beyond = if self.extremum == Extremum::Max { BinaryFn::Gt } else { BinaryFn::Lt };
            let zero = e.literal(0i32);
            let first = e.binary(BinaryFn::Lt, at, zero);
            let mut better = e.binary(beyond, x, best);
            if ty.dtype.is_float() {
                let (x_nan, best_number) = (e.binary(BinaryFn::Ne, x, x), e.binary(BinaryFn::Eq, best, best));
                let newly = e.binary(BinaryFn::And, x_nan, best_number);
                better = e.binary(BinaryFn::Or, better, newly);
            }
            let better = e.binary(BinaryFn::Or, better, first);
            let here = e.convert(DType::I32, position[0]);
            vec![e.select(better, x, best), e.select(better, here, at)]
        });
        found[1]
    }
}
