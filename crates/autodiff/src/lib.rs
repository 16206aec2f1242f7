//! Derivatives as transformations of graphs into graphs: reverse mode ([`grad`], [`vjp`]) and forward mode ([`jvp`]).
//!
//! A derivative is appended to the graph it is of, so it can be optimised, printed, compiled and differentiated again.

mod custom;
mod forward;
mod late;
mod reverse;
mod scan;

use bespoke_graph::NodeId;
use bespoke_tensor::Type;

pub use forward::jvp;
pub use reverse::{grad, vjp};

/// Why there is no derivative.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GradError {
    /// The value to differentiate is not a scalar.
    #[error("grad: expected a loss of one float, got {0}; reduce it to a scalar first")]
    NotScalar(Type),
    /// The gradient with respect to something that is no float.
    #[error("grad: {0} is {1}; only floats have gradients")]
    NotFloat(NodeId, Type),
    /// The loss does not depend on a value, or only through operators without a derivative.
    #[error("grad: the loss does not depend differentiably on {0} ({1})")]
    Unreachable(NodeId, String),
    /// A value inside a scan that its derivative needs of every step has as many axes as a tensor can have.
    #[error("the derivative of a scan needs {0} of every step; it has no room for one more axis")]
    TooManyAxes(Type),
    /// A tangent or cotangent has another type than its value.
    #[error("{transform}: {value} is {expected}, its {transform_of} is {got}")]
    WrongType {
        /// `vjp` or `jvp`.
        transform: &'static str,
        /// `cotangent` or `tangent`.
        transform_of: &'static str,
        /// The value.
        value: NodeId,
        /// Its type.
        expected: Type,
        /// What came.
        got: Type,
    },
}

/// Checks that a tangent or cotangent has its value's type.
fn check_type(
    graph: &bespoke_graph::Graph,
    transform: &'static str,
    transform_of: &'static str,
    value: NodeId,
    other: NodeId,
) -> Result<(), GradError> {
    let (expected, got) = (graph.ty(value), graph.ty(other));
    if expected == got {
        return Ok(());
    }
    Err(GradError::WrongType { transform, transform_of, value, expected, got })
}
