//! `arg_sort`: in which order elements ascend.

use std::cmp::Ordering;

use bespoke_loops::{BinaryFn, Combine, ExprId};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

use super::{Define, Operator, flat, for_each_index, operands};
use crate::{Attribute, Attributes, Graph, NodeId, attributes::Reader};

/// The positions along `axis` in the order in which their elements ascend, or descend, as i32: `x[out[0]]` comes first.
/// Equal elements keep their order; a NaN is greater than all else. To sort, gather by it.
///
/// Constraints: one operand of numbers; `axis` is below its rank, of at most 2³¹ − 1 elements.
///
/// Example: `%1 = arg_sort %0 {axis=1} : i32[128,10]`, `%2 = arg_sort %0 {axis=1, descending=1} : i32[128,10]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArgSort {
    /// Along which axis.
    pub axis: usize,
    /// Is the greatest first?
    pub descending: bool,
}

impl ArgSort {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["arg_sort"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<ArgSort, String>> {
        (name == "arg_sort").then(|| {
            let (axis, descending) = (attributes.size("axis")?, attributes.size_or_zero("descending")? != 0);
            Ok(ArgSort { axis, descending })
        })
    }
}

/// The order of two elements of one type; NaN is greater than all else.
fn compare(a: Scalar, b: Scalar) -> Ordering {
    match (a.to_i64(), b.to_i64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => {
            let (a, b) = (a.to_f64(), b.to_f64());
            a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        }
    }
}

impl Operator for ArgSort {
    fn name(&self) -> &'static str {
        "arg_sort"
    }

    fn attributes(&self) -> Attributes {
        let attributes = Attributes::default().with("axis", Attribute::Int(self.axis as i64));
        if self.descending { attributes.with("descending", Attribute::Int(1)) } else { attributes }
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x] = operands(inputs)?;
        if x.dtype == DType::Bool {
            return Err(format!("expected numbers, got {x}"));
        }
        if self.axis >= x.rank() {
            return Err(format!("axis {} is out of range for {x}", self.axis));
        }
        if i32::try_from(x.shape[self.axis]).is_err() {
            return Err(format!("axis {} of {x} is too long", self.axis));
        }
        Ok(Type::new(DType::I32, x.shape))
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        let x = inputs[0];
        let (strides, extent) = (ty.shape.strides(), ty.shape[self.axis]);
        let mut positions = vec![0; ty.elements()];
        let mut lines = ty.shape.to_vec();
        lines[self.axis] = extent.min(1);
        for_each_index(&lines, |index| {
            let start = flat(&strides, index);
            let at = |i: usize| start + i * strides[self.axis];
            let mut order: Vec<usize> = (0..extent).collect();
            order.sort_by(|&i, &j| {
                let ascending = compare(x.get(at(i)), x.get(at(j)));
                if self.descending { ascending.reverse() } else { ascending }
            });
            order.into_iter().enumerate().for_each(|(rank, i)| positions[at(rank)] = i);
        });
        Tensor::from_fn(ty, |i| Scalar::I64(positions[i] as i64))
    }

    fn vjp(&self, _: &mut Graph, _: NodeId, _: NodeId) -> Vec<Option<NodeId>> {
        vec![None]
    }

    fn jvp(&self, _: &mut Graph, _: NodeId, _: &[Option<NodeId>]) -> Option<NodeId> {
        None
    }

    /// Pulled: the position of which as many come before as the index says. Lowering sorts long axes.
    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let ty = definer.operand_type(0);
        let extents = [ty.shape[self.axis]];
        definer.reduce(Combine::Sum, DType::I32, &extents, &mut |definer, one| {
            let rank = definer.reduce(Combine::Sum, DType::I32, &extents, &mut |definer, other| {
                let mut element = |at: ExprId| {
                    let mut from = index.to_vec();
                    from[self.axis] = at;
                    definer.operand(0, &from)
                };
                let (x, y) = (element(one[0]), element(other[0]));
                let e = definer.exprs();
                let beyond = if self.descending { BinaryFn::Gt } else { BinaryFn::Lt };
                let mut before = e.binary(beyond, y, x);
                let mut equal = e.binary(BinaryFn::Eq, y, x);
                if ty.dtype.is_float() {
                    let (x_nan, y_nan) = (e.binary(BinaryFn::Ne, x, x), e.binary(BinaryFn::Ne, y, y));
                    let (last, first) = if self.descending { (y_nan, x_nan) } else { (x_nan, y_nan) };
                    let differs = e.binary(BinaryFn::Ne, x_nan, y_nan);
                    let goes = e.binary(BinaryFn::And, last, differs);
                    let both = e.binary(BinaryFn::And, last, first);
                    before = e.binary(BinaryFn::Or, before, goes);
                    equal = e.binary(BinaryFn::Or, equal, both);
                }
                let earlier = e.binary(BinaryFn::Lt, other[0], one[0]);
                let tie = e.binary(BinaryFn::And, equal, earlier);
                before = e.binary(BinaryFn::Or, before, tie);
                e.convert(DType::I32, before)
            });
            let e = definer.exprs();
            let here = e.convert(DType::I32, one[0]);
            let wanted = e.convert(DType::I32, index[self.axis]);
            let meant = e.binary(BinaryFn::Eq, rank, wanted);
            let zero = e.literal(0i32);
            e.select(meant, here, zero)
        })
    }
}
