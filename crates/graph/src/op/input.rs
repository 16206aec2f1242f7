//! `input`: a value given to each run.

use bespoke_loops::ExprId;
use bespoke_tensor::{Tensor, Type};

use super::{Define, Operator, operands};
use crate::{Attribute, Attributes, Graph, NodeId, attributes::Reader};

/// A value given to each run under a unique name.
///
/// Constraints: no operands; the name is not another input's or state's.
///
/// Example: `%0 = input {name="image"} : f32[128,784]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Input {
    /// The name.
    pub name: String,
    /// The type.
    pub ty: Type,
}

impl Input {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["input"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, ty: Type) -> Option<Result<Input, String>> {
        (name == "input").then(|| Ok(Input { name: attributes.name("name")?, ty }))
    }
}

impl Operator for Input {
    fn name(&self) -> &'static str {
        "input"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with("name", Attribute::Name(self.name.clone()))
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        operands::<0>(inputs)?;
        Ok(self.ty)
    }

    fn eval(&self, _: &[&Tensor], _: Type) -> Tensor {
        unreachable!("the evaluator gives inputs their values")
    }

    fn vjp(&self, _: &mut Graph, _: NodeId, _: NodeId) -> Vec<Option<NodeId>> {
        vec![]
    }

    fn jvp(&self, _: &mut Graph, _: NodeId, _: &[Option<NodeId>]) -> Option<NodeId> {
        None
    }

    fn define(&self, _: &mut dyn Define, _: &[ExprId]) -> ExprId {
        unreachable!("inputs are buffers")
    }
}
