//! `iota`: each element is its position along an axis.

use bespoke_loops::ExprId;
use bespoke_tensor::{DType, Scalar, Tensor, Type};

use super::{Define, Operator, operands};
use crate::{Attribute, Attributes, Graph, NodeId, attributes::Reader};

/// Each element is its position along `axis`, converted to the element type.
///
/// Constraints: no operands; the type is not bool; `axis` is below its rank.
///
/// Example: `%0 = iota {axis=1} : i32[2,3]` is `[[0,1,2],[0,1,2]]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Iota {
    /// The result's type.
    pub ty: Type,
    /// The axis to count along.
    pub axis: usize,
}

impl Iota {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["iota"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, ty: Type) -> Option<Result<Iota, String>> {
        (name == "iota").then(|| Ok(Iota { ty, axis: attributes.size("axis")? }))
    }
}

impl Operator for Iota {
    fn name(&self) -> &'static str {
        "iota"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with("axis", Attribute::Int(self.axis as i64))
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        operands::<0>(inputs)?;
        if self.ty.dtype == DType::Bool {
            return Err("expected a number type, got bool".to_owned());
        }
        if self.axis >= self.ty.rank() {
            return Err(format!("axis {} is out of range for {}", self.axis, self.ty));
        }
        Ok(self.ty)
    }

    fn eval(&self, _: &[&Tensor], ty: Type) -> Tensor {
        let (stride, extent) = (ty.shape.strides()[self.axis], ty.shape[self.axis]);
        Tensor::from_fn(ty, |i| Scalar::I64((i / stride % extent) as i64))
    }

    fn vjp(&self, _: &mut Graph, _: NodeId, _: NodeId) -> Vec<Option<NodeId>> {
        vec![]
    }

    fn jvp(&self, _: &mut Graph, _: NodeId, _: &[Option<NodeId>]) -> Option<NodeId> {
        None
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        definer.exprs().convert(self.ty.dtype, index[self.axis])
    }
}
