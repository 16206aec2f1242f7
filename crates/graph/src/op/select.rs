//! `select`: a choice element by element.

use bespoke_loops::ExprId;
use bespoke_tensor::{DType, Tensor, Type};

use super::{Define, Operator, operands, tangent};
use crate::{Graph, NodeId, attributes::Reader};

/// `if condition { x } else { y }`, element by element.
///
/// Inputs: `condition`: bool; `x`, `y`: any type. Constraints: all shapes are equal, `x` and `y` are of one type.
///
/// Example: `%3 = select %0, %1, %2 : f32[4]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Select;

impl Select {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["select"]
    }

    pub(super) fn read(name: &str, _: &mut Reader, _: Type) -> Option<Result<Select, String>> {
        (name == "select").then_some(Ok(Select))
    }
}

impl Operator for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [condition, x, y] = operands(inputs)?;
        if condition.dtype != DType::Bool {
            return Err(format!("expected a condition of bool, got {condition}"));
        }
        if x != y {
            return Err(format!("expected two values of one type, got {x} and {y}"));
        }
        if condition.shape != x.shape {
            return Err(format!("expected a condition of shape {}, got {}", x.shape, condition.shape));
        }
        Ok(x)
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        Tensor::from_fn(ty, |i| inputs[if inputs[0].get(i).bits() != 0 { 1 } else { 2 }].get(i))
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let condition = graph.node(node).inputs[0];
        let zero = graph.fill_like(cotangent, 0.0);
        let x = graph.select(condition, cotangent, zero);
        let y = graph.select(condition, zero, cotangent);
        vec![None, Some(x), Some(y)]
    }

    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        let inputs = graph.node(node).inputs.clone();
        let (x, y) = (tangent(graph, tangents[1], inputs[1]), tangent(graph, tangents[2], inputs[2]));
        Some(graph.select(inputs[0], x, y))
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let [condition, x, y] = [0, 1, 2].map(|i| definer.operand(i, index));
        definer.exprs().select(condition, x, y)
    }
}
