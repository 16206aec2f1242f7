//! `constant`: a value known when the graph is built.

use bespoke_loops::ExprId;
use bespoke_tensor::{Scalar, Tensor, Type};

use super::{Define, Operator, operands};
use crate::{Attribute, Attributes, Graph, NodeId, attributes::Reader};

/// A value known when the graph is built. Equal bits are equal constants.
///
/// Attributes: `value` of a scalar, `values` in row-major order otherwise.
/// Constraints: no operands; as many values as the type has elements.
///
/// Example: `%2 = constant {value=0.5} : f32[]`, `%3 = constant {values=(1, 2, 3)} : i32[3]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Constant {
    /// The value.
    pub value: Tensor,
}

impl Constant {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["constant"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, ty: Type) -> Option<Result<Constant, String>> {
        (name == "constant").then(|| {
            let key = if ty.rank() == 0 { "value" } else { "values" };
            let texts = match attributes.any(key)? {
                Attribute::Scalar(text) => vec![text],
                Attribute::Int(v) => vec![v.to_string()],
                Attribute::Scalars(texts) => texts,
                other => return Err(format!("`{key}`: expected numbers, got {other}")),
            };
            if texts.len() != ty.elements() {
                return Err(format!("`{key}`: {ty} has {} elements, got {}", ty.elements(), texts.len()));
            }
            let parse = |t: &String| Scalar::parse(ty.dtype, t).ok_or_else(|| format!("`{t}` is not of type {}", ty.dtype));
            let values = texts.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
            Ok(Constant { value: Tensor::from_fn(ty, |i| values[i]) })
        })
    }
}

impl Operator for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn attributes(&self) -> Attributes {
        let texts: Vec<String> = self.value.scalars().map(|s| s.to_string()).collect();
        if self.value.ty().rank() == 0 {
            Attributes::default().with("value", Attribute::Scalar(texts[0].clone()))
        } else {
            Attributes::default().with("values", Attribute::Scalars(texts))
        }
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        operands::<0>(inputs)?;
        Ok(self.value.ty())
    }

    fn eval(&self, _: &[&Tensor], _: Type) -> Tensor {
        self.value.clone()
    }

    fn vjp(&self, _: &mut Graph, _: NodeId, _: NodeId) -> Vec<Option<NodeId>> {
        vec![]
    }

    fn jvp(&self, _: &mut Graph, _: NodeId, _: &[Option<NodeId>]) -> Option<NodeId> {
        None
    }

    /// Of a scalar only: other constants are buffers.
    fn define(&self, definer: &mut dyn Define, _: &[ExprId]) -> ExprId {
        definer.exprs().literal(self.value.get(0))
    }
}
